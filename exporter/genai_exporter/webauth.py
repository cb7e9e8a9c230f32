"""Passwords: bcrypt in a thread of its own, each right one computed once.

One thread, as bcrypt is there to cost time: guessers slow each other down, not the exporter. Nothing that was
computed is kept in clear: only a keyed hash, with a key that this process made.
"""

import asyncio
import base64
import binascii
import hashlib
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import bcrypt

MAX_WAITING: Final = 16
"""Checks that may wait for the thread; what comes then is turned away, because nobody would wait for an answer."""

_MAX_KNOWN = 1000
_MAX_BYTES = 72  # bcrypt looks at no more, and the library refuses to cut
_DEFAULT_COST = 10
# Salt and hash of nothing in particular: a name that does not exist must cost as much time as one that does.
_NOBODYS = "QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


class BusyError(Exception):
    """Too many passwords wait to be checked."""


@dataclass(frozen=True)
class Credentials:
    """What a client says it is."""

    user: bytes
    password: bytes = field(repr=False)


def parse(header: bytes | None) -> Credentials | None:
    """Read an ``Authorization`` header (RFC 7617); None if it is absent or not basic authentication."""
    scheme, _, encoded = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return Credentials(user, password) if colon else None


class Passwords:
    """Checks passwords; its methods belong to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bcrypt")
        self._secret = secrets.token_bytes(32)
        self._right: dict[bytes, None] = {}
        self._running: dict[bytes, asyncio.Future[bool]] = {}

    async def are_right(self, credentials: Credentials, users: Mapping[str, str]) -> bool:
        """Whether the password belongs to the user; an unknown user takes as long as a wrong password.

        ``users`` maps names to bcrypt hashes. Equal questions at the same time are computed once. Raises
        ``BusyError`` when too many wait.
        """
        hashed = users.get(credentials.user.decode("utf-8", "replace"))
        key = self._key(credentials, hashed)
        if key in self._right:
            return True
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= MAX_WAITING:
                raise BusyError
            against = hashed if hashed is not None else _nobodys_hash(users)
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._thread, _check, credentials.password, against)
            self._running[key] = running
            running.add_done_callback(lambda done: self._finished(key, done, hashed is not None))
        # A client that goes away must not cancel the check that others wait for.
        return await asyncio.shield(running) and hashed is not None

    def close(self) -> None:
        """Let the thread end after what it computes."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _key(self, credentials: Credentials, hashed: str | None) -> bytes:
        # The hash is part of it: a changed password makes what was known about the old one worthless.
        digest = hashlib.blake2b(key=self._secret, digest_size=32)
        for part in (credentials.user, credentials.password, (hashed or "").encode()):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def _finished(self, key: bytes, done: asyncio.Future[bool], exists: bool) -> None:
        del self._running[key]
        if not done.cancelled() and done.exception() is None and done.result() and exists:
            if len(self._right) >= _MAX_KNOWN:
                del self._right[next(iter(self._right))]
            self._right[key] = None


def _check(password: bytes, hashed: str) -> bool:
    try:
        return bcrypt.checkpw(password[:_MAX_BYTES], hashed.encode())
    except ValueError:  # a password with a NUL, which bcrypt cannot hash
        return False


def _nobodys_hash(users: Mapping[str, str]) -> str:
    cost = max((int(hashed.split("$")[2]) for hashed in users.values()), default=_DEFAULT_COST)
    return f"$2b${cost:02}${_NOBODYS}"
