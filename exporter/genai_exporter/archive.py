"""The archive: what processes that have ended had counted.

A fold writes the archive and the dead files' counts to a temporary file, syncs it, renames it over the archive, syncs
the directory, and only then unlinks the dead files. The archive names the files that are in it, so that a crash between
any two steps neither loses nor doubles a count: a named file that still exists is left out of every sum and unlinked.

The format is that of a block file with the service in front of each key, and the CRC-32 of all blocks where a process
has its token. Blocks of equal key add up: sums are kept exactly (see ``exact_sum``), or a fold would change the last
bit of a counter. Imports genai_metrics and ``totals``.
"""

import os
import struct
import zlib
from array import array
from collections.abc import Iterable

from genai_exporter.blockreader import KINDS_BY_LAYOUT, BlockFileReader
from genai_exporter.directory import MetricsDirectory
from genai_exporter.totals import Total, TotalKey, Totals, Values, exact_sum
from genai_metrics.blockfile import (
    BlockFileError,
    StoredBlock,
    header_size,
    pack_block,
    pack_header,
    parse_blocks,
    parse_header,
)

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

    def __init__(self, directory: MetricsDirectory) -> None:
        self._directory = directory
        self.folded_names: set[str] = set()
        self.folded_count = 0
        self._counts: dict[TotalKey, tuple[Total, list[Values]]] = {}
        self._unknown: list[bytes] = []

    def load(self, totals: Totals) -> None:
        """Read the archive, if there is one; raises ``BlockFileError`` or ``OSError``."""
        try:
            data = self._directory.read(ARCHIVE_NAME)
        except FileNotFoundError:
            return
        header = parse_header(data)
        if header.token != _checksum(data[header.size : header.used]):
            raise BlockFileError("truncated or damaged (wrong checksum)")
        doubles = array("d", data[: header.used])
        for block in parse_blocks(data, header.size, header.used):
            values = doubles[block.offset // 8 : block.offset // 8 + block.slots]
            if block.layout_id == _FOLDED_NAME:
                if b"/" in block.key:
                    raise BlockFileError("names a file outside the directory")
                self.folded_names.add(os.fsdecode(block.key))
            elif block.layout_id == _FOLDED_COUNT:
                self.folded_count = int(values[0])
            else:
                total = self._find(totals, block)
                if total is None:
                    self._unknown.append(
                        _packed(block.layout_id, block.key, data[block.offset : block.offset + 8 * block.slots])
                    )
                else:
                    self._counts.setdefault(total.name, (total, []))[1].append(values)

    def add_to_totals(self, round_: int) -> None:
        """Add all counts to their totals."""
        for total, vectors in self._counts.values():
            for values in vectors:
                total.add(values, round_)

    def fold(self, dead: Iterable[BlockFileReader]) -> None:
        """Take over the counts of dead files, make that durable, and remove the files.

        Raises ``OSError`` when the archive cannot be written; then nothing has changed.
        """
        names = {name for name in self.folded_names if self._directory.exists(name)}
        added: dict[TotalKey, tuple[Total, list[Values]]] = {}
        folded = 0
        for reader in dead:
            for total, values in reader.counters():
                added.setdefault(total.name, (total, []))[1].append(values)
            names.add(reader.name)
            folded += 1
        counts = dict(self._counts)
        for name, (total, parts) in added.items():
            earlier = counts[name][1] if name in counts else []
            counts[name] = (total, exact_sum([*earlier, *parts]))
        self._write(counts, names, self.folded_count + folded)
        self._counts, self.folded_names = counts, names
        self.folded_count += folded
        self.unlink_folded()

    def unlink_folded(self) -> None:
        """Remove files whose counts are in the archive; one that cannot be removed stays left out of all sums."""
        for name in sorted(self.folded_names):
            try:
                self._directory.unlink(name)
            except OSError:
                continue

    def _write(self, counts: dict[TotalKey, tuple[Total, list[Values]]], names: set[str], folded: int) -> None:
        parts = [_packed(_FOLDED_COUNT, b"", struct.pack("=d", folded))]
        parts += [_packed(_FOLDED_NAME, os.fsencode(name), b"") for name in sorted(names)]
        parts += self._unknown
        parts += [
            _packed(total.kind.layout_id, total.service.encode() + b"\0" + total.key, values.tobytes())
            for total, vectors in counts.values()
            for values in vectors
        ]
        body = b"".join(parts)
        size = header_size("")
        head = pack_header(
            used=size + len(body), size=size, pid=os.getpid(), start_time=0.0, token=_checksum(body), service=""
        )
        self._directory.replace(ARCHIVE_NAME, _TEMPORARY_NAME, head + body)

    @staticmethod
    def _find(totals: Totals, block: StoredBlock) -> Total | None:
        kind = KINDS_BY_LAYOUT.get(block.layout_id)
        service, _, key = block.key.partition(b"\0")
        return None if kind is None or kind.slots != block.slots else totals.find(kind, service.decode(), key)


def _packed(layout_id: int, key: bytes, doubles: bytes) -> bytes:
    return pack_block(layout_id, key, len(doubles) // 8) + doubles


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(16, "little")
