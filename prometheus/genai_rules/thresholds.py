"""Which thresholds there are, and what each may be set for in particular; no numbers, no PromQL."""

from dataclasses import dataclass

from genai_metrics import catalog
from genai_metrics.catalog import BlockKind, MetricSpec

SEVERITIES = ("target", "warning", "critical")
"""Values of the label ``severity`` of a threshold series."""


@dataclass(frozen=True)
class Level:
    """What a group of thresholds is judged for: one subject for each combination of ``labels`` that has data.

    ``labels`` are one or two, the first the more general; ``kinds`` are the block kinds whose first metric tells which
    subjects exist, an empty tuple for every exporter that is scraped. ``thresholds`` are the names without prefix.
    """

    labels: tuple[str, ...]
    kinds: tuple[BlockKind, ...]
    thresholds: tuple[str, ...]

    @property
    def name(self) -> str:
        """Level of the recorded series: its labels."""
        return "_".join(self.labels)

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """Metrics that tell which subjects exist."""
        return tuple(kind.metrics[0] for kind in self.kinds)


LEVELS = (
    Level(
        ("service", "mode"),
        (catalog.LLM_CALL, catalog.WORKFLOW, catalog.QUALITY),
        (
            "error_ratio",
            "workflow_latency_mean_seconds",
            "workflow_latency_p95_seconds",
            "workflow_latency_p99_seconds",
            "time_to_first_token_p95_seconds",
            "quality_score",
            "quality_drop",
            "refinement_ratio",
            "first_pass_ratio",
            "degradation_ratio",
        ),
    ),
    Level(
        ("service", "cache"),
        (catalog.CACHE_LOOKUPS, catalog.CACHE_ENTRIES, catalog.CACHE),
        ("cache_hit_ratio", "cache_hit_ratio_to_last_week", "cache_fill_ratio", "cache_evictions_per_second"),
    ),
    Level(("service", "provider"), (catalog.LLM_CALL,), ("provider_failure_ratio", "rate_limited_ratio")),
    Level(("service", "tool"), (catalog.TOOL,), ("tool_failure_ratio",)),
    Level(("service", "source"), (catalog.RETRIEVAL,), ("retrieval_failure_ratio",)),
    Level(("service", "pool"), (catalog.POOL_SIZE,), ("pool_in_use_ratio",)),
    Level(
        ("service",),
        (catalog.LLM_CALL, catalog.LLM_COST),
        (
            "cost_daily_usd",
            "cost_hourly_usd",
            "cost_spike_ratio",
            "cost_spike_usd_per_hour",
            "budget_daily_usd",
            "budget_monthly_usd",
        ),
    ),
    Level(
        ("instance",),
        (),
        (
            "host_memory_ratio",
            "host_cpu_ratio",
            "disk_used_ratio",
            "gpu_memory_ratio",
            "gpu_temperature_celsius",
            "scrape_seconds",
        ),
    ),
)
"""Every level with its thresholds."""
