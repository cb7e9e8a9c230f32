"""Attacks by names that end as block files do: what others put there is neither followed nor waited for."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign_files import GOOD, block_file

from genai_exporter.aggregate import Applications
from genai_exporter.directory import MetricsDirectory, UntrustedFileError
from genai_metrics.blockfile import pack_block
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Open = Callable[..., Applications]


class TestBlockFiles:
    """Names that end as block files do."""

    def test_a_symbolic_link_that_comes_and_goes(
        self,
        directory: Path,
        good: Recorder,
        secret: Path,
        exporter: Open,
        samples: Samples,
        busy: Callable[[Callable[[], None]], None],
    ) -> None:
        """However often a file is swapped for a link, what the link leads to is never read."""
        name, link, empty = directory / "swapped.blocks", directory / "link", directory / "empty"
        empty.touch(0o600)
        swaps = [0]

        def swap() -> None:
            if not link.is_symlink():
                link.symlink_to(secret)
            os.replace(link, name)
            empty.touch(0o600)
            os.replace(empty, name)
            swaps[0] += 1

        busy(swap)
        applications = exporter(directory)
        while swaps[0] < 500:
            assert samples(applications) == {GOOD: 1}

    @pytest.mark.parametrize("own", [True, False])
    def test_a_hard_link(
        self,
        directory: Path,
        good: Recorder,
        secret: Path,
        own: bool,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Neither a file from elsewhere nor one that would count twice is read; with one name it is sound again."""
        applications = exporter(directory)
        if own:
            assert samples(applications) == {GOOD: 1}
        (path,) = directory.glob("*.blocks")
        os.link(path if own else secret, directory / "another.blocks")
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files["rejected"] == (2 if own else 1)
        assert "has 2 names (hard links): remove the others, and copy for backups" in caplog.text
        (directory / "another.blocks").unlink()
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files == {"live": 1, "dead": 0, "folded": 0, "rejected": 0, "partial": 0}

    def test_another_users_file(self, directory: Path, exporter: Open, samples: Samples) -> None:
        """Root could read it, yet who could put it there?"""
        path = directory / "foreign.blocks"
        path.write_bytes(block_file("secret"))
        opened = MetricsDirectory(directory)
        opened.open(make=False)
        status = list(path.stat()[:10])
        status[4] = 4999
        with pytest.raises(UntrustedFileError, match="belongs to user 4999"):
            opened._check_file(os.stat_result(status), path.name)
        opened.close()
        if os.geteuid() == 0:
            os.chown(path, 4999, 4999)
            assert samples(exporter(directory)) == {}

    def test_devices_and_sockets(self, directory: Path, good: Recorder, exporter: Open, samples: Samples) -> None:
        """FIFOs with and without a writer, and, as root, a device that never ends."""
        os.mkfifo(directory / "fifo.blocks")
        os.mkfifo(directory / "written.blocks")
        held = os.open(directory / "written.blocks", os.O_RDWR)
        os.write(held, block_file("secret"))
        strange = 2
        if os.geteuid() == 0:
            try:
                os.mknod(directory / "zero.blocks", 0o600 | 0o020000, os.makedev(1, 5))
                strange += 1
            except PermissionError:  # root of a container
                pass
        applications = exporter(directory)
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files["rejected"] == strange
        os.close(held)

    def test_cut_off_while_it_is_read(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        busy: Callable[[Callable[[], None]], None],
    ) -> None:
        """Truncated and restored all the time, a file costs at most itself, and no counter falls."""
        path = directory / "cut.blocks"
        unknown = pack_block(99, b"", 0)  # so that it is never folded
        whole = block_file("cut", 5.0)
        whole = whole[:16] + struct.pack("=Q", len(whole) + len(unknown)) + whole[24:] + unknown
        path.write_bytes(whole)
        applications = exporter(directory)
        first = samples(applications)
        assert first == {GOOD: 1, GOOD.replace("good", "cut"): 5}
        cuts = [0]

        def cut() -> None:
            for size in (0, 30, 80, len(whole) - 8):
                os.truncate(path, size)
            path.write_bytes(whole)
            cuts[0] += 1

        busy(cut)
        while cuts[0] < 300:
            assert samples(applications) == first
