"""Runs scrapes one at a time in a thread of their own, and shares each among the requests that it can serve.

Applications are read, rendered and compressed off the event loop. A request may be answered by a scrape that
began after the request came, never by an older one; so requests that come during a scrape share the next.
"""

import asyncio
import logging
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from genai_exporter.collectors.exporter import APPLICATIONS, ExporterMetrics, Outcome, Totals
from genai_exporter.collectors.frame import Frame
from genai_exporter.collectors.limited import Limited
from genai_metrics.selection import selected

log = logging.getLogger(__name__)

# 26 ms for 100 000 lines; level 6 takes three times as long for hardly fewer bytes.
_GZIP_LEVEL = 1
_GZIP_WINDOW = 31  # zlib's largest window, with a gzip header

# Below Prometheus's usual scrape timeout of 10 s: its scrape then still has the exporter's own metrics.
_APPLICATIONS_SECONDS = 8.0


class Scrape(Protocol):
    """What the applications say at one moment."""

    @property
    def series(self) -> int:
        """Number of application series."""

    @property
    def files(self) -> Mapping[str, int]:
        """Files of the metrics directory by state."""

    @property
    def processes(self) -> Mapping[str, int]:
        """Living processes by service."""

    @property
    def started(self) -> Mapping[str, float]:
        """By service, Unix time at which its oldest living process began to record."""

    @property
    def merged(self) -> Mapping[tuple[str, str], int]:
        """By (service, label), distinct values merged into one because of the cap over all processes."""

    def render(self, openmetrics: bool) -> Iterator[bytes]:
        """Yield chunks of complete lines, without the ``# EOF`` of OpenMetrics."""


class Applications(Protocol):
    """The metrics directory; used by one thread at a time."""

    def scrape(self, names: frozenset[str] | None = None) -> Scrape:
        """Read the directory; any exception makes the scrape a failed one.

        ``names``: of the metrics that will be shown to somebody, ``None`` for all.
        """


@dataclass(frozen=True)
class Format:
    """How a body is written: OpenMetrics 1.0.0 or text 0.0.4, compressed with gzip or not, all or some metrics.

    ``names``: of samples or families, ``None`` for all.
    """

    openmetrics: bool
    gzip: bool
    names: frozenset[str] | None = None

    def choose(self, chunks: Iterable[bytes]) -> Iterable[bytes]:
        """Return what is to be in the body of an exposition."""
        return chunks if self.names is None else selected(chunks, self.names)


@dataclass(frozen=True)
class Result:
    """One scrape's outcome, and its body in each format that was asked for."""

    outcome: Outcome
    bodies: Mapping[Format, bytes]


@dataclass
class _Batch:
    """Requests that will share one scrape."""

    result: asyncio.Future[Result]
    formats: set[Format] = field(default_factory=set)


