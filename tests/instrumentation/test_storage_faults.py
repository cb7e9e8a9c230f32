"""Tests of full disks and forbidden directories: the application goes on, nothing is lost, the fault is told."""

import logging
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genai_metrics import recorder as recorder_module
from genai_metrics import runtime, track_llm_call
from genai_metrics.blockfile import BlockFileWriter, parse_header

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"

# The file system exists for this process alone, and vanishes with it.
OWN_MOUNTS = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))

ON_SMALL_DISK = """
import logging, os, pathlib, subprocess, sys

disk, out = map(pathlib.Path, sys.argv[1:])
disk.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
logged = []
class Keep(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())
logging.getLogger("genai_metrics").addHandler(Keep())

import genai_metrics.recorder
from genai_metrics import configure, runtime, track_llm_call

def fill():
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    assert os.statvfs(disk).f_bavail == 0

def faults():
    blocks = [b for b in runtime.recorder().blocks() if b.kind.name == "recorder_fault"]
    return {b.key[0]: b.read()[0] for b in blocks if b.read()[0]}

def in_memory():
    return sum(isinstance(block.values.obj, bytearray) for block in runtime.recorder().blocks())

def record(tenant):
    track_llm_call(model="gpt-4", tenant=tenant, input_tokens=7, cost_per_1k_input=1.0, cost_per_1k_output=1.0)
"""

KEEP = """
for path in disk.glob("*/*.blocks"):  # what a reader would find; the disk goes with this process
    (out / path.name).write_bytes(path.read_bytes()[: int.from_bytes(path.read_bytes()[16:24], sys.byteorder)])
print(len(logged), *logged, sep="\\n")
"""


class TestFullDisk:
    """ENOSPC on a real file system."""

    @pytest.fixture
    def on_small_disk(self, metrics: "Metrics", run_python: Callable[..., str]) -> Callable[[str], list[str]]:
        """Run steps beside a disk of 1 MiB; the block files end up in the directory of ``metrics``."""
        metrics.directory.mkdir()

        def run(steps: str) -> list[str]:
            disk = metrics.directory.parent / "disk"
            return run_python(
                ON_SMALL_DISK + steps + KEEP, str(disk), str(metrics.directory), prefix=OWN_MOUNTS
            ).splitlines()

        return run

    def test_disk_fills_up(self, metrics: "Metrics", on_small_disk: Callable[[str], list[str]]) -> None:
        """Series known before go on in the file, new ones in memory; all are in the file once there is room."""
        logged = on_small_disk("""
configure(metrics_dir=disk / "metrics", label_caps={"tenant": 5000})
for _ in range(10):
    record("old")
fill()
for i in range(2000):  # far more than the part of the file that is reserved already
    record(f"t{i}")
    record("old")
assert faults() == {"storage": 1.0}, faults()
assert 1000 < in_memory() < 4000, in_memory()
(disk / "filler").unlink()
record("early")  # the time to try again has not come
assert in_memory() > 1000
runtime.recorder()._retry_at = 0.0
record("late")
assert in_memory() == 0
for i in range(2000):
    record(f"t{i}")
assert faults() == {"storage": 1.0}, faults()
""")
        assert logged[0] == "1"
        assert "No space left on device" in logged[1]
        assert "disk/metrics" in logged[1]
        calls = 10 + 2000 + 2000 + 2 + 2000
        assert metrics.stored(CALLS) == calls
        assert metrics.stored("genai_tenant_requests_total") == calls
        assert metrics.stored("genai_tenant_requests_total", tenant="old") == 2010
        assert metrics.stored("genai_tenant_requests_total", tenant="t1999") == 2
        assert metrics.stored("genai_llm_input_tokens_total") == 7 * calls
        assert metrics.stored("genai_tenant_cost_usd_total") == pytest.approx(7e-3 * calls)
        assert metrics.stored("genai_recorder_faults_total", reason="storage") == 1

    def test_disk_is_full_from_the_start(self, metrics: "Metrics", on_small_disk: Callable[[str], list[str]]) -> None:
        """Not even a file can be made: all is kept in memory, and moves into a file when there is room."""
        logged = on_small_disk("""
fill()
configure(metrics_dir=disk / "metrics")
for i in range(100):
    record("t")
assert faults() == {"storage": 1.0}, faults()
assert not list(disk.glob("*/*")), list(disk.glob("*/*"))
(disk / "filler").unlink()
runtime.recorder()._retry_at = 0.0
record("t")
assert in_memory() == 0
""")
        assert logged[0] == "1"
        assert metrics.stored(CALLS) == 101
        assert metrics.stored("genai_tenant_requests_total") == 101

    def test_every_retry_is_counted(self, metrics: "Metrics", on_small_disk: Callable[[str], list[str]]) -> None:
        """While the disk stays full each attempt is a fault, and the first is logged."""
        logged = on_small_disk("""
genai_metrics.recorder.RETRY_SECONDS = 0.0
configure(metrics_dir=disk / "metrics", label_caps={"tenant": 5000})
fill()
for i in range(1000):
    record(f"t{i}")
assert faults()["storage"] > 100, faults()
(disk / "filler").unlink()
record("another")
assert in_memory() == 0
""")
        assert logged[0] == "1"
        assert metrics.stored(CALLS) == 1001

    def test_idle_series_move_with_others(self, metrics: "Metrics", on_small_disk: Callable[[str], list[str]]) -> None:
        """Any record off the hot path has all series moved that wait, also of those that record no more."""
        on_small_disk("""
configure(metrics_dir=disk / "metrics", label_caps={"tenant": 5000})
record("old")
fill()
for i in range(1000):
    record(f"t{i}")
(disk / "filler").unlink()
runtime.recorder()._retry_at = 0.0
track_llm_call(model="gpt-4", error_type="429")
assert in_memory() == 0
""")
        assert metrics.stored(CALLS) == 1002


