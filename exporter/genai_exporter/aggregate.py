"""The metrics directory as the exporter sees it: living files, dead files and the archive, summed at each scrape.

Imports genai_metrics and the parts beside it: ``directory`` (safe access), ``files`` (processes that write), ``totals``
(the sums), ``archive`` (ended processes), ``shown`` and ``showing`` (what Prometheus has seen).
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genai_exporter.archive import ARCHIVE_NAME, Archive
from genai_exporter.blockreader import KINDS_BY_LAYOUT, BlockFileReader
from genai_exporter.config import Config
from genai_exporter.directory import DirectoryError, Limits, MetricsDirectory, why
from genai_exporter.files import BlockFiles
from genai_exporter.showing import Showing
from genai_exporter.shown import FOUND, SHOWN, ShownRecord
from genai_exporter.totals import Total, Totals
from genai_metrics.births import BORN_AT_ZERO_SECONDS, Births
from genai_metrics.blockfile import TEMPORARY_PREFIX
from genai_metrics.catalog import DEFAULT_LABEL_CAPS, BlockKind
from genai_metrics.exposition import Exemplars, Row, render, sample_count
from genai_metrics.ownership import UnsafeDirectoryError
from genai_metrics.selection import is_selected

logger = logging.getLogger("genai_exporter")

LOCK_NAME = "exporter.lock"
_LEFTOVER_SECONDS = 60.0


@dataclass(frozen=True)
class Scrape:
    """What one reading of the directory found.

    ``series``: sample lines of applications. ``files``: number of files by state (``live``, ``dead``, ``folded``,
    ``rejected``, ``partial``). ``processes``: living processes by service. ``started``: by service, Unix time at which
    the oldest of them began to record; services without any are missing. ``merged``: by (service, label), distinct
    label values that were merged into ``__other__`` because the cap over all processes was reached.
    """

    series: int
    files: Mapping[str, int]
    processes: Mapping[str, int]
    started: Mapping[str, float]
    merged: Mapping[tuple[str, str], int]
    _rows: Mapping[BlockKind, list[Row]]
    _exemplars: Exemplars

    def render(self, openmetrics: bool) -> Iterator[bytes]:
        """Yield the exposition in chunks of whole lines, without ``# EOF``; any thread, any number of times."""
        return render(self._rows, openmetrics=openmetrics, exemplars=self._exemplars)


