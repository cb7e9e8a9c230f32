"""The record of which series exist and which have been shown above 0; survives any end of the exporter.

A series that was shown with its value and comes back as 0 looks like a counter reset to Prometheus, and ``increase()``
then counts everything twice. So a series is written here, durably, *before* it is first shown with its value. The file
is append-only: a record is a kind of record (u8), a key size (u32), the CRC-32 of the key (u32) and the key; what a
crash has cut off at the end had not been shown yet. Imports genai_metrics and ``archive``'s durable write.
"""

import logging
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from genai_exporter.archive import write_durably
from genai_exporter.totals import Total

logger = logging.getLogger("genai_exporter")

SHOWN_NAME = "exporter.shown"
_TEMPORARY_NAME = ".exporter.shown.new"
_RECORD = struct.Struct("=BII")

FOUND = 1
"""The series exists: label caps must admit it again, in this order."""
SHOWN = 2
"""The series may have been shown above 0."""

SeriesId = tuple[int, bytes]
"""Layout id of the block kind; service and key, separated by NUL."""


def series_id(total: Total) -> SeriesId:
    """Return what names a total over restarts of the exporter."""
    return total.kind.layout_id, total.service.encode() + b"\0" + total.key


class ShownRecord:
    """The record of one metrics directory; belongs to the one exporter that holds the directory's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / SHOWN_NAME
        self._failed = False

    def load(self) -> list[tuple[int, SeriesId]] | None:
        """Return the records in order, or ``None`` when there is no record. Rewrites the file without a torn tail."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        records = []
        offset = 0
        while offset + _RECORD.size <= len(data):
            what, size, crc = _RECORD.unpack_from(data, offset)
            body = data[offset + _RECORD.size : offset + _RECORD.size + size]
            if len(body) < size or zlib.crc32(body) != crc or size < 4:
                break
            records.append((what, (int.from_bytes(body[:4], "little"), body[4:])))
            offset += _RECORD.size + size
        if offset < len(data):
            logger.warning("%s: dropped %d bytes that a crash left incomplete", self._path, len(data) - offset)
            write_durably(self._directory, SHOWN_NAME, _TEMPORARY_NAME, data[:offset])
        return records

    def create(self) -> None:
        """Make the file, empty; raises ``OSError``."""
        write_durably(self._directory, SHOWN_NAME, _TEMPORARY_NAME, b"")

    def append(self, what: int, totals: Iterable[Total]) -> None:
        """Record totals, durably. Never raises: see ``_give_up``."""
        data = b"".join(_packed(what, series_id(total)) for total in totals)
        if not data or self._failed:
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if os.write(fd, data) != len(data):
                    raise OSError(f"{self._path} was written in part only")
                os.fdatasync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Go on without a record.

        An incomplete record would make the next exporter show old series as 0; without one it takes everything that it
        finds for shown. So the file goes, and numbers stay right at the price of first increments after a restart.
        """
        self._failed = True
        logger.error(
            "%s cannot be written (%s): removed it; the first increments of series that are new at the next start of "
            "the exporter will not be seen. Make room or allow writing, then restart the exporter",
            self._path,
            error,
        )
        try:
            self._path.unlink(missing_ok=True)
        except OSError as still:
            logger.error("%s cannot be removed either (%s): remove it before the next start", self._path, still)


def _packed(what: int, name: SeriesId) -> bytes:
    body = name[0].to_bytes(4, "little") + name[1]
    return _RECORD.pack(what, len(body), zlib.crc32(body)) + body