class TestForbidden:
    """Directories and limits that do not let us write."""

    def test_missing_directory_is_made(self, metrics: "Metrics") -> None:
        """With its parents, and for this user alone, as are the files: label values may be confidential."""
        metrics.directory = metrics.directory / "a" / "b"
        metrics.configure(files=True)
        track_llm_call(model="gpt-4")
        assert metrics.stored(CALLS) == 1
        assert stat.S_IMODE(metrics.directory.stat().st_mode) == 0o700
        assert stat.S_IMODE(metrics.files()[0].stat().st_mode) == 0o600

    def test_directory_is_a_file(self, metrics: "Metrics", caplog: pytest.LogCaptureFixture) -> None:
        """What cannot become a directory is a fault."""
        metrics.directory.write_text("")
        metrics.configure(files=True)
        for _ in range(3):
            track_llm_call(model="gpt-4")
        assert metrics.value(CALLS) == 3
        assert metrics.faults() == {"storage": 1}
        (message,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert str(metrics.directory) in message
        assert "private memory" in message

    def test_another_users_directory(self, metrics: "Metrics", run_python: Callable[..., str]) -> None:
        """A process without permission records in memory; with permission given later, into a file."""
        if os.geteuid() != 0:  # then every directory of root's is another user's
            metrics.directory = Path("/proc/1")
        else:
            metrics.directory.mkdir(mode=0o700)
        out = run_python(
            """
            import os, sys
            from genai_metrics import configure, runtime, track_llm_call

            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            configure(metrics_dir=sys.argv[1], pricing=False)
            for _ in range(10):
                track_llm_call(model="gpt-4")
            blocks = {(b.kind.name, b.key[-1]): b.read()[0] for b in runtime.recorder().blocks()}
            print(blocks["llm_call", "success"], blocks["recorder_fault", "storage"])
            """,
            str(metrics.directory),
        )
        assert out.split() == ["10.0", "1.0"]

    def test_file_size_limit(self, metrics: "Metrics", run_python: Callable[..., str]) -> None:
        """RLIMIT_FSIZE, which kills a process that exceeds it, is a fault like a full disk."""
        out = run_python(
            """
            import resource, sys
            from genai_metrics import configure, runtime, track_llm_call

            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            configure(metrics_dir=sys.argv[1])
            for _ in range(10):
                track_llm_call(model="gpt-4")
            blocks = {(b.kind.name, b.key[-1]): b.read()[0] for b in runtime.recorder().blocks()}
            print(blocks["llm_call", "success"], blocks["recorder_fault", "storage"])
            """,
            str(metrics.directory),
        )
        assert out.split() == ["10.0", "1.0"]
        assert list(metrics.directory.iterdir()) == []

    def test_file_is_full(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of the largest size takes no more series; those go on in memory, the others in the file."""
        monkeypatch.setattr(recorder_module, "BlockFileWriter", partial(BlockFileWriter, max_bytes=64 * 1024))
        metrics.configure(files=True)
        for _ in range(3):
            for i in range(800):
                track_llm_call(model="gpt-4", tenant=f"t{i}")
        assert metrics.value(CALLS) == metrics.value("genai_tenant_requests_total") == 2400
        assert metrics.stored(CALLS) == 2400
        assert 10 < metrics.stored("genai_tenant_requests_total") < 2000
        assert metrics.faults() == {"storage": 1}
        (path,) = metrics.files()
        assert parse_header(path.read_bytes()).used <= path.stat().st_size == 64 * 1024

    def test_reconfigured_on_a_full_disk(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """What waits for room in one recorder moves with the next one's file."""
        monkeypatch.setattr(recorder_module, "BlockFileWriter", partial(BlockFileWriter, max_bytes=64 * 1024))
        metrics.configure(files=True)
        for i in range(800):
            track_llm_call(model="gpt-4", tenant=f"t{i}")
        assert not runtime.recorder().is_settled()
        monkeypatch.setattr(recorder_module, "BlockFileWriter", BlockFileWriter)
        metrics.configure(files=True)
        assert metrics.stored(CALLS) == metrics.stored("genai_tenant_requests_total") == 800
        assert runtime.recorder().is_settled()
