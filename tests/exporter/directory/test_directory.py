"""Attacks on the metrics directory and the exporter's own files in it: nothing is trusted, followed or waited for."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from foreign_files import GOOD, block_file

from genai_exporter.aggregate import LOCK_NAME, Applications
from genai_exporter.archive import ARCHIVE_NAME
from genai_exporter.directory import DirectoryError, MetricsDirectory
from genai_exporter.shown import SHOWN_NAME
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Open = Callable[..., Applications]


class TestRefusedDirectory:
    """Directories that are not the exporter's to trust."""

    @pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770])
    def test_the_command_says_why(self, tmp_path: Path, bits: int) -> None:
        """Exit code 1, one line with the remedy, nothing left behind."""
        (tmp_path / "m").mkdir()
        (tmp_path / "m").chmod(bits)
        command = [sys.executable, "-m", "genai_exporter", "serve", "--web.listen-address", "127.0.0.1:0"]
        done = subprocess.run(
            [*command, "--metrics-dir", str(tmp_path / "m")], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert f"Error: metrics directory refused: {'the group' if bits == 0o770 else 'every user'}" in done.stderr
        remedy = "name a folder in it" if bits & 0o1000 else "run chmod "
        assert f"may write to {tmp_path / 'm'} (mode {bits:04o}): {remedy}" in done.stderr
        assert "Traceback" not in done.stderr
        assert list((tmp_path / "m").iterdir()) == []

    def test_a_group_may_share_it(self, directory: Path, exporter: Open, samples: Samples) -> None:
        """When the exporter is told so; then it takes files of any member."""
        directory.chmod(0o770)
        path = directory / "other.blocks"
        path.write_bytes(block_file("good"))
        if os.geteuid() == 0:
            os.chown(path, 5001, 5001)
        assert samples(exporter(directory, shared="group")) == {GOOD: 1}

    def test_opened_up_later(self, directory: Path, good: Recorder, exporter: Open, samples: Samples) -> None:
        """From then on scrapes fail with the remedy; once it is closed again they go on."""
        applications = exporter(directory)
        directory.chmod(0o777)
        with pytest.raises(OSError, match="every user of this machine may write"):
            applications.scrape()
        directory.chmod(0o700)
        assert samples(applications) == {GOOD: 1}

    def test_another_directory_in_its_place(
        self, directory: Path, good: Recorder, exporter: Open, samples: Samples
    ) -> None:
        """Counters that come from elsewhere would be nonsense; with the right one back it goes on."""
        applications = exporter(directory)
        directory.rename(directory.with_name("away"))
        directory.mkdir(mode=0o700)
        (directory / "x.blocks").write_bytes(block_file("secret"))
        with pytest.raises(OSError, match="is another directory than at the start: restart the exporter"):
            applications.scrape()
        (directory / "x.blocks").unlink()
        directory.rmdir()
        directory.with_name("away").rename(directory)
        assert samples(applications) == {GOOD: 1}

    def test_nothing_stays_open(self, directory: Path) -> None:
        """A refused directory leaves no descriptor."""
        directory.chmod(0o777)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(DirectoryError):
            Applications(directory).open()
        assert len(os.listdir("/proc/self/fd")) == before


class TestOwnFiles:
    """The exporter's own files, put there by somebody else before it came."""

    @pytest.mark.parametrize("name", [ARCHIVE_NAME, SHOWN_NAME, LOCK_NAME])
    def test_a_fifo_is_not_waited_for(self, directory: Path, name: str) -> None:
        """Opening a FIFO blocks until somebody writes to it; here it is an error, or a record that is made anew."""
        os.mkfifo(directory / name)
        applications = Applications(directory, born_at_zero_seconds=0)
        if name == SHOWN_NAME:
            applications.open()
            applications.scrape()
            assert not (directory / name).exists()
        else:
            with pytest.raises(DirectoryError, match="not a regular file"):
                applications.open()
        applications.close()

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    @pytest.mark.parametrize("name", [".exporter.archive.new", ".exporter.shown.new", SHOWN_NAME, ARCHIVE_NAME])
    def test_a_link_to_a_victim(
        self, directory: Path, secret: Path, name: str, link: Callable[[Path, Path], None], exporter: Open
    ) -> None:
        """A file elsewhere is neither overwritten nor appended to nor cut off through a name in the directory."""
        link(secret, directory / name)
        (directory / "dead.blocks").write_bytes(block_file("good"))
        before = secret.read_bytes()
        if name == ARCHIVE_NAME:
            with pytest.raises(DirectoryError, match="cannot be read"):
                exporter(directory)
        else:
            applications = exporter(directory)
            for _ in range(2):
                applications.scrape()
            assert applications.scrape().files["folded"] == 1
        assert secret.read_bytes() == before

    def test_made_for_the_owner_alone(self, directory: Path, exporter: Open) -> None:
        """0600 whatever the umask."""
        (directory / "dead.blocks").write_bytes(block_file("good"))
        before = os.umask(0)
        try:
            exporter(directory).scrape()
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        assert (directory / ARCHIVE_NAME).exists()


class TestReplace:
    """Writing the exporter's files."""

    def test_a_failed_write_leaves_the_old_one(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And no part of the new one."""
        opened = MetricsDirectory(directory)
        opened.open(make=False)
        opened.replace("file", ".new", b"old")

        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                opened.replace("file", ".new", b"new")
        assert opened.read("file") == b"old"
        assert not opened.exists(".new")
        opened.close()
