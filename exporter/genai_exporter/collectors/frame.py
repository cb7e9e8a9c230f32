"""The frame around collectors: each runs by itself, within its limit, and fails alone.

A scrape never fails because a collector does, and never shows what an earlier scrape read. Imports prometheus_client
and the modules beside it; knows nothing of the applications or HTTP.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector as RegistryCollector

from genai_exporter.collectors.families import Collector
from genai_exporter.collectors.limited import Limited, Run
from genai_exporter.collectors.soundness import check

_EOF = b"# EOF\n"


@dataclass(frozen=True)
class Collected:
    """How one collector fared in one scrape.

    ``duration`` in seconds. ``error``: in words, or None; then ``texts`` has its families, by whether they are written
    as OpenMetrics (without the final ``# EOF``).
    """

    name: str
    duration: float
    error: str | None
    texts: Mapping[bool, bytes]


@dataclass(frozen=True)
class _Written:
    """Families of one collector as text; ``names`` are those of families and samples."""

    names: frozenset[str]
    texts: Mapping[bool, bytes]


class Frame:
    """Runs collectors side by side, once a scrape; one thread at a time.

    ``collectors``: each with the seconds that it may take (> 0). Of two that yield families or samples of the same name
    the later fails: Prometheus would mix them up. ``reserved`` are names that none of them may use.
    """

    def __init__(self, collectors: Sequence[tuple[Collector, float]], reserved: Collection[str] = ()) -> None:
        self._collectors = [(collector, Limited(collector.name, limit)) for collector, limit in collectors]
        self._reserved = frozenset(reserved)

    def start(self, flavours: Collection[bool]) -> Callable[[], tuple[Collected, ...]]:
        """Begin to collect; returns the function that waits for the results. Neither raises.

        ``flavours``: for which values of "as OpenMetrics" texts are wanted.
        """
        runs = [
            (collector.name, limited.start(partial(_written, collector, frozenset(flavours))))
            for collector, limited in self._collectors
        ]
        return lambda: tuple(self._judged((name, finish()) for name, finish in runs))

    def _judged(self, runs: Iterable[tuple[str, Run[_Written]]]) -> Iterator[Collected]:
        taken = set(self._reserved)
        for name, run in runs:
            error = run.error
            if run.value is not None:
                if twice := sorted(taken & run.value.names):
                    error = f"{twice[0]} is served already"
                else:
                    taken |= run.value.names
            texts = run.value.texts if run.value is not None and error is None else {}
            yield Collected(name, run.duration, error, texts)


class _Fixed(RegistryCollector):
    """Families that were collected, for a registry to write."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _written(collector: Collector, flavours: frozenset[bool]) -> _Written:
    """Collect and write; a broken family raises here, in the collector's own run."""
    families = list(collector.collect())
    names = check(families)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Fixed(families))
    texts: dict[bool, bytes] = {}
    for openmetrics in flavours or {False}:  # nobody looks, as in a probe: it must be sound all the same
        generate: Callable[[CollectorRegistry], bytes] = generate_openmetrics if openmetrics else generate_text
        texts[openmetrics] = generate(registry).removesuffix(_EOF)
    return _Written(names, texts)
