"""What Prometheus saw of a run, to be compared with what the load did. Standard library and the catalogue."""

import json
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass

from genai_metrics import catalog

_WORKFLOWS = catalog.WORKFLOW.metrics[0].name
_COST = catalog.LLM_COST.metrics[0].name


@dataclass(frozen=True)
class Seen:
    """Counters of a service at one moment: workflows and those that failed, dollars; and bucket counts by bound."""

    workflows: float
    failed: float
    cost_usd: float
    buckets: dict[float, float]

    def since(self, earlier: "Seen") -> "Seen":
        """Return how much came after an earlier moment."""
        return Seen(
            self.workflows - earlier.workflows,
            self.failed - earlier.failed,
            self.cost_usd - earlier.cost_usd,
            {bound: count - earlier.buckets.get(bound, 0.0) for bound, count in self.buckets.items()},
        )


class Prometheus:
    """Asks a Prometheus on this machine; errors are those of urllib."""

    def __init__(self, url: str, service: str) -> None:
        self._url = url.rstrip("/")
        self._service = service

    def seen(self) -> Seen:
        """Read the counters as they are now; what does not exist is 0."""
        service = f'{{service="{self._service}"'
        by_bound = self._ask(f"sum by (le) ({_WORKFLOWS}_bucket{service}}})")
        return Seen(
            self._number(f"sum({_WORKFLOWS}_count{service}}})"),
            self._number(f'sum({_WORKFLOWS}_count{service},outcome="error"}})'),
            self._number(f"sum({_COST}{service}}})"),
            {float(labels["le"]): value for labels, value in by_bound},
        )

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

    def _number(self, expression: str) -> float:
        found = self._ask(expression)
        return found[0][1] if found else 0.0

    def _ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return labels and value of each series."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self._url}/api/v1/query?{query}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]


def quantile(level: float, seen: Seen) -> float | None:
    """Return the quantile of what was seen, interpolated within its bucket as PromQL does; None of nothing."""
    bounds = sorted(seen.buckets)
    counts = [seen.buckets[bound] for bound in bounds]
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
