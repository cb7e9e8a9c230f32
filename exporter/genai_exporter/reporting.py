"""Local statistics of a whole metrics directory, read only: beside a running exporter, or without one.

Takes no lock of the directory, folds nothing, writes nothing. Imports genai_metrics, ``archive``, ``blockreader`` and
``totals``.
"""

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from genai_exporter.archive import ARCHIVE_NAME, Archive
from genai_exporter.blockreader import BlockFileReader
from genai_exporter.directory import DirectoryError, Limits, MetricsDirectory, why
from genai_exporter.totals import Totals
from genai_metrics.blockfile import BlockFileError, decode_key
from genai_metrics.ownership import UnsafeDirectoryError
from genai_metrics.snapshots import Snapshot
from genai_metrics.summaries import Row, summarize

_ATTEMPTS = 20


@dataclass(frozen=True)
class Reading:
    """What lies in a directory at one moment.

    ``rows``: counts of all processes that ever were, gauges of the living, by service. ``living``: processes that
    record now. ``problems``: files that were left out, and why.
    """

    rows: dict[str, list[Row]]
    living: dict[str, int]
    problems: list[str]


def read_directory(path: Path, shared: str | None = None) -> Reading:
    """Read the archive and all files of a metrics directory; consistent while an exporter folds files meanwhile.

    ``shared``: ``"group"`` where users of one group share it. Raises ``DirectoryError`` when there is no such
    directory, strangers may write to it, or its archive cannot be read.
    """
    with closing(MetricsDirectory(path, shared)) as directory:
        try:
            directory.open(make=False)
        except UnsafeDirectoryError as error:
            raise DirectoryError(f"metrics directory refused: {error}") from None
        except OSError as error:
            raise _unreadable(path, error) from None
        return _read_consistently(directory)


def _unreadable(path: Path, error: OSError) -> DirectoryError:
    return DirectoryError(
        f"metrics directory {path} cannot be read: {why(error, path)}; "
        "give the directory that the applications write to"
    )


def _read_consistently(directory: MetricsDirectory) -> Reading:
    path = directory.path
    for _ in range(_ATTEMPTS):
        # Kept open: while it is, no new archive can have the number of the one that is read.
        held = _open_archive(directory)
        try:
            reading = _read_once(directory)
            if _is_current(directory, held):
                return reading
        except OSError as error:
            raise _unreadable(path, error) from None
        except ValueError as error:
            raise DirectoryError(
                f"{path / ARCHIVE_NAME} cannot be read: {error}; it holds the counts of ended processes"
            ) from None
        finally:
            if held is not None:
                os.close(held)
    raise DirectoryError(
        f"metrics directory {path} changes faster than it can be read: processes end all the time; try again"
    )


def report_on(directory: Path, service: str | None = None, shared: str | None = None) -> tuple[Snapshot, list[str]]:
    """Return the statistics of a directory, of one service or of all, and what could not be read.

    Raises ``DirectoryError``; for a service that the directory does not have, too.
    """
    reading = read_directory(directory, shared)
    services = sorted(reading.rows)
    if service is not None:
        if service not in reading.rows:
            known = f"it has {', '.join(services)}" if services else "nothing was recorded there"
            raise DirectoryError(f"metrics directory {directory} has no service {service!r}; {known}")
        services = [service]
    living = sum(reading.living.get(name, 0) for name in services)
    scope = (
        f"All processes ({living} living) of {_named(services)} in {directory}"
        if services
        else f"No process has recorded anything in {directory} yet"
    )
    rows = (row for name in services for row in reading.rows[name])
    return summarize(rows, scope=scope), reading.problems


def _named(services: list[str]) -> str:
    return f"service{'s' if len(services) > 1 else ''} {', '.join(services)}"


def _read_once(directory: MetricsDirectory) -> Reading:
    archive, totals = Archive(directory), Totals({})
    limits = Limits()
    # First the archive: a file that is folded later is in the next archive, and then all is read again.
    archive.load(totals)
    readers, problems = [], []
    for name in sorted(directory.block_files()):
        if name in archive.folded_names:
            continue
        reader = BlockFileReader(directory, name)
        try:
            reader.read(totals, limits, limits.file_bytes)
        except FileNotFoundError:
            continue
        except (BlockFileError, OSError) as error:
            problems.append(f"{name}: left out: {error}")
            continue
        if reader.unknown:
            problems.append(f"{name}: {reader.unknown} blocks of another version left out")
        readers.append(reader)
    archive.add_to_totals(1)
    living: dict[str, int] = {}
    for reader in readers:
        reader.add_to_totals(1)
        living[reader.service] = living.get(reader.service, 0) + reader.alive
    totals.take_new()
    return Reading(_rows(totals), living, problems)


def _rows(totals: Totals) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for kind, of_kind in totals.by_kind():
        for total in of_kind:
            if total.was_added_in(1):
                rows.setdefault(total.service, []).append((kind, decode_key(total.key), total.values()))
    return rows


def _open_archive(directory: MetricsDirectory) -> int | None:
    try:
        return directory.open_file(ARCHIVE_NAME)
    except OSError:  # none yet, or none that can be read, which reading it will tell
        return None


def _is_current(directory: MetricsDirectory, held: int | None) -> bool:
    """Whether the archive is still the one that was opened before everything was read."""
    now = directory.status(ARCHIVE_NAME)
    if now is None or held is None:
        return now is None and held is None
    return os.path.samestat(now, os.fstat(held))
