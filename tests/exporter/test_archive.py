"""Tests of the archive: folds, what is refused, what is kept, and a disk without room."""

import json
import logging
import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_exporter.archive import ARCHIVE_NAME, Archive
from genai_exporter.blockreader import KINDS_BY_LAYOUT
from genai_exporter.directory import DirectoryError, MetricsDirectory
from genai_exporter.totals import Totals
from genai_metrics.blockfile import BlockFileError, header_size, pack_block, pack_header, parse_blocks, parse_header
from genai_metrics.catalog import LLM_FALLBACK, LLM_IN_FLIGHT, TENANT_REQUESTS
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

COUNTED = 'genai_tenant_requests_total{service="service",tenant="good",mode="m"}'


def count(recorder: Recorder, calls: float = 1) -> None:
    """Record some calls of one tenant."""
    recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, calls)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages that were logged as errors."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


class TestFold:
    """Files of ended processes become one file."""

    def test_counts_stay_and_files_go(self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples) -> None:
        """Folds add to one another, over restarts; only the exporter's own files remain."""
        applications = exporter(tmp_path)
        for number in range(1, 6):
            recorder = writer(tmp_path)
            count(recorder, number)
            assert samples(applications)[COUNTED] == sum(range(number + 1))
            recorder.let_go()
            assert samples(applications)[COUNTED] == sum(range(number + 1))
            assert applications.scrape().files["folded"] == number
            if number % 2:
                applications.close()
                applications = exporter(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {"exporter.archive", "exporter.lock", "exporter.shown"}

    def test_gauges_end_with_their_process(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """Calls in flight are not archived."""
        recorder = writer(tmp_path)
        recorder.block(LLM_IN_FLIGHT, ("m", "m")).add(0, 1)
        recorder.let_go()
        applications = exporter(tmp_path)
        for _ in range(2):
            assert not [name for name in samples(applications) if "in_flight" in name]
            applications.close()
            applications = exporter(tmp_path)

    def test_a_file_that_cannot_be_removed_is_counted_once(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is left out of every sum, by later exporters too, and goes when it can."""
        recorder = writer(tmp_path)
        count(recorder)
        recorder.let_go()

        def refuse(*arguments: object, **options: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        with monkeypatch.context() as patch:
            patch.setattr(os, "unlink", refuse)
            applications = exporter(tmp_path)
            for _ in range(2):
                assert samples(applications)[COUNTED] == 1
            late = writer(tmp_path)
            count(late)
            late.let_go()
            assert samples(applications)[COUNTED] == 2
            assert len(list(tmp_path.glob("*.blocks"))) == 2
            applications.close()
            applications = exporter(tmp_path)
            assert samples(applications)[COUNTED] == 2
            applications.close()
        applications = exporter(tmp_path)
        assert samples(applications)[COUNTED] == 2
        assert list(tmp_path.glob("*.blocks")) == []

    def test_unknown_blocks_are_kept_as_they_are(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An older exporter that folds keeps what a newer one had archived, byte for byte."""
        fallback = 'genai_llm_fallbacks_total{service="service",from_model="a",to_model="b",reason="slow"}'
        recorder = writer(tmp_path)
        recorder.block(LLM_FALLBACK, ("a", "b", "slow")).add(0, 0.1)
        recorder.let_go()
        applications = exporter(tmp_path)
        assert samples(applications)[fallback] == 0.1
        applications.close()
        with monkeypatch.context() as older:
            older.delitem(KINDS_BY_LAYOUT, LLM_FALLBACK.layout_id)
            kept = pack_block(LLM_FALLBACK.layout_id, b"service\0a\0b\0slow", 1)
            for _ in range(2):
                applications = exporter(tmp_path)
                late = writer(tmp_path)
                count(late)
                late.let_go()
                assert fallback not in samples(applications)
                assert (tmp_path / ARCHIVE_NAME).read_bytes().count(kept) == 1
                applications.close()
        found = samples(exporter(tmp_path))
        assert found[fallback] == 0.1
        assert found[COUNTED] == 2


class TestRefused:
    """An archive that is not sound stops the exporter: it holds counts that are nowhere else."""

    @pytest.fixture
    def archive(self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples) -> Path:
        """A sound archive."""
        recorder = writer(tmp_path)
        count(recorder)
        recorder.let_go()
        applications = exporter(tmp_path)
        samples(applications)
        applications.close()
        return tmp_path / ARCHIVE_NAME

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda data: b"", "only 0 bytes long"),
            (lambda data: data[:-3], "truncated or damaged"),
            (lambda data: data[:-8], "truncated or damaged"),
            (lambda data: data.replace(b"good", b"goad"), "truncated or damaged"),
            (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "truncated or damaged"),
            (lambda data: b"x" + data[1:], "wrong magic"),
        ],
        ids=["empty", "odd", "short", "key", "value", "magic"],
    )
    def test_says_what_to_do(
        self, archive: Path, spoil: Callable[[bytes], bytes], reason: str, exporter: Open, samples: Samples
    ) -> None:
        """The message names the file, the reason and both ways out; the lock is free again, and both ways work."""
        sound = archive.read_bytes()
        archive.write_bytes(spoil(sound))
        for _ in range(2):
            with pytest.raises(DirectoryError) as caught:
                exporter(archive.parent)
            assert str(caught.value).startswith(f"{archive} cannot be read: ")
            assert reason in str(caught.value)
            assert "restore it from a backup, or move it away to start without them" in str(caught.value)
        archive.rename(archive.with_name("away"))
        applications = exporter(archive.parent)
        assert samples(applications)[COUNTED] == 0
        applications.close()
        archive.write_bytes(sound)
        assert samples(exporter(archive.parent))[COUNTED] == 1

    def test_a_name_outside_the_directory(self, tmp_path: Path) -> None:
        """An archive cannot make the exporter remove files elsewhere."""
        (tmp_path / "victim").touch()
        directory = tmp_path / "metrics"
        directory.mkdir(mode=0o700)
        body = pack_block(0, b"../victim", 0)
        size = header_size("")
        token = zlib.crc32(body).to_bytes(16, "little")
        head = pack_header(used=size + len(body), size=size, pid=1, start_time=0.0, token=token, service="")
        (directory / ARCHIVE_NAME).write_bytes(head + body)
        with closing(MetricsDirectory(directory)) as opened:
            opened.open(make=False)
            archive = Archive(opened)
            with pytest.raises(BlockFileError, match="outside the directory"):
                archive.load(Totals({}))
            archive.unlink_folded()
        assert (tmp_path / "victim").exists()

    def test_is_a_block_file(self, archive: Path) -> None:
        """Its blocks can be read with the functions for block files."""
        data = archive.read_bytes()
        header = parse_header(data)
        blocks = {block.key: block for block in parse_blocks(data, header.size, header.used)}
        block = blocks[b"service\0good\0m"]
        assert (block.layout_id, block.slots) == (TENANT_REQUESTS.layout_id, 1)


