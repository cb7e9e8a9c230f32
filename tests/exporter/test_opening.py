"""Tests of what the exporter needs of its directory when it opens it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter.aggregate import LOCK_NAME, Applications
from genai_exporter.directory import DirectoryError
from genai_metrics.blockfile import TEMPORARY_PREFIX
from genai_metrics.recorder import Recorder

Kill = Callable[[subprocess.Popen[str]], None]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

# Opens a directory as an exporter and stays until it is killed.
EXPORTER = """
import sys, pathlib
from genai_exporter.aggregate import Applications
Applications(pathlib.Path(sys.argv[1])).open()
print("open", flush=True)
sys.stdin.read()
"""


class TestDirectory:
    """What the exporter needs of its directory."""

    def test_it_is_made_for_this_user_alone(self, tmp_path: Path, exporter: Open) -> None:
        """A missing directory is made, with its parents, and nobody else may read it."""
        exporter(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
        assert {path.stat().st_mode & 0o777 for path in (tmp_path / "a" / "b").iterdir()} == {0o600}

    def test_a_second_exporter_is_refused(self, tmp_path: Path, kill: Kill, exporter: Open) -> None:
        """It names the first and says what to do; when the first is killed, its lock is free."""
        first = subprocess.Popen(
            [sys.executable, "-c", EXPORTER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert first.stdout is not None
        assert first.stdin is not None
        with first.stdout, first.stdin:
            first.stdout.readline()
            with pytest.raises(DirectoryError) as caught:
                exporter(tmp_path)
            first.kill()
            first.wait()
        assert str(caught.value) == (
            f"another exporter serves {tmp_path} (its process id, as it sees itself: {first.pid}); "
            "stop that one, or give this one another --metrics-dir"
        )
        exporter(tmp_path)
        assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe"])
    def test_the_holder_may_be_unknown(self, tmp_path: Path, exporter: Open, content: bytes) -> None:
        """A lock file without a readable process id does not turn the refusal into something else."""
        exporter(tmp_path)
        (tmp_path / LOCK_NAME).write_bytes(content)
        with pytest.raises(DirectoryError, match="another exporter serves"):
            exporter(tmp_path)

    def test_a_file_in_its_place(self, tmp_path: Path, exporter: Open) -> None:
        """The message names the path and what it must be."""
        (tmp_path / "file").touch()
        with pytest.raises(DirectoryError, match=r"file cannot be used: .*must be a directory that this user may read"):
            exporter(tmp_path / "file")

    def test_a_lock_that_cannot_be_had_leaves_nothing_open(self, tmp_path: Path, exporter: Open) -> None:
        """A symbolic link for a lock is refused, not followed."""
        (tmp_path / LOCK_NAME).symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DirectoryError, match="cannot be used"):
            exporter(tmp_path)
        assert not (tmp_path / "elsewhere").exists()

    def test_it_is_gone(self, tmp_path: Path, exporter: Open) -> None:
        """A directory that vanishes makes the scrape fail with ``OSError``, as documented."""
        directory = tmp_path / "gone"
        applications = exporter(directory)
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
        with pytest.raises(FileNotFoundError):
            applications.scrape()

    def test_half_made_files_are_cleaned_up(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """What a process left that was killed while it made its file goes at the next start; a fresh one stays."""
        old, fresh = tmp_path / f"{TEMPORARY_PREFIX}old", tmp_path / f"{TEMPORARY_PREFIX}fresh"
        for path in (old, fresh):
            path.touch()
        os.utime(old, (0, 0))
        exporter(tmp_path)
        assert not old.exists()
        assert fresh.exists()
