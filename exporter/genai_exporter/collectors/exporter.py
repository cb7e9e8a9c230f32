"""What the exporter says of itself: rendered by prometheus_client after the applications' series.

Imports prometheus_client and the catalogue; knows nothing of files or HTTP.
"""

import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from genai_exporter.collectors.families import family
from genai_exporter.collectors.frame import Collected
from genai_exporter.collectors.soundness import check, sample_names
from genai_exporter.reload import ReloadState
from genai_metrics.catalog import BLOCK_KINDS, EXPORTER_METRICS

# Every metric of the catalogue must be served: a new one makes this line fail until it is.
_BUILD, _DURATION, _SUCCESS, _SERIES, _FILES, _PROCESSES, _STARTED, _MERGED, _PRICE_AGE, *_RELOADS = EXPORTER_METRICS
_RELOAD_SUCCESSFUL, _RELOAD_TIME = _RELOADS

APPLICATIONS = "applications"
"""Name of the collector that reads the metrics directory."""


def reserved_names() -> frozenset[str]:
    """Names of the families and samples that the applications and the exporter itself serve."""
    specs = (*EXPORTER_METRICS, *(metric for kind in BLOCK_KINDS for metric in kind.metrics))
    ours = {name for spec in specs for name in (spec.family, *sample_names(spec.family, spec.type))}
    return check(ProcessCollector(registry=None).collect()) | ours


def exporter_version() -> str:
    """Version of the installed distribution, or ``unknown`` when it runs from bare sources."""
    try:
        return version("genai-exporter")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True)
class Totals:
    """What a scrape that succeeded found.

    ``series``: application series. ``files``: by state. ``processes``: living ones by service. ``started``: by service,
    Unix time at which the oldest of them began to record. ``merged``: by (service, label), distinct label values that
    the exporter itself merged into one.
    """

    series: int
    files: Mapping[str, int]
    processes: Mapping[str, int]
    started: Mapping[str, float]
    merged: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Outcome:
    """How one scrape went; immutable.

    ``ended`` is ``time.time()`` when the applications had been read, ``duration`` how many seconds that took; exactly
    one of ``totals`` and ``error`` (the reason in words) is None. ``collected``: how the other collectors fared.
    """

    ended: float
    duration: float
    totals: Totals | None
    error: str | None
    collected: tuple[Collected, ...] = ()


class ExporterMetrics:
    """The exporter's own families in both text formats; one thread at a time.

    ``price_data_age`` returns the age of the price table in seconds, or None while it is unknown: then the
    family is absent. ``reloads`` tells how the last reading of the configuration went.
    """

    def __init__(self, price_data_age: Callable[[], float | None], reloads: Callable[[], ReloadState]) -> None:
        self._families = _OutcomeFamilies(price_data_age, reloads)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._families)
        ProcessCollector(registry=self._registry)

    def render(self, outcome: Outcome, openmetrics: bool) -> bytes:
        """Text of all own families after the given run, in OpenMetrics with the final ``# EOF``."""
        self._families.outcome = outcome
        generate: Callable[[CollectorRegistry], bytes] = generate_openmetrics if openmetrics else generate_text
        return generate(self._registry)


class _OutcomeFamilies(Collector):
    """Yields the catalogue's families of the exporter for the outcome it was last given."""

    def __init__(self, price_data_age: Callable[[], float | None], reloads: Callable[[], ReloadState]) -> None:
        self.outcome: Outcome | None = None
        self._price_data_age = price_data_age
        self._reloads = reloads
        self._build = (exporter_version(), platform.python_version())

    def describe(self) -> Iterator[Metric]:
        """Name nothing beforehand: families depend on the outcome, and the registry is private."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield the families; sizes of a failed run are absent, not 0."""
        yield family(_BUILD, {self._build: 1})
        reloads = self._reloads()
        yield family(_RELOAD_SUCCESSFUL, {(): int(reloads.successful)})
        yield family(_RELOAD_TIME, {(): reloads.succeeded_at})
        if self.outcome is None:
            return
        others = self.outcome.collected
        durations = {APPLICATIONS: self.outcome.duration, **{one.name: one.duration for one in others}}
        failed = {APPLICATIONS: self.outcome.error, **{one.name: one.error for one in others}}
        yield family(_DURATION, {(name,): duration for name, duration in durations.items()})
        yield family(_SUCCESS, {(name,): int(error is None) for name, error in failed.items()})
        totals = self.outcome.totals
        if totals is not None:
            yield family(_SERIES, {(): totals.series})
            yield family(_FILES, {(state,): count for state, count in totals.files.items()})
            yield family(_PROCESSES, {(service,): count for service, count in totals.processes.items()})
            yield family(_STARTED, {(service,): seconds for service, seconds in totals.started.items()})
            yield family(_MERGED, {(service, label): count for (service, label), count in totals.merged.items()})
        age = self._price_data_age()
        if age is not None:
            yield family(_PRICE_AGE, {(): age})