class TestFullDisk:
    """No room for the archive, the record of shown series, or either; on a real file system of 1 MiB."""

    def test_nothing_is_lost(self, tmp_path: Path) -> None:
        """Files that cannot be folded are summed as they are, said once, and folded when there is room."""
        assert on_small_disk(tmp_path, "fold") == {
            "values": [3.0, 3.0, 3.0, 3.0, 3.0],
            "files": [{"dead": 1, "folded": 0}] * 3 + [{"dead": 0, "folded": 1}] * 2,
            "errors": 1,
            "left": ["exporter.archive", "exporter.lock", "exporter.shown"],
        }

    def test_starts_without_room_for_the_record(self, tmp_path: Path) -> None:
        """An exporter that starts on a full disk serves right numbers, without a record, and says so."""
        found = on_small_disk(tmp_path, "start")
        assert found["values"] == [3.0, 3.0]
        assert found["has_record"] == [False, False]
        assert found["errors"] == 1

    def test_the_record_cannot_grow(self, tmp_path: Path) -> None:
        """The record goes, every value is right, and the next exporter shows all of them at once."""
        found = on_small_disk(tmp_path, "grow")
        assert found["values"] == [0.0, 200.0, 200.0, 201.0]
        assert found["has_record"] == [True, False, False, True]
        assert found["errors"] == 1


