"""Generated passwords in files."""

import os
import secrets
from pathlib import Path


def password(path: Path) -> str:
    """Password in ``path``; generated (192 random bits) when there is no such file yet, then kept.

    The file is readable by all, because containers read it as another user; its folder is not: mode 0700.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if not path.exists():
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(secrets.token_urlsafe(24))
        new.chmod(0o444)
        new.rename(path)
    return path.read_text().strip()
