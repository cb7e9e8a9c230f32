"""One process's block file as the exporter reads it.

With ``read()``, never mapped: a truncated file is an error then, and not a SIGBUS. Imports genai_metrics,
``directory`` and ``totals``.
"""

import fcntl
import logging
import math
import os
from array import array

from genai_exporter.directory import Limits, MetricsDirectory
from genai_exporter.totals import Total, Totals, Values
from genai_metrics.blockfile import MAX_FILE_BYTES, BlockFileError, Header, decode_key, parse_blocks, parse_header
from genai_metrics.catalog import BLOCK_KINDS, EXEMPLAR_KINDS, ExemplarKind
from genai_metrics.exemplars import unpacked

KINDS_BY_LAYOUT = {kind.layout_id: kind for kind in BLOCK_KINDS}
_EXEMPLARS_BY_LAYOUT = {kind.layout_id: kind for kind in EXEMPLAR_KINDS}
_HEADER_BYTES = 4096
# No sum over a process's life comes near; whatever does is damage, and would stay in the archive for ever.
_LARGEST_SUM = 1e300

logger = logging.getLogger("genai_exporter")


class BlockFileReader:
    """Reads one file again and again; blocks found once are not parsed again.

    ``alive``: whether the writer held its lock at the last ``read``. ``started``: Unix time at which the writer made
    the file, ``None`` when the file names no possible time. ``unknown``: blocks of layouts that this version
    does not know; they are neither shown nor ever folded. ``size``: bytes that the last ``read`` took of its budget. A
    ``read`` that fails leaves what an earlier one found, so that no counter falls because a file cannot be read for a
    while.
    """

    def __init__(self, directory: MetricsDirectory, name: str) -> None:
        self.name = name
        self.path = directory.path / name
        self.size = 0
        self._directory = directory
        self.alive = True
        self.unknown = 0
        self.service = ""
        self.started: float | None = None
        self._identity: bytes | None = None
        self._parsed = 0
        # Of each known block: its total, where its doubles lie, and what they were. Three lists: a tuple for each block
        # and scrape would keep the garbage collector busy.
        self._totals: list[Total] = []
        self._spans: list[slice] = []
        self._values: list[Values] = []
        self._exemplars: list[_ExemplarBlock] = []
        self._removed = False

    def read(self, totals: Totals, limits: Limits, budget: int) -> None:
        """Read the file; raises ``BlockFileError`` when it is not sound, ``OSError`` when it cannot be read.

        ``budget``: the bytes that are left of ``limits.total_bytes``; more than that, or than ``limits.file_bytes``, is
        an error.
        A file that was there and is not any more counts as that of an ended process: what it had counted stays true.
        """
        self.size = 0
        try:
            fd = self._directory.open_file(self.name)
        except FileNotFoundError:
            if self._identity is None:
                raise
            self._note_removal()
            return
        try:
            # Before reading: of a writer that is dead by now, everything is there.
            self.alive = is_locked(fd)
            header = parse_header(os.pread(fd, _HEADER_BYTES, 0))
            if header.used > MAX_FILE_BYTES:
                raise BlockFileError(f"claims {header.used} bytes, more than any writer uses")
            if header.used > limits.file_bytes:
                raise BlockFileError(f"uses more than metrics_dir_limits.file_bytes ({limits.file_bytes})")
            if header.used > budget:
                raise BlockFileError(f"finds no room within metrics_dir_limits.total_bytes ({limits.total_bytes})")
            present = os.fstat(fd).st_size
            if header.used > present:
                raise BlockFileError(f"truncated: {header.used} bytes used, {present} present")
            self.size = header.used
            data = os.pread(fd, header.used, 0)
        finally:
            os.close(fd)
        self._accept(header, data, totals)

    def add_to_totals(self, round_: int) -> None:
        """Add what the last ``read`` found to its totals; gauges only while the writer lives."""
        for total, values in zip(self._totals, self._values, strict=True):
            if self.alive or total.kind.merge == "sum":
                total.add(values, round_)

    def counters(self) -> list[tuple[Total, Values]]:
        """Return what outlives the writer: its blocks that are summed over all files, by total."""
        pairs = zip(self._totals, self._values, strict=True)
        return [(total, values) for total, values in pairs if total.kind.merge == "sum"]

    def _note_removal(self) -> None:
        if not self._removed:
            logger.warning(
                "%s: removed, and not by this exporter; what it had counted is kept%s",
                self.path,
                ", what its process goes on recording is lost" if self.alive else "",
            )
        self._removed = True
        self.alive = False
        self.unknown = 0

    def _accept(self, header: Header, data: bytes, totals: Totals) -> None:
        if self._identity not in (None, header.token):
            raise BlockFileError("another writer's file has taken this name")
        parsed = self._parsed or header.size
        if header.used < parsed:
            raise BlockFileError(f"its used part has shrunk from {parsed} to {header.used} bytes")
        if "\0" in header.service:
            raise BlockFileError("service name has a NUL")
        # All is checked before the first total is made: a file that is refused leaves no series behind.
        blocks = list(parse_blocks(data, parsed, header.used))
        doubles = array("d", data[: header.used])
        values = [doubles[span] for span in self._spans]
        new = []
        new_exemplars = []
        unknown = 0
        for block in blocks:
            kind = KINDS_BY_LAYOUT.get(block.layout_id) or _EXEMPLARS_BY_LAYOUT.get(block.layout_id)
            if kind is None or kind.slots != block.slots:
                unknown += 1
                continue
            _check_key(block.key, block.offset)
            span = slice(block.offset // 8, block.offset // 8 + block.slots)
            if isinstance(kind, ExemplarKind):
                new_exemplars.append((kind, block.key, span))
            else:
                new.append((kind, block.key, span, doubles[span]))
        for part in (*values, *(part for *_, part in new)):
            # One comparison for NaN, infinities and sums that would overflow.
            if not -_LARGEST_SUM < sum(part) < _LARGEST_SUM:
                raise BlockFileError("impossible numbers in a block")
        for kind, key, span, part in new:
            total = totals.find(kind, header.service, key)
            if total is None:
                unknown += 1
                continue
            self._totals.append(total)
            self._spans.append(span)
            values.append(part)
        for exemplar_kind, key, span in new_exemplars:
            total = totals.find(exemplar_kind.of, header.service, key)
            if total is None:
                unknown += 1
            else:
                self._exemplars.append(_ExemplarBlock(exemplar_kind, total, span))
        for exemplars in self._exemplars:
            exemplars.update(doubles, totals)
        self._identity, self.service, self._parsed = header.token, header.service, header.used
        self.started = header.start_time if 0 < header.start_time < math.inf else None
        self._values = values
        self.unknown += unknown


class _ExemplarBlock:
    """Where the exemplars of one total lie in a file, and what they were."""

    __slots__ = ("_kind", "_seen", "_span", "_total")

    def __init__(self, kind: ExemplarKind, total: Total, span: slice) -> None:
        self._kind, self._total, self._span = kind, total, span
        self._seen = b""

    def update(self, doubles: Values, totals: Totals) -> None:
        """Give ``totals`` what is there now; reading it takes long, so only if it has changed."""
        values = doubles[self._span]
        data = values.tobytes()
        if data != self._seen:
            self._seen = data
            totals.note_exemplars(self._total, self._kind.metrics[0], unpacked(self._kind, values))


def _check_key(key: bytes, offset: int) -> None:
    try:
        decode_key(key)
    except UnicodeDecodeError:
        raise BlockFileError(f"block at {offset} has a key that is not UTF-8") from None


def is_locked(fd: int) -> bool:
    """Whether another open file description holds an ``flock`` on the file: its writer lives, in whatever namespace."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(fd, fcntl.LOCK_UN)
    return False
