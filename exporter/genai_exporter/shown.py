"""The record of which series exist and which have been shown above 0; survives any end of the exporter.

A series that was shown with its value and comes back as 0 looks like a counter reset to Prometheus, and ``increase()``
then counts everything twice. So a series is written here, durably, *before* it is first shown with its value. The file
is append-only: a record is a kind of record (u8), a key size (u32), the CRC-32 of the two (u32), the CRC-32 of the two
and the key (u32), and the key. A record that a crash has cut off at the end had not been shown yet and is dropped; any
other damage may hide what was shown. Imports genai_metrics and ``directory``.
"""

import logging
import struct
import zlib
from collections.abc import Iterable

from genai_exporter.directory import MetricsDirectory
from genai_exporter.totals import Total

logger = logging.getLogger("genai_exporter")

SHOWN_NAME = "exporter.shown"
_TEMPORARY_NAME = ".exporter.shown.new"
_START = struct.Struct("=BI")
_RECORD = struct.Struct("=BIII")

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
    """The record of one metrics directory; belongs to the one exporter that holds the directory's lock.

    ``complete``: whether ``load`` found all that was ever recorded. If not (no record, a damaged or unreadable one),
    everything in the directory may have been shown.
    """

    def __init__(self, directory: MetricsDirectory) -> None:
        self.complete = False
        self._directory = directory
        self._path = directory.path / SHOWN_NAME
        self._failed = False

    def load(self) -> list[tuple[int, SeriesId]]:
        """Return the records in order, as far as they are sound; cuts off a record that is torn. Never raises."""
        try:
            data = self._directory.read(SHOWN_NAME)
        except FileNotFoundError:
            return []
        except OSError as error:
            self._give_up(error)
            return []
        records, end = _parse(data)
        self.complete = end == len(data) or _is_torn(data[end:])
        if not self.complete:
            logger.error("%s is damaged from byte %d on: all series found now count as shown before", self._path, end)
        elif end < len(data):
            logger.warning("%s: dropped %d bytes that a crash left incomplete", self._path, len(data) - end)
            try:
                self._directory.truncate(SHOWN_NAME, end)
            except OSError as error:
                self._give_up(error)
        return records

    def replace(self, shown: Iterable[Total]) -> None:
        """Make the record anew, durably and in one step: all of ``shown``, nothing else. Never raises."""
        if self._failed:
            return
        data = b"".join(_packed(SHOWN, series_id(total)) for total in shown)
        try:
            # In one step: an empty record would say that nothing has ever been shown.
            self._directory.replace(SHOWN_NAME, _TEMPORARY_NAME, data)
        except OSError as error:
            self._give_up(error)

    def append(self, what: int, totals: Iterable[Total]) -> None:
        """Record totals, durably. Never raises: see ``_give_up``."""
        data = b"".join(_packed(what, series_id(total)) for total in totals)
        if not data or self._failed:
            return
        try:
            self._directory.append(SHOWN_NAME, data)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Go on without a record.

        An incomplete record would make the next exporter show old series as 0; without one it takes everything that it
        finds for shown. So the file goes, and numbers stay right at the price of first increments after a restart.
        """
        self._failed = True
        logger.error(
            "%s cannot be kept (%s): removed it; the first increments of series that are new at the next start of "
            "the exporter will not be seen. Make room or allow reading and writing, then restart the exporter",
            self._path,
            error,
        )
        try:
            self._directory.unlink(SHOWN_NAME)
            self._directory.sync()
        except OSError as still:
            logger.error("%s cannot be removed either (%s): remove it before the next start", self._path, still)


def _packed(what: int, name: SeriesId) -> bytes:
    body = name[0].to_bytes(4, "little") + name[1]
    return _RECORD.pack(what, len(body), *_checksums(what, body)) + body


def _checksums(what: int, body: bytes) -> tuple[int, int]:
    of_start = zlib.crc32(_START.pack(what, len(body)))
    return of_start, zlib.crc32(body, of_start)


def _parse(data: bytes) -> tuple[list[tuple[int, SeriesId]], int]:
    """Return the records from the start of ``data`` up to the first that is not sound, and where that is."""
    records = []
    offset = 0
    while offset + _RECORD.size <= len(data):
        what, size, *checksums = _RECORD.unpack_from(data, offset)
        end = offset + _RECORD.size + size
        body = data[offset + _RECORD.size : end]
        if end > len(data) or size < 4 or (*checksums,) != _checksums(what, body) or not _is_text(body[4:]):
            break
        records.append((what, (int.from_bytes(body[:4], "little"), body[4:])))
        offset = end
    return records, offset


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_torn(rest: bytes) -> bool:
    """Whether a crash can have left ``rest`` at the end of the file: part of one record, or space never written."""
    if len(rest) < _RECORD.size or not any(rest):
        return True
    _, size, of_start, _ = _RECORD.unpack_from(rest)
    return len(rest) < _RECORD.size + int(size) and of_start == zlib.crc32(rest[: _START.size])
