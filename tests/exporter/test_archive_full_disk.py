"""Tests of a disk without room for the archive, the record of shown series, or either."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from genai_exporter.aggregate import Applications
from genai_metrics.blockfile import pack_block, parse_header
from genai_metrics.catalog import TENANT_REQUESTS
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings


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
        recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 3)
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