class Scraper:
    """Serialises and shares scrapes; its methods belong to one event loop, but for ``wait`` and ``use``.

    A failing collector never fails a request, not even that of the applications: the body then holds what the others
    and the exporter itself have to say. ``applications_seconds``: how long reading and rendering the applications may
    take.
    """

    def __init__(
        self,
        applications: Applications,
        own: ExporterMetrics,
        frame: Frame,
        applications_seconds: float = _APPLICATIONS_SECONDS,
    ) -> None:
        self._applications = applications
        self._limited = Limited(APPLICATIONS, applications_seconds)
        self._own = own
        self._frame = frame
        self._running: threading.Thread | None = None
        self._next: _Batch | None = None
        self.last: Outcome | None = None
        """Outcome of the scrape that ended last; None before the first."""

    def use(self, frame: Frame) -> None:
        """Collect with ``frame`` from the next scrape on; any thread."""
        self._frame = frame

    async def metrics(self, wanted: Format) -> bytes:
        """Body of a scrape that begins from now on, in the wanted format."""
        result = await self._join(wanted)
        return result.bodies[wanted]

    async def probe(self) -> Outcome:
        """Outcome of a scrape that begins from now on, without rendering it."""
        return (await self._join(None)).outcome

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds, in any thread, until the applications are not in use; False if they are."""
        running = self._running
        if running is not None:
            running.join(timeout)
            if running.is_alive():  # it may be just about to read them
                return False
        return self._limited.wait(timeout)

    async def _join(self, wanted: Format | None) -> Result:
        if self._next is None:
            self._next = _Batch(asyncio.get_running_loop().create_future())
        batch = self._next
        if wanted is not None:
            batch.formats.add(wanted)
        if self._running is None:
            self._start_next()
        # A client that goes away must not cancel the scrape that others wait for.
        return await asyncio.shield(batch.result)

    def _start_next(self) -> None:
        batch, self._next = self._next, None
        if batch is None:
            return
        # A daemon: a scrape stuck in the kernel (a dead network file system) must not keep us from ending.
        thread = threading.Thread(target=self._run, args=(batch,), name="scrape", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads; the next request may have better luck
            batch.result.set_exception(error)
            return
        self._running = thread

    def _run(self, batch: _Batch) -> None:
        result: Result | BaseException
        try:
            result = self._collect(frozenset(batch.formats))
        except BaseException as error:
            result = error
        try:
            batch.result.get_loop().call_soon_threadsafe(self._finish, batch, result)
        except RuntimeError:
            pass  # the loop is closed: the exporter is ending, and nobody waits

    def _finish(self, batch: _Batch, result: Result | BaseException) -> None:
        self._running = None
        if isinstance(result, BaseException):
            batch.result.set_exception(result)
        else:
            self._note(result.outcome)
            batch.result.set_result(result)
        self._start_next()

    def _note(self, outcome: Outcome) -> None:
        """Log the fault of a collector once, when it begins, and its end."""
        before = {} if self.last is None else _errors(self.last)
        for name, error in _errors(outcome).items():
            # Not when the text changes: of one that hangs and one that is late at each scrape it alternates.
            if error is not None and before.get(name) is None:
                log.error("collector failed", extra={"fields": {"collector": name, "error": error}})
            elif error is None and before.get(name) is not None:
                log.info("collector works again", extra={"fields": {"collector": name}})
        self.last = outcome

    def _collect(self, formats: frozenset[Format]) -> Result:
        flavours = {wanted.openmetrics for wanted in formats}
        others = self._frame.start(flavours)
        run = self._limited.start(lambda: self._read(formats))()
        collected = others()
        # Half a body is worse than none: Prometheus marks missing series stale, but believes wrong sums.
        totals, writers = run.value or (None, {wanted: _Writer(wanted.gzip) for wanted in formats})
        outcome = Outcome(time.time(), run.duration, totals, run.error, collected)
        # Once a text format: a process's own sensors move on between two readings of one scrape.
        own = {openmetrics: self._own.render(outcome, openmetrics) for openmetrics in flavours}
        for wanted, writer in writers.items():
            for one in collected:
                if one.error is None:
                    writer.write_all(wanted.choose((one.texts[wanted.openmetrics],)))
            writer.write_all(wanted.choose((own[wanted.openmetrics],)))
        return Result(outcome, {wanted: writer.finish() for wanted, writer in writers.items()})

    def _read(self, formats: frozenset[Format]) -> "tuple[Totals, dict[Format, _Writer]]":
        """Read the applications and write them in each format."""
        scrape = self._applications.scrape(_names(formats))
        writers = {wanted: _Writer(wanted.gzip) for wanted in formats}
        for wanted, writer in writers.items():
            writer.write_all(wanted.choose(scrape.render(wanted.openmetrics)))
        totals = Totals(
            scrape.series, dict(scrape.files), dict(scrape.processes), dict(scrape.started), dict(scrape.merged)
        )
        return totals, writers


def _errors(outcome: Outcome) -> dict[str, str | None]:
    """Return by collector what went wrong."""
    return {APPLICATIONS: outcome.error, **{one.name: one.error for one in outcome.collected}}


def _names(formats: Iterable[Format]) -> frozenset[str] | None:
    """Return the names that any of the bodies shows, ``None`` for all; without a body nobody sees any."""
    names: set[str] = set()
    for wanted in formats:
        if wanted.names is None:
            return None
        names |= wanted.names
    return frozenset(names)


class _Writer:
    """Joins chunks to a body, compressing as they come so that the plain text is never whole in memory."""

    def __init__(self, gzip: bool) -> None:
        self._compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW) if gzip else None
        self._chunks: list[bytes] = []

    def write_all(self, chunks: Iterable[bytes]) -> None:
        """Append chunks."""
        for chunk in chunks:
            self._chunks.append(self._compressor.compress(chunk) if self._compressor else chunk)

    def finish(self) -> bytes:
        """Return the whole body."""
        if self._compressor:
            self._chunks.append(self._compressor.flush())
        return b"".join(self._chunks)
