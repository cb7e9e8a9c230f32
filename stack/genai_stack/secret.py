"""Generated passwords in files."""

import os
import secrets
from pathlib import Path


def private(folder: Path) -> None:
    """Make a folder, and those around it, that its owner alone can enter."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)


def password(path: Path) -> str:
    """Password in ``path``; generated (192 random bits) when there is no such file yet, then kept.

    The file is readable by all, because containers read it as another user: its folder must keep others out.
    """
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(secrets.token_urlsafe(24))
        new.chmod(0o444)
        new.rename(path)
    return path.read_text().strip()
