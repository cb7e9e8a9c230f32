"""One process's block file as the exporter reads it.

With ``read()``, never mapped: a truncated file is an error then, and not a SIGBUS. Imports genai_metrics and
``totals``.
"""

import fcntl
import os
import stat
from array import array
from pathlib import Path

from genai_exporter.totals import Total, Totals
from genai_metrics.blockfile import MAX_FILE_BYTES, BlockFileError, Header, parse_blocks, parse_header
from genai_metrics.catalog import BLOCK_KINDS

KINDS_BY_LAYOUT = {kind.layout_id: kind for kind in BLOCK_KINDS}
_HEADER_BYTES = 4096


class BlockFileReader:
    """Reads one file again and again; blocks found once are not parsed again.

    ``alive``: whether the writer held its lock at the last ``read``. ``unknown``: blocks of layouts that this version
    does not know; they are neither shown nor ever folded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.alive = True
        self.unknown = 0
        self.service = ""
        self._identity: bytes | None = None
        self._parsed = 0
        self._index: list[tuple[Total, int, int]] = []
        self._values: list[float] = []

    def read(self, totals: Totals) -> None:
        """Read the file; raises ``BlockFileError`` when it is not sound, ``OSError`` when it cannot be read."""
        # O_NOFOLLOW: nothing outside the directory. O_NONBLOCK: a FIFO of that name must not hold us up.
        fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BlockFileError("not a regular file")
            # Before reading: of a writer that is dead by now, everything is there.
            self.alive = is_locked(fd)
            header = parse_header(os.pread(fd, _HEADER_BYTES, 0))
            if header.used > MAX_FILE_BYTES:
                raise BlockFileError(f"claims {header.used} bytes, more than any writer uses")
            data = os.pread(fd, header.used, 0)
        finally:
            os.close(fd)
        self._accept(header, data, totals)

    def add_to_totals(self, round_: int) -> None:
        """Add what the last ``read`` found to its totals; gauges only while the writer lives."""
        for total, start, end in self._index:
            if self.alive or total.kind.merge == "sum":
                total.add(self._values[start:end], round_)

    def counters(self) -> list[tuple[Total, list[float]]]:
        """Return what outlives the writer: its blocks that are summed over all files, by total."""
        return [(total, self._values[start:end]) for total, start, end in self._index if total.kind.merge == "sum"]

    def _accept(self, header: Header, data: bytes, totals: Totals) -> None:
        if self._identity is None:
            self._identity, self.service, self._parsed = header.token, header.service, header.size
        elif self._identity != header.token:
            raise BlockFileError("another writer's file has taken this name")
        found = []
        unknown = 0
        for block in parse_blocks(data, self._parsed, header.used):
            kind = KINDS_BY_LAYOUT.get(block.layout_id)
            total = None
            if kind is not None and kind.slots == block.slots:
                try:
                    total = totals.find(kind, self.service, block.key)
                except UnicodeDecodeError:
                    raise BlockFileError(f"block at {block.offset} has a key that is not UTF-8") from None
            if total is None:
                unknown += 1
            else:
                found.append((total, block.offset // 8, block.offset // 8 + block.slots))
        self._index += found
        self.unknown += unknown
        self._parsed = header.used
        doubles = array("d")
        doubles.frombytes(data[: header.used])
        self._values = doubles.tolist()


def is_locked(fd: int) -> bool:
    """Whether another open file description holds an ``flock`` on the file: its writer lives, in whatever namespace."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False
