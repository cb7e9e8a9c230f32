"""What Prometheus saw of a run, to be compared with what the load did. Standard library and the catalogue."""

import json
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from genai_metrics import catalog

_WORKFLOWS = catalog.WORKFLOW.metrics[0].name
_COST = catalog.LLM_COST.metrics[0].name


@dataclass(frozen=True)
class Seen:
    """Counters of a service, series by series: as they are at one moment, or how much they have grown since another."""

    series: Mapping[frozenset[tuple[str, str]], float]

    def since(self, earlier: "Seen") -> "Seen":
        """Return how much came after an earlier moment.

        Of each series, as PromQL does: one that is gone counts nothing, one that fell has begun anew.
        """
        before = {labels: earlier.series.get(labels, 0.0) for labels in self.series}
        return Seen({key: now - before[key] if now >= before[key] else now for key, now in self.series.items()})

    @property
    def workflows(self) -> float:
        """Workflows that have ended."""
        return self._sum(f"{_WORKFLOWS}_count")

    @property
    def failed(self) -> float:
        """Those of them that failed."""
        return self._sum(f"{_WORKFLOWS}_count", ("outcome", "error"))

    @property
    def cost_usd(self) -> float:
        """What the calls of models cost."""
        return self._sum(_COST)

    def buckets(self) -> dict[float, float]:
        """Return how many workflows took no longer than each bound, in seconds."""
        counts: dict[float, float] = defaultdict(float)
        for labels, value in self.series.items():
            if ("__name__", f"{_WORKFLOWS}_bucket") in labels:
                counts[float(dict(labels)["le"])] += value
        return counts

    def _sum(self, name: str, *labels: tuple[str, str]) -> float:
        return sum(value for own, value in self.series.items() if own.issuperset((("__name__", name), *labels)))


class Prometheus:
    """Asks a Prometheus on this machine; errors are those of urllib."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url.rstrip("/")
        self._service = service

    def seen(self) -> Seen:
        """Read the counters as they are now; what does not exist is 0."""
        names = f"{_WORKFLOWS}_(count|bucket)|{_COST}"
        query = urllib.parse.urlencode({"query": f'{{__name__=~"{names}", service="{self._service}"}}'})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return Seen({frozenset(one["metric"].items()): float(one["value"][1]) for one in found})

    def settled(self, patience: float = 90.0, still: float = 35.0) -> Seen:
        """Wait until nothing has changed for ``still`` seconds: two scrapes, and new series shown with their values."""
        deadline = time.monotonic() + patience
        last, since = self.seen(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < still:
            time.sleep(1)
            now = self.seen()
            if now != last:
                last, since = now, time.monotonic()
        return last


def quantile(level: float, seen: Seen) -> float | None:
    """Return the quantile of what was seen, interpolated within its bucket as PromQL does; None of nothing."""
    buckets = seen.buckets()
    bounds = sorted(buckets)
    counts = [buckets[bound] for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None
    rank, lower, below = level * counts[-1], 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
