"""Attacks by number and size: nothing in the metrics directory is read without end."""

import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign_files import GOOD, block_file

from genai_exporter.aggregate import Applications
from genai_exporter.directory import Limits
from genai_metrics.blockfile import MAX_FILE_BYTES
from genai_metrics.catalog import TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]


class TestLimits:
    """Too much of everything."""

    def test_a_huge_sparse_file(
        self, directory: Path, good: Recorder, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file of a tebibyte takes neither memory nor time, whatever its header claims."""
        for name, used in (("claims-all", 2**40), ("claims-much", MAX_FILE_BYTES)):
            path = directory / f"{name}.blocks"
            path.write_bytes(block_file("secret", used=used))
            os.truncate(path, 2**40)
        applications = exporter(directory, limits=Limits(file_bytes=1 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert samples(applications) == {GOOD: 1}
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
        assert applications.scrape().files["rejected"] == 2
        assert "claims 1099511627776 bytes, more than any writer uses" in caplog.text
        assert "uses more than metrics_dir_limits.file_bytes (1048576)" in caplog.text

    def test_many_large_files_share_one_budget(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a scrape reads stays within the limit, also where nothing of it is sound; known files come first."""
        applications = exporter(directory, limits=Limits(total_bytes=10 << 20))
        assert samples(applications) == {GOOD: 1}
        for i in range(30):
            path = directory / f"a{i:02}.blocks"  # sorts before the good one's name
            path.write_bytes(block_file("secret", used=1 << 20))
            os.truncate(path, 2 << 20)
        asked: list[int] = []
        pread = os.pread

        def counting(fd: int, size: int, offset: int) -> bytes:
            asked.append(size)
            return pread(fd, size, offset)

        monkeypatch.setattr(os, "pread", counting)
        for _ in range(3):
            asked.clear()
            assert samples(applications) == {GOOD: 1}
            assert sum(asked) <= (10 << 20) + 31 * 4096
        assert applications.scrape().files["rejected"] == 30
        assert "finds no room within metrics_dir_limits.total_bytes (10485760)" in caplog.text

    def test_fifty_thousand_files(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A scrape opens 10 000 at most, the living go on, a sound newcomer gets its turn, the log stays short."""
        applications = exporter(directory)
        assert samples(applications) == {GOOD: 1}
        for i in range(50_000):
            os.close(os.open(directory / f"junk-{i}.blocks", os.O_CREAT | os.O_WRONLY, 0o600))
        (directory / "zzz.blocks").write_bytes(block_file("late"))
        opened = [0]
        open_ = os.open

        def counting(*arguments: object, **options: object) -> int:
            opened[0] += 1
            return open_(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", counting)
        found = samples(applications)
        assert found == {GOOD: 1}
        assert applications.scrape().files["rejected"] == 50_001
        scrapes = 2
        while GOOD.replace("good", "late") not in found:
            assert scrapes < 6
            opened[0] = 0
            good.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
            found = samples(applications)
            scrapes += 1
            assert opened[0] <= 10_000 + 10
            assert found[GOOD] == scrapes - 1
        messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        waiting = [message for message in messages if "files wait until others are gone" in message]
        assert waiting == [
            f"{directory}: 40002 files wait until others are gone: it has more than metrics_dir_limits.files (10000)"
        ]
        assert len(messages) <= 1 + scrapes * 21

    def test_a_backlog_of_ended_processes(
        self, directory: Path, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """More dead files than the limit are folded part by part, each is counted once, and none is lost."""
        applications = exporter(directory, limits=Limits(files=100))
        for i in range(250):
            (directory / f"job-{i}.blocks").write_bytes(block_file("good", token=i.to_bytes(16, "little")))
        assert [samples(applications)[GOOD] for _ in range(4)] == [100, 200, 250, 250]
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 250, "rejected": 0, "partial": 0}

    def test_known_files_do_not_wait(self, directory: Path, writer: Writer, exporter: Open, samples: Samples) -> None:
        """A lower limit takes no new files; the living ones that are known go on being read."""
        recorders = [writer(directory) for _ in range(3)]
        for recorder in recorders:
            recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        applications = exporter(directory, limits=Limits(files=3))
        assert samples(applications)[GOOD] == 3
        late = writer(directory)
        late.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        for recorder in recorders:
            recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        assert samples(applications)[GOOD] == 6
        assert applications.scrape().files == {"live": 3, "dead": 0, "folded": 0, "rejected": 1, "partial": 0}
        recorders[0].let_go()
        samples(applications)
        assert samples(applications)[GOOD] == 7

    def test_without_a_record_a_waiting_file_may_have_been_shown(
        self, directory: Path, exporter: Open, samples: Samples
    ) -> None:
        """What is found late at a start without a record is shown at once: as 0 it would look like a counter reset."""
        for i in range(5):
            (directory / f"{i}.blocks").write_bytes(block_file(f"t{i}", token=i.to_bytes(16, "little")))
        applications = exporter(directory, limits=Limits(files=2), born_at_zero_seconds=3600)
        seen = [samples(applications) for _ in range(3)]
        assert [len(found) for found in seen] == [2, 4, 5]
        assert set(seen[-1].values()) == {1.0}
        (directory / "new.blocks").write_bytes(block_file("new", token=b"n" * 16))
        assert samples(applications)[GOOD.replace("good", "new")] == 0
