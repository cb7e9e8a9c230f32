"""Whether what was counted is within limits. Imports ``snapshots``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from genai_metrics.snapshots import Snapshot

_OWN_FAULTS = ("storage", "internal")


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is an issue; ``None`` is no limit.

    ``memory_bytes``: resident memory of the process. ``error_rate`` (0 to 1): failed among all, of each mode's
    workflows, each model's calls, each operation, tool and source. ``workflow_p95_seconds``: estimated, of each mode.
    ``cache_hit_rate`` (0 to 1): the least of each cache. Rates and percentiles count from ``minimum_count`` on, so that
    one failed call at night is no issue. Raises ``ValueError`` for limits that cannot be.
    """

    memory_bytes: float | None = 1_000_000_000
    error_rate: float | None = 0.10
    workflow_p95_seconds: float | None = None
    cache_hit_rate: float | None = None
    minimum_count: int = 10

    def __post_init__(self) -> None:
        """Refuse limits that cannot be."""
        for name in ("memory_bytes", "workflow_p95_seconds", "minimum_count"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, not {value!r}")
        for name in ("error_rate", "cache_hit_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {value!r}")


@dataclass(frozen=True, slots=True)
class Health:
    """``status`` is ``degraded`` when there are ``issues``; each is a sentence with the number and its limit."""

    status: Literal["healthy", "degraded"]
    issues: tuple[str, ...]


def check(snapshot: Snapshot, limits: Limits) -> Health:
    """Compare everything counted since the start of recording with limits."""
    issues = (*_memory(snapshot, limits), *_rates(snapshot, limits), *_latencies(snapshot, limits), *_own(snapshot))
    return Health("degraded" if issues else "healthy", issues)


def _memory(snapshot: Snapshot, limits: Limits) -> Iterator[str]:
    used = snapshot.memory.resident_bytes
    if used is not None and limits.memory_bytes is not None and used > limits.memory_bytes:
        yield f"memory: {used / 1e6:,.0f} MB resident, limit {limits.memory_bytes / 1e6:,.0f} MB"


def _rates(snapshot: Snapshot, limits: Limits) -> Iterator[str]:
    counted = [(f"workflows of mode {name}", it.failures, it.seconds.count) for name, it in snapshot.workflows.items()]
    counted += [(f"calls of {name}", it.failures, it.calls) for name, it in snapshot.models.items()]
    for what, stages in (
        ("operation", snapshot.operations),
        ("tool", snapshot.tools),
        ("retrieval from", snapshot.retrievals),
    ):
        counted += [(f"{what} {name}", it.failures, it.seconds.count) for name, it in stages.items()]
    for what, failures, number in counted:
        enough = number >= max(limits.minimum_count, 1)
        if enough and limits.error_rate is not None and failures / number > limits.error_rate:
            yield f"{what}: {failures:,} of {number:,} failed ({failures / number:.1%}), limit {limits.error_rate:.1%}"
    for name, cache in snapshot.caches.items():
        enough = cache.hits + cache.misses >= limits.minimum_count
        rate, least = cache.hit_rate, limits.cache_hit_rate
        if enough and rate is not None and least is not None and rate < least:
            yield f"cache {name}: hit rate {rate:.1%}, limit {least:.1%}"


def _latencies(snapshot: Snapshot, limits: Limits) -> Iterator[str]:
    most = limits.workflow_p95_seconds
    for mode, workflow in snapshot.workflows.items():
        known = workflow.seconds.estimated
        if most is None or known is None or workflow.seconds.count < limits.minimum_count:
            continue
        if known.p95 > most:
            yield f"workflows of mode {mode}: p95 about {known.p95:.3g} s, limit {most:g} s"


def _own(snapshot: Snapshot) -> Iterator[str]:
    for name, up in snapshot.dependencies.items():
        if not up:
            yield f"dependency {name} could not be used"
    for reason in _OWN_FAULTS:
        if reason in snapshot.faults:
            yield f"recording: {snapshot.faults[reason]:,} faults of kind {reason}; see the log of genai_metrics"
