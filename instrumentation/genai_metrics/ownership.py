"""Who may write to a metrics directory: opening it, making it for its owner alone, refusing what strangers may change.

Applications and exporter use it alike. Imports the standard library only; POSIX.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

GROUP = "group"
"""Value of ``shared`` for a directory that several users of one group write to on purpose."""

SHARED_CHOICES = (GROUP,)

_OTHERS_MAY_WRITE = stat.S_IWOTH
_GROUP_MAY_WRITE = stat.S_IWGRP


class UnsafeDirectoryError(OSError):
    """Somebody whom this process need not trust may write to the directory; the text names it and the remedy."""


def open_directory(path: Path, *, shared: str | None = None, make: bool = True) -> int:
    """Return a descriptor of the directory at ``path``, made for this user alone if it is missing and ``make``.

    A missing one gets mode 0700 whatever the umask, with ``shared="group"`` 2770, so that files in it get its group;
    missing parents get 0755 less the umask. ``path`` may be a symbolic link, if root or this user made it. What is
    inside is to be opened relative to the descriptor: it stays this directory whatever happens to its name.

    Raises ``UnsafeDirectoryError`` as ``check_directory`` does, ``OSError`` when there is none or it cannot be opened.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    made = False
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        if not make:
            raise
        made = _make(path)
        fd = os.open(path, flags)
    try:
        if made:
            # mkdir() takes the umask off: without this a strict one would leave a directory that nobody can use.
            os.fchmod(fd, 0o2770 if shared == GROUP else 0o700)
        check_link(path)
        check_directory(os.fstat(fd), path, shared)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_directory(status: os.stat_result, path: Path, shared: str | None = None) -> None:
    """Raise ``UnsafeDirectoryError`` unless only this user and root may write to the directory.

    With ``shared="group"`` its group may, too, and any member may own it. Root may use anybody's.
    """
    mode, uid = stat.S_IMODE(status.st_mode), os.geteuid()
    if mode & _OTHERS_MAY_WRITE:
        # Where the sticky bit is set, as of /tmp, all are meant to write.
        closing = "" if mode & stat.S_ISVTX else f"run chmod o-w {path}, or "
        raise UnsafeDirectoryError(
            f"every user of this machine may write to {path} (mode {mode:04o}): {closing}name a "
            "folder in it that does not exist yet, which is then made for this user alone"
        )
    if shared == GROUP:
        return
    if mode & _GROUP_MAY_WRITE:
        raise UnsafeDirectoryError(
            f"the group {status.st_gid} may write to {path} (mode {mode:04o}): run chmod g-w {path}, or, where users "
            "of this group share it on purpose, set GENAI_METRICS_DIR_SHARED=group for applications and exporter"
        )
    if uid not in (0, status.st_uid) and status.st_uid != 0:
        raise UnsafeDirectoryError(
            f"{path} belongs to user {status.st_uid}, and this process runs as user {uid}: run applications and "
            "exporter as the same user, or let them share it as a group (GENAI_METRICS_DIR_SHARED=group)"
        )


def check_link(path: Path) -> None:
    """Raise ``UnsafeDirectoryError`` if ``path`` is a symbolic link of somebody who may lead us astray by it."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, os.geteuid()):
        raise UnsafeDirectoryError(
            f"{path} is a symbolic link that user {status.st_uid} made: name the directory that is meant instead"
        )


def file_mode(shared: str | None) -> int:
    """Return the mode of files in a metrics directory: 0600, with ``shared="group"`` 0640."""
    return 0o640 if shared == GROUP else 0o600


def set_owner(fd: int, directory_fd: int, shared: str | None) -> None:
    """Give a new file its mode, whatever the umask, and, where a group shares the directory, that group."""
    os.fchmod(fd, file_mode(shared))
    if shared == GROUP:
        # Not a member: then the exporter cannot read the file, and says so.
        with suppress(OSError):
            os.fchown(fd, -1, os.fstat(directory_fd).st_gid)


def _make(path: Path) -> bool:
    """Make a directory and its missing parents; whether the directory itself was made here."""
    for parent in reversed(path.parents):
        if not parent.exists():
            with suppress(FileExistsError):
                os.mkdir(parent, 0o755)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:  # another process was faster, or it is a dangling link
        return False
    return True
