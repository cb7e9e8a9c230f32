"""The file in which one process keeps its blocks: format, write side and read side.

Layout (native byte order, everything aligned to 8 bytes)::

    0   magic        8 bytes
    8   version      u32      format version
    12  header size  u32      where the first block starts
    16  used         u64      bytes that hold complete blocks; moves on only after a block is complete
    24  pid          u64      in the writer's pid namespace: for people, never for decisions
    32  start time   f64      Unix time at which the file was made
    40  token        16 bytes random: with pid and start time the writer's identity
    56  service size u32, padding u32
    64  service name UTF-8, padded with zeros
    then blocks: layout id u32, key size u32, slot count u32, CRC-32 of the three and the key u32,
                 key (label values, UTF-8, separated by NUL, padded), doubles

The writer holds an ``flock`` on the file for its whole life: that, not the pid, says whether it lives. The file is made
large and sparse once and never grows or moves; disk is reserved before a block is handed out, because a write to a
sparse page on a full disk is SIGBUS and would kill the application. Imports the catalogue and ``ownership``.
"""

import errno
import mmap
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genai_metrics.catalog import BlockKind
from genai_metrics.ownership import open_directory, set_owner

try:
    import fcntl
except ImportError:  # Windows: no flock, so no files; the recorder then keeps private memory
    fcntl = None  # type: ignore[assignment]

MAGIC = b"GENAIBLK"
VERSION = 1
SUFFIX = ".blocks"
TEMPORARY_PREFIX = ".new-"
MAX_FILE_BYTES = 64 * 1024 * 1024
RESERVE_BYTES = 64 * 1024

_HEADER = struct.Struct("=8sIIQQd16sII")
_BLOCK = struct.Struct("=IIII")
_USED_INDEX = 16 // 8  # of the u64 at offset 16, in a view of u64


class BlockFileError(ValueError):
    """A file is not a block file of this version, or its contents contradict themselves; the text says how."""


@dataclass(frozen=True)
class Header:
    """What a block file says of its writer. ``used`` is in bytes, ``start_time`` in Unix seconds."""

    used: int
    size: int
    pid: int
    start_time: float
    token: bytes
    service: str


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """Where one block lies in a file: ``offset`` of its first double in bytes, ``slots`` doubles."""

    layout_id: int
    key: bytes
    offset: int
    slots: int


def encode_key(key: tuple[str, ...]) -> bytes:
    """Join clean label values (no NUL in them) into the bytes that a file holds."""
    return "\0".join(key).encode()


def decode_key(key: bytes) -> tuple[str, ...]:
    """Split what ``encode_key`` joined."""
    return tuple(key.decode().split("\0"))


def pack_header(*, used: int, size: int, pid: int, start_time: float, token: bytes, service: str) -> bytes:
    """Return header bytes, padded to ``size``."""
    name = service.encode()
    fixed = _HEADER.pack(MAGIC, VERSION, size, used, pid, start_time, token, len(name), 0)
    return (fixed + name).ljust(size, b"\0")


def header_size(service: str) -> int:
    """Return the number of bytes that the header of a file of ``service`` takes."""
    return _padded(_HEADER.size + len(service.encode()))


def pack_block(layout_id: int, key: bytes, slots: int) -> bytes:
    """Return the bytes of a block up to its first double."""
    crc = zlib.crc32(key, zlib.crc32(struct.pack("=III", layout_id, len(key), slots)))
    return (_BLOCK.pack(layout_id, len(key), slots, crc) + key).ljust(_padded(_BLOCK.size + len(key)), b"\0")


def parse_header(data: bytes) -> Header:
    """Read a header from the start of ``data``; raises ``BlockFileError``."""
    if len(data) < _HEADER.size:
        raise BlockFileError(f"only {len(data)} bytes long")
    magic, version, size, used, pid, start_time, token, name_size, _ = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BlockFileError("not a block file (wrong magic)")
    if version != VERSION:
        raise BlockFileError(f"format version {version}, this reader knows {VERSION}")
    if size != _padded(_HEADER.size + name_size) or used < size or len(data) < size:
        raise BlockFileError("header lengths contradict each other")
    try:
        service = data[_HEADER.size : _HEADER.size + name_size].decode()
    except UnicodeDecodeError:
        raise BlockFileError("service name is not UTF-8") from None
    return Header(used, size, pid, start_time, token, service)