class Applications:
    """One exporter's view of one metrics directory. Not thread-safe: the caller serialises ``scrape``.

    ``born_at_zero_seconds``: how long a new series is shown as 0 first, by ``clock`` (monotonic seconds).
    ``label_caps``: largest number of distinct values of a label within a service, over all its processes.
    ``limits``: how much is read in one scrape. ``shared``: ``"group"`` where users of one group share the directory.

    Whatever happens to files, processes and earlier exporters, no counter falls from one scrape to the next as long as
    the files that the exporter keeps are left alone.
    """

    def __init__(
        self,
        metrics_dir: Path,
        *,
        born_at_zero_seconds: float = BORN_AT_ZERO_SECONDS,
        label_caps: Mapping[str, int] | None = None,
        limits: Limits | None = None,
        shared: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = metrics_dir
        self._directory = MetricsDirectory(metrics_dir, shared)
        self._files = BlockFiles(self._directory, limits or Limits())
        self._births = Births(born_at_zero_seconds, clock)
        self._caps = {**DEFAULT_LABEL_CAPS, **(label_caps or {})}
        self._totals = Totals(self._caps)
        self._next_config: Config | None = None
        self._archive = Archive(self._directory)
        self._record = ShownRecord(self._directory)
        self._showing = Showing(self._record, self._births)
        self._catching_up = False
        self._fold_failure = ""
        self._round = 0
        self._lock_fd = -1

    def open(self) -> None:
        """Make the directory if it is missing, lock it, and read what an earlier exporter left.

        Raises ``DirectoryError`` when the directory cannot be used or another exporter serves it.
        """
        try:
            self._directory.open(make=True)
            self._lock()
        except UnsafeDirectoryError as error:
            raise DirectoryError(f"metrics directory refused: {error}") from None
        except OSError as error:
            self.close()
            raise DirectoryError(
                f"metrics directory {self._path} cannot be used: {why(error, self._path)}; "
                "it must be a directory that this user may read and write"
            ) from None
        try:
            recorded = self._restore()
        except (ValueError, OSError) as error:
            self.close()
            raise DirectoryError(
                f"{self._path / ARCHIVE_NAME} cannot be read: {error}; it holds the counts of ended processes: "
                "restore it from a backup, or move it away to start without them"
            ) from None
        try:
            self._take_up(recorded)
        except OSError as error:
            self.close()
            raise DirectoryError(f"metrics directory {self._path} cannot be read: {why(error, self._path)}") from None

    def close(self) -> None:
        """Let go of the directory."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
        self._directory.close()

    def reconfigure(self, config: Config) -> None:
        """Take over ``born_at_zero_seconds``, ``label_caps`` and limits with the next scrape; any thread.

        A lower cap takes nothing from label values that have been admitted.
        """
        self._next_config = config

    def scrape(self, names: Collection[str] | None = None) -> Scrape:
        """Read all files, fold those of ended processes, return the sums; raises ``OSError`` if that is impossible.

        ``names``: of the metrics that will be shown to somebody, ``None`` for all; others do not count as shown.
        """
        self._take_over_config()
        readers = self._read_files()
        sound = [reader for reader in readers if self._files.is_sound(reader)]
        self._fold([reader for reader in sound if not reader.alive and not reader.unknown])
        self._sum([reader for reader in readers if reader.name not in self._archive.folded_names])
        self._take_new()
        rows = self._showing.rows(self._totals.by_kind(), self._round, names)
        return Scrape(
            series=sample_count(rows),
            files={
                "live": sum(reader.alive for reader in sound),
                "dead": sum(not reader.alive and self._files.holds(reader) for reader in sound),
                "folded": self._archive.folded_count,
                "rejected": self._files.rejected,
                "partial": sum(reader.unknown > 0 for reader in sound),
            },
            processes=self._processes(sound),
            started=self._started(sound),
            merged=self._totals.merged_values(),
            _rows=rows if names is None else {kind: rows[kind] for kind in rows if _shows(kind, names)},
            _exemplars=self._totals.exemplars(),
        )

    def _lock(self) -> None:
        fd = self._directory.open_file(LOCK_NAME, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 20).decode(errors="replace").strip()
            os.close(fd)
            raise DirectoryError(
                f"another exporter serves {self._path} (its process id, as it sees itself: "
                f"{holder or 'unknown'}); stop that one, or give this one another --metrics-dir"
            ) from None
        except OSError:
            os.close(fd)
            raise
        self._lock_fd = fd
        # For people only: on a full disk the lock holds without it.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())

    def _restore(self) -> list[Total]:
        """Take over label values admitted, series shown and counts archived; return the totals of the record."""
        for what, (layout_id, name) in self._record.load():
            kind = KINDS_BY_LAYOUT.get(layout_id)
            service, _, key = name.partition(b"\0")
            total = None if kind is None else self._totals.find(kind, service.decode(), key)
            if total is not None and what == SHOWN:
                total.shown = True
        recorded = self._totals.take_new()
        self._archive.load(self._totals)
        return recorded

    def _take_up(self, recorded: list[Total]) -> None:
        """Go on where an earlier exporter ended."""
        self._archive.unlink_folded()
        self._remove_leftovers()
        if not self._record.complete:
            # Never run here, or the record is lost: what is found may have been shown. Taking it for new would fake
            # a counter reset; taking it for shown only loses increments from before this start.
            self._read_files()
            self._catching_up = self._files.waiting > 0
        found = self._totals.take_new()
        if self._record.complete:
            self._record.append(FOUND, found)
        else:
            for total in recorded + found:
                total.shown = True
            self._record.replace(recorded + found)
        logger.info("metrics directory %s: %d label sets known from before", self._path, len(recorded) + len(found))

    def _take_over_config(self) -> None:
        config, self._next_config = self._next_config, None
        if config is not None:
            self._births.seconds = config.born_at_zero_seconds
            self._caps.update(config.label_caps)
            self._files.limits = config.metrics_dir_limits

    def _take_new(self) -> None:
        """Record what this scrape has found for the first time."""
        found = self._totals.take_new()
        self._record.append(FOUND, found)
        if self._catching_up:
            # Without a record at the start, and files were left for later: what they hold may have been shown, too.
            self._record.append(SHOWN, found)
            for total in found:
                total.shown = True
            self._catching_up = self._files.waiting > 0

    def _remove_leftovers(self) -> None:
        """Remove files that a process had begun to make when it was killed."""
        # Old ones only: one that is being made has a name and no lock yet for some microseconds.
        for name in self._directory.old_files(TEMPORARY_PREFIX, time.time() - _LEFTOVER_SECONDS):
            with suppress(OSError):
                self._directory.unlink(name)

    def _read_files(self) -> list[BlockFileReader]:
        self._directory.check()
        return self._files.read(self._totals, self._archive.folded_names)

    def _fold(self, dead: list[BlockFileReader]) -> None:
        if not dead:
            return
        try:
            self._archive.fold(dead)
        except OSError as error:
            # The files stay and are summed as they are, as often as it takes.
            if str(error) != self._fold_failure:
                logger.error("%s: files of ended processes cannot be folded: %s", self._path, error)
            self._fold_failure = str(error)
            return
        self._fold_failure = ""
        self._files.forget(dead)

    def _sum(self, readers: list[BlockFileReader]) -> None:
        self._round += 1
        self._archive.add_to_totals(self._round)
        for reader in readers:
            reader.add_to_totals(self._round)

    @staticmethod
    def _processes(readers: list[BlockFileReader]) -> dict[str, int]:
        processes: dict[str, int] = {}
        for reader in readers:
            processes[reader.service] = processes.get(reader.service, 0) + reader.alive
        return processes

    @staticmethod
    def _started(readers: list[BlockFileReader]) -> dict[str, float]:
        started: dict[str, float] = {}
        for reader in readers:
            if reader.alive and reader.started is not None:
                started[reader.service] = min(reader.started, started.get(reader.service, reader.started))
        return started


def _shows(kind: BlockKind, names: Collection[str]) -> bool:
    return any(is_selected(metric, names) for metric in kind.metrics)
