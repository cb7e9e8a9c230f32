"""Tests of the archive: folds, what is refused, what is kept, and a disk without room."""

import logging
import os
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