def parse_blocks(data: bytes, start: int, used: int) -> Iterator[StoredBlock]:
    """Yield the blocks between two offsets of ``data``; raises ``BlockFileError`` at the first that is not sound."""
    if used > len(data):
        raise BlockFileError(f"truncated: {used} bytes used, {len(data)} present")
    offset = start
    while offset < used:
        if offset + _BLOCK.size > used:
            raise BlockFileError(f"block at {offset} is cut off")
        layout_id, key_size, slots, crc = _BLOCK.unpack_from(data, offset)
        values = offset + _padded(_BLOCK.size + key_size)
        end = values + 8 * slots
        if end > used:
            raise BlockFileError(f"block at {offset} reaches past the used part")
        key = data[offset + _BLOCK.size : offset + _BLOCK.size + key_size]
        if crc != zlib.crc32(key, zlib.crc32(struct.pack("=III", layout_id, key_size, slots))):
            raise BlockFileError(f"block at {offset} has a wrong checksum")
        yield StoredBlock(layout_id, key, values, slots)
        offset = end


class BlockFileWriter:
    """A process's own block file. Not thread-safe: the recorder serialises ``append``; values need no lock of it.

    Making one raises ``OSError`` (no space, no permission, no ``flock``, a directory that strangers may write to);
    nothing is left behind then. ``shared``: as for ``ownership.open_directory``.
    """

    def __init__(
        self, directory: Path, service: str, *, shared: str | None = None, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        if fcntl is None:
            raise OSError(errno.ENOTSUP, "this platform has no flock")
        token = secrets.token_bytes(16)
        slug = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in service)[:60]
        self.path = directory / f"{slug}-{os.getpid()}-{token.hex()}{SUFFIX}"
        temporary = f"{TEMPORARY_PREFIX}{token.hex()}"
        directory_fd = open_directory(directory, shared=shared)
        try:
            self._make(directory_fd, temporary, service, token, shared, max_bytes)
        finally:
            os.close(directory_fd)

    def _make(
        self, directory_fd: int, temporary: str, service: str, token: bytes, shared: str | None, max_bytes: int
    ) -> None:
        """Make the file, locked and with its header, and give it its name last."""
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._reserved = 0
        # Locked before it has its final name: the exporter takes an unlocked block file for that of a dead process.
        self._lock_fd = os.open(temporary, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory_fd)
        try:
            set_owner(self._lock_fd, directory_fd, shared)
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._identity = _identity(self._lock_fd)
            os.ftruncate(self._lock_fd, max_bytes)
            size = header_size(service)
            self._reserve(size)
            # A second description of the file: mmap keeps a duplicate of its descriptor for ever, a forked child
            # inherits that too, and it must not carry the lock.
            fd = os.open(temporary, flags, dir_fd=directory_fd)
            try:
                self._map = mmap.mmap(fd, max_bytes)
            finally:
                os.close(fd)
            self._map[:size] = pack_header(
                used=size, size=size, pid=os.getpid(), start_time=time.time(), token=token, service=service
            )
            self._doubles = memoryview(self._map).cast("d")
            self._words = memoryview(self._map).cast("Q")
            self._used = size
            os.rename(temporary, self.path.name, src_dir_fd=directory_fd, dst_dir_fd=directory_fd)
        except BaseException:
            os.close(self._lock_fd)
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=directory_fd)
            raise

    def append(self, kind: BlockKind, key: tuple[str, ...]) -> "memoryview[float]":
        """Add a zeroed block and return its doubles; raises ``OSError`` when there is no disk or no room for it."""
        head = pack_block(kind.layout_id, encode_key(key), kind.slots)
        start = self._used + len(head)
        end = start + 8 * kind.slots
        if end > len(self._map):
            raise OSError(errno.EFBIG, f"{self.path.name} is full")
        self._reserve(end)
        self._map[self._used : start] = head
        self._used = end
        # Last, and in one aligned store: a reader that sees the new length sees the whole block.
        self._words[_USED_INDEX] = end
        return self._doubles[start // 8 : end // 8]

    def let_go(self) -> None:
        """Give up the lock, so that the file counts as a dead process's; in a forked child, that of the parent stays.

        Closed, not unlocked: parent and child share the lock, and as long as either has it open the parent looks alive.
        """
        if self._owns_descriptor():
            os.close(self._lock_fd)

    def _owns_descriptor(self) -> bool:
        """Whether the descriptor is still our file: an application may have closed all, and opened others since."""
        try:
            return _identity(self._lock_fd) == self._identity
        except OSError:
            return False

    def _reserve(self, end: int) -> None:
        """Have the disk set aside for the bytes up to ``end``."""
        if self._reserved < end and not self._owns_descriptor():
            raise OSError(errno.EBADF, f"the application has closed the descriptor of {self.path.name}")
        while self._reserved < end:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._lock_fd, self._reserved, RESERVE_BYTES)
            else:  # macOS
                os.pwrite(self._lock_fd, bytes(RESERVE_BYTES), self._reserved)
            self._reserved += RESERVE_BYTES


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _padded(size: int) -> int:
    return (size + 7) & ~7
