"""The archive: what processes that have ended had counted.

A fold writes the archive and the dead files' counts to a temporary file, syncs it, renames it over the archive, syncs
the directory, and only then unlinks the dead files. The archive names the files that are in it, so that a crash between
any two steps neither loses nor doubles a count: a named file that still exists is left out of every sum and unlinked.
Imports genai_metrics and ``totals``.
"""

import os
import struct
from array import array
from collections.abc import Iterable
from operator import add
from pathlib import Path

from genai_exporter.blockreader import KINDS_BY_LAYOUT, BlockFileReader
from genai_exporter.totals import Total, TotalKey, Totals
from genai_metrics.blockfile import header_size, pack_block, pack_header, parse_blocks, parse_header
from genai_metrics.catalog import BlockKind

ARCHIVE_NAME = "exporter.archive"
_TEMPORARY_NAME = ".exporter.archive.new"

# Layout ids of what is not a block of the catalogue; CRC-32 makes these two as improbable for one as any other.
_FOLDED_NAME = 0
_FOLDED_COUNT = 1


class Archive:
    """Counts of ended processes in one metrics directory; belongs to the one exporter that holds the directory's lock.

    ``folded_names``: files whose counts are in the archive and that may still exist. ``folded_count``: files folded in
    all. Blocks of layouts that this version does not know are kept as they are.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.folded_names: set[str] = set()
        self.folded_count = 0
        self._counts: dict[TotalKey, tuple[Total, list[float]]] = {}
        self._unknown: list[tuple[int, bytes, list[float]]] = []

    def load(self, totals: Totals) -> None:
        """Read the archive, if there is one; raises ``BlockFileError`` or ``OSError``."""
        path = self._directory / ARCHIVE_NAME
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return
        header = parse_header(data)
        doubles = array("d", data[: header.used]).tolist()
        for block in parse_blocks(data, header.size, header.used):
            values = doubles[block.offset // 8 : block.offset // 8 + block.slots]
            if block.layout_id == _FOLDED_NAME:
                self.folded_names.add(block.key.decode())
            elif block.layout_id == _FOLDED_COUNT:
                self.folded_count = int(values[0])
            else:
                total = self._find(totals, KINDS_BY_LAYOUT.get(block.layout_id), block.key)
                if total is None:
                    self._unknown.append((block.layout_id, block.key, values))
                else:
                    self._counts[total.name] = (total, values)

    def add_to_totals(self, round_: int) -> None:
        """Add all counts to their totals."""
        for total, values in self._counts.values():
            total.add(values, round_)

    def fold(self, dead: Iterable[BlockFileReader]) -> None:
        """Take over the counts of dead files, make that durable, and remove the files.

        Raises ``OSError`` when the archive cannot be written; then nothing has changed.
        """
        counts = dict(self._counts)
        names = {name for name in self.folded_names if (self._directory / name).exists()}
        folded = 0
        for reader in dead:
            for total, values in reader.counters():
                earlier = counts.get(total.name)
                counts[total.name] = (total, values if earlier is None else list(map(add, earlier[1], values)))
            names.add(reader.path.name)
            folded += 1
        self._write(counts, names, self.folded_count + folded)
        self._counts, self.folded_names = counts, names
        self.folded_count += folded
        self.unlink_folded()

    def unlink_folded(self) -> None:
        """Remove files whose counts are in the archive; one that cannot be removed stays left out of all sums."""
        for name in sorted(self.folded_names):
            try:
                (self._directory / name).unlink(missing_ok=True)
            except OSError:
                continue

    def _write(self, counts: dict[TotalKey, tuple[Total, list[float]]], names: set[str], folded: int) -> None:
        parts = [_packed(_FOLDED_COUNT, b"", [float(folded)])]
        parts += [_packed(_FOLDED_NAME, name.encode(), []) for name in sorted(names)]
        parts += [_packed(layout, key, values) for layout, key, values in self._unknown]
        parts += [
            _packed(total.kind.layout_id, total.service.encode() + b"\0" + total.key, values)
            for total, values in counts.values()
        ]
        body = b"".join(parts)
        size = header_size("")
        head = pack_header(
            used=size + len(body), size=size, pid=os.getpid(), start_time=0.0, token=bytes(16), service=""
        )
        write_durably(self._directory, ARCHIVE_NAME, _TEMPORARY_NAME, head + body)

    @staticmethod
    def _find(totals: Totals, kind: BlockKind | None, key: bytes) -> Total | None:
        service, _, rest = key.partition(b"\0")
        return None if kind is None else totals.find(kind, service.decode(), rest)


def write_durably(directory: Path, name: str, temporary_name: str, data: bytes) -> None:
    """Replace a file of ``directory`` by ``data``: at any moment of a crash either the old or the new one is there."""
    temporary = directory / temporary_name
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, directory / name)
    sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Make a rename or a new name in ``directory`` durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _packed(layout_id: int, key: bytes, values: list[float]) -> bytes:
    return pack_block(layout_id, key, len(values)) + struct.pack(f"={len(values)}d", *values)