def on_small_disk(directory: Path, scenario: str) -> dict[str, object]:
    """Run one of the scenarios below in a process that has a file system of 1 MiB at ``directory``."""
    # Root in a user namespace of its own may mount there; the mount ends with the process.
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
    script = 'mount -t tmpfs -o size=1m,mode=0700 none "$1"; exec "$2" "$3" "$1" "$4"'
    result = subprocess.run(
        [*command, script, "sh", str(directory), sys.executable, __file__, scenario],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


class _SmallDisk:
    """What the scenarios do on the small file system, in a process of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 0.0
        self.errors = 0
        self.values: list[float] = []
        self.has_record: list[bool] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._note  # type: ignore[method-assign]
        logging.getLogger("genai_exporter").addHandler(handler)
        self.exporter = self.opened()

    def opened(self) -> Applications:
        """An exporter for the directory, not open yet."""
        return Applications(self.directory, born_at_zero_seconds=10, clock=lambda: self.now)

    def fill(self) -> None:
        """Leave no room."""
        with open(self.directory / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                return

    def scrape(self) -> dict[str, int]:
        """Note the sum of all tenants' requests and whether there is a record; return the files by state."""
        scrape = self.exporter.scrape()
        lines = b"".join(scrape.render(False)).decode().splitlines()
        found = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("genai_tenant_requests_total{")]
        self.values.append(sum(found))
        self.has_record.append((self.directory / "exporter.shown").exists())
        return {state: scrape.files[state] for state in ("dead", "folded")}

    def _note(self, record: logging.LogRecord) -> None:
        self.errors += 1


def _run(directory: Path, scenario: str) -> dict[str, object]:
    disk = _SmallDisk(directory)
    recorder = Recorder(Settings(metrics_dir=directory, service_name="service"))
    if scenario != "grow":
        count(recorder, 3)
        recorder.let_go()
    if scenario == "fold":
        disk.exporter.open()
        disk.fill()
        files = [disk.scrape() for _ in range(3)]
        os.unlink(directory / "filler")
        files += [disk.scrape() for _ in range(2)]
        return {"values": disk.values, "files": files, "errors": disk.errors, "left": sorted(os.listdir(directory))}
    if scenario == "start":
        # A partial file is not folded: the record alone is at issue.
        (path,) = directory.glob("*.blocks")
        with path.open("r+b") as file:
            header = parse_header(file.read(4096))
            file.seek(header.used)
            file.write(pack_block(99, b"", 0))
            file.seek(16)
            file.write((header.used + 16).to_bytes(8, sys.byteorder))
        disk.fill()
        disk.exporter.open()
        for _ in range(2):
            disk.scrape()
        return {"values": disk.values, "has_record": disk.has_record, "errors": disk.errors}
    disk.exporter.open()
    for number in range(200):
        recorder.block(TENANT_REQUESTS, (f"tenant-{number}", "m")).add(0, 1)
    disk.scrape()
    disk.fill()
    disk.now = 20.0
    for _ in range(2):
        disk.scrape()
    disk.exporter.close()
    os.unlink(directory / "filler")
    recorder.block(TENANT_REQUESTS, ("tenant-0", "m")).add(0, 1)
    disk.exporter = disk.opened()
    disk.exporter.open()
    disk.scrape()
    return {"values": disk.values, "has_record": disk.has_record, "errors": disk.errors}


if __name__ == "__main__":
    print(json.dumps(_run(Path(sys.argv[1]), sys.argv[2])))
