"""Tenants by a keyed hash instead of their names, so that metrics tell nobody who the customers are.

A hash without a key would not do: names can be guessed, and each guess checked. Imports the catalogue; hmac when used.
"""

import os
import stat
from pathlib import Path

from genai_metrics.catalog import OVERFLOW

UNHASHED = "__unhashed__"
"""Label value of all tenants while there is no usable key: nothing leaks, and sums over tenants stay right."""

LABEL = "tenant"
"""The label whose values are hashed."""

LEAST_KEY_BYTES = 32
_MOST_KEY_BYTES = 64 * 1024
_HEX_DIGITS = 16


class KeyFileError(ValueError):
    """A key file that cannot be used; the text names it and the remedy."""


def read_key(path: Path) -> bytes:
    """Return the key in a file, without the line break at its end.

    Nobody but the file's owner, this user or root, may have access to it; the group may read one of root's, as
    Kubernetes mounts secrets. Raises ``KeyFileError``.
    """
    if not path.name:
        raise KeyFileError("tenant hash key file: the name is empty; give a file, or leave it out")
    try:
        # O_NONBLOCK: a FIFO of that name must not hold us up. Links are followed: Kubernetes' secrets are links.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check(os.fstat(fd), path)
            key = os.read(fd, _MOST_KEY_BYTES + 3)
        finally:
            os.close(fd)
    except OSError as error:
        raise KeyFileError(f"tenant hash key file {path} cannot be read: {error.strerror}") from error
    key = key.rstrip(b"\r\n")
    if not LEAST_KEY_BYTES <= len(key) <= _MOST_KEY_BYTES:
        raise KeyFileError(
            f"tenant hash key file {path} holds {len(key)} bytes; it takes {LEAST_KEY_BYTES} random ones at least "
            f"and {_MOST_KEY_BYTES} at most: openssl rand -hex 32 makes a good key"
        )
    return key


def hashed(key: bytes, tenant: str) -> str:
    """Return what stands for a clean tenant name: 16 hexadecimal digits of its HMAC-SHA256; ``__other__`` as it is.

    64 bits: among 1000 tenants two are alike with a probability of 3e-14.
    """
    if tenant in (OVERFLOW, UNHASHED):
        return tenant
    import hmac  # takes milliseconds, and most applications hash nothing

    return hmac.digest(key, tenant.encode(), "sha256").hex()[:_HEX_DIGITS]


class TenantHash:
    """Hashes tenants with the key in a file, which is read once: forked children that may not read it have it, too.

    ``problem``: why there is no key, after ``load``; then all tenants are ``__unhashed__``. Thread-safe.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: bytes | None = None
        self.problem: str | None = None

    def load(self) -> None:
        """Read the key unless it is there; never raises."""
        if self._key is not None:
            return
        try:
            self._key, self.problem = read_key(self._path), None
        except Exception as error:
            self.problem = str(error)

    def label(self, tenant: str) -> str:
        """Return the label value for a clean tenant name."""
        return UNHASHED if self._key is None else hashed(self._key, tenant)


def _check(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"tenant hash key file {path} is not a regular file")
    uid, mode = os.geteuid(), stat.S_IMODE(status.st_mode)
    if status.st_uid not in (0, uid):
        raise KeyFileError(
            f"tenant hash key file {path} belongs to user {status.st_uid}: give it to this user ({uid}) or to root"
        )
    others = 0o037 if status.st_uid == 0 != uid else 0o077
    if mode & others:
        raise KeyFileError(f"others have access to the tenant hash key file {path} (mode {mode:04o}): chmod 600 it")
