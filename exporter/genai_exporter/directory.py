"""The metrics directory as a place that others may write to: every file in it is opened here, and checked.

Nothing outside the directory is ever opened, whatever lies in it, and nothing in it can hold the exporter up. Imports
genai_metrics.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genai_metrics.blockfile import MAX_FILE_BYTES, SUFFIX
from genai_metrics.ownership import GROUP, UnsafeDirectoryError, check_directory, check_link, open_directory

MIB = 1024 * 1024


class DirectoryError(Exception):
    """The metrics directory cannot be served; the text names it and the remedy."""


def refusal(path: Path, shared: str | None) -> str | None:
    """Return why a metrics directory that exists could not be opened, or None; touches nothing."""
    try:
        os.close(open_directory(path, shared=shared, make=False))
    except FileNotFoundError:
        pass
    except UnsafeDirectoryError as error:
        return f"metrics directory refused: {error}"
    except OSError as error:
        return f"metrics directory {path} cannot be used: {why(error, path)}"
    return None


def why(error: OSError, path: Path) -> str:
    """Return the reason of an error in words, with the file's name where that is not ``path``; no error numbers."""
    if not error.strerror:
        return str(error)
    elsewhere = error.filename is not None and str(error.filename) != str(path)
    return f"{error.filename}: {error.strerror}" if elsewhere else error.strerror


class UntrustedFileError(OSError):
    """A file that no writer of ours has made: another kind of file, another user's, or one that lies elsewhere too."""


@dataclass(frozen=True)
class Limits:
    """How much of a metrics directory is read in one scrape, so that whatever lies there cannot exhaust the exporter.

    ``files``: block files that are opened. A small one takes 20 µs, so that 10 000 take 0.2 s, and no machine runs
    that many processes; of a longer backlog each scrape takes and folds a part. ``file_bytes``: used bytes of one file,
    by default what a writer can use at most. ``total_bytes``: used bytes of all files, which are also held in memory;
    by default some 30 million values, as of 3 million series in ten processes each.
    """

    files: int = 10_000
    file_bytes: int = MAX_FILE_BYTES
    total_bytes: int = 256 * MIB


class MetricsDirectory:
    """An opened metrics directory. Its methods take names of files in it, never paths; one thread at a time.

    ``shared``: ``"group"`` where users of one group write to it on purpose, else ``None``. All methods raise
    ``OSError``.
    """

    def __init__(self, path: Path, shared: str | None = None) -> None:
        self.path = path
        self.shared = shared
        self._fd = -1

    def open(self, *, make: bool) -> None:
        """Open the directory, made if missing and ``make``; raises ``OSError`` too when strangers may write to it."""
        self._fd = open_directory(self.path, shared=self.shared, make=make)

    def close(self) -> None:
        """Let go of the directory."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def check(self) -> None:
        """Raise ``OSError`` unless the path still names the directory that was opened and strangers cannot write."""
        now = os.stat(self.path)
        if not os.path.samestat(now, os.fstat(self._fd)):
            raise OSError(f"{self.path} is another directory than at the start: restart the exporter")
        check_link(self.path)
        check_directory(now, self.path, self.shared)

    def block_files(self) -> set[str]:
        """Return the names of all entries that are named as block files are."""
        with os.scandir(self._fd) as entries:
            return {entry.name for entry in entries if entry.name.endswith(SUFFIX)}

    def old_files(self, prefix: str, before: float) -> list[str]:
        """Return the names of regular files that begin with ``prefix`` and were last changed before that Unix time."""
        found = []
        with os.scandir(self._fd) as entries:
            for entry in entries:
                with suppress(OSError):
                    is_one = entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False)
                    if is_one and entry.stat(follow_symlinks=False).st_mtime < before:
                        found.append(entry.name)
        return found

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int:
        """Return a descriptor of a regular file; made with mode 0600 if ``flags`` have ``O_CREAT`` and it is missing.

        Raises ``UntrustedFileError`` for anything else, ``FileNotFoundError`` if it is missing; never blocks.
        """
        # O_NOFOLLOW: nothing outside the directory. O_NONBLOCK: a FIFO of that name must not hold us up.
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._fd)
        try:
            self._check_file(os.fstat(fd), name)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def read(self, name: str) -> bytes:
        """Return the contents of a regular file."""
        fd = self.open_file(name)
        try:
            with open(fd, "rb", buffering=0, closefd=False) as file:
                return file.read()
        finally:
            os.close(fd)

    def append(self, name: str, data: bytes) -> None:
        """Append to a file that exists, durably."""
        fd = self.open_file(name, os.O_WRONLY | os.O_APPEND)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(f"{name} was written in part only")
            os.fdatasync(fd)
        finally:
            os.close(fd)

    def truncate(self, name: str, size: int) -> None:
        """Cut a file off at ``size`` bytes."""
        fd = self.open_file(name, os.O_WRONLY)
        try:
            os.ftruncate(fd, size)
        finally:
            os.close(fd)

    def replace(self, name: str, temporary: str, data: bytes) -> None:
        """Replace a file by ``data``: at any moment of a crash either the old or the new one is there.

        What was written of a new one that fails is removed, so that it takes no room on a full disk.
        """
        # Made anew: one that lies there already may be another name of a file elsewhere, which must not be overwritten.
        self.unlink(temporary)
        try:
            fd = self.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.fchmod(fd, 0o600)
                view = memoryview(data)
                while view:
                    view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except OSError:
            with suppress(OSError):
                self.unlink(temporary)
            raise
        self.sync()

    def unlink(self, name: str) -> None:
        """Remove a name, if it is there; what a link leads to stays."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    def exists(self, name: str) -> bool:
        """Whether anything has that name."""
        return self.status(name) is not None

    def status(self, name: str) -> os.stat_result | None:
        """Return what is known of a name, itself if it is a link; ``None`` when there is none."""
        try:
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def sync(self) -> None:
        """Make a rename, a new name or a removal durable."""
        os.fsync(self._fd)

    def _check_file(self, status: os.stat_result, name: str) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFileError("not a regular file")
        if status.st_nlink > 1:
            # It may be a file of somebody else's, or one of ours, which would be counted twice.
            raise UntrustedFileError(
                f"has {status.st_nlink} names (hard links): remove the others, and copy for backups"
            )
        if status.st_nlink == 0:
            raise FileNotFoundError(f"{name} was removed while it was opened")
        owner = status.st_uid
        if self.shared != GROUP and owner not in (0, os.geteuid(), os.fstat(self._fd).st_uid):
            raise UntrustedFileError(f"belongs to user {owner}, neither to this user nor to the directory's")
