"""Thresholds, budgets and floors: which series may be set, for whom, within which range, and which alerts read them.

Their numbers are in ``prometheus/rules/thresholds.yml``, which users edit. Pure data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from genai_metrics.catalog.llm import CALL_SECONDS, FIRST_TOKEN_SECONDS
from genai_metrics.catalog.workflow import WORKFLOW_SECONDS

THRESHOLD_PREFIX: Final = "genai:threshold:"
"""What the series of a threshold begins with; its name follows."""

SEVERITIES = ("target", "warning", "critical")
"""Values of the label ``severity`` of a threshold series, from what is aimed at to what is worst."""

Worse = Literal["above", "below"]
"""On which side of a threshold the trouble is."""

# A quantile of a histogram is never above its highest bound, so an alert with a higher threshold could never fire.
_LONGEST_SECONDS = max(CALL_SECONDS[-1], WORKFLOW_SECONDS[-1])
_LONGEST_FIRST_TOKEN_SECONDS = FIRST_TOKEN_SECONDS[-1]


@dataclass(frozen=True)
class Threshold:
    """One threshold: ``name`` without prefix ends in its unit, or is a share or score of 0 to 1.

    ``labels``: what it may be set for in particular, the more general first. ``minimum`` and ``maximum`` are allowed
    values. ``alerts``: those that read it, by the severity that they read; without that series they never fire.
    """

    name: str
    labels: tuple[str, ...]
    alerts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    worse: Worse = "above"
    minimum: float = 0.0
    maximum: float = 1.0

    @property
    def series(self) -> str:
        """Name of its series."""
        return f"{THRESHOLD_PREFIX}{self.name}"


@dataclass(frozen=True)
class Setting:
    """A number beside the thresholds: a budget or a floor, 0 or more. ``labels`` it may have, ``needed`` it must."""

    series: str
    labels: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()


_MODE = ("service", "mode")
_CACHE = ("service", "cache")
_PROVIDER = ("service", "provider")
_SERVICE = ("service",)
_INSTANCE = ("instance",)


def _warns(*alerts: str) -> dict[str, tuple[str, ...]]:
    return {"warning": alerts}


def _critical(*alerts: str) -> dict[str, tuple[str, ...]]:
    return {"critical": alerts}


THRESHOLDS = (
    Threshold("error_ratio", _MODE, _warns("GenAIElevatedErrorRate") | _critical("GenAIHighErrorRate")),
    Threshold("workflow_latency_mean_seconds", _MODE, maximum=math.inf),
    Threshold("workflow_latency_p95_seconds", _MODE, _warns("GenAIHighLatency"), maximum=_LONGEST_SECONDS),
    Threshold("workflow_latency_p99_seconds", _MODE, _critical("GenAIVeryHighLatency"), maximum=_LONGEST_SECONDS),
    Threshold(
        "time_to_first_token_p95_seconds", _MODE, _warns("GenAISlowFirstToken"), maximum=_LONGEST_FIRST_TOKEN_SECONDS
    ),
    Threshold("quality_score", _MODE, _warns("GenAILowQualityScore"), "below"),
    Threshold("quality_drop", _MODE, _warns("GenAIQualityDrop")),
    Threshold("refinement_ratio", _MODE, _warns("GenAIHighRefinementRate")),
    Threshold("first_pass_ratio", _MODE, _warns("GenAILowFirstPassAcceptance"), "below"),
    Threshold("degradation_ratio", _MODE, _warns("GenAIHighDegradationRate")),
    Threshold(
        "cache_hit_ratio", _CACHE, _warns("GenAILowCacheHitRate") | _critical("GenAICacheHitRateCollapsed"), "below"
    ),
    Threshold("cache_hit_ratio_to_last_week", _CACHE, _warns("GenAICacheHitRateCollapsed"), "below"),
    Threshold("cache_fill_ratio", _CACHE, _warns("GenAICacheNearCapacity")),
    Threshold("cache_evictions_per_second", _CACHE, _warns("GenAIHighCacheEvictionRate"), maximum=math.inf),
    Threshold("provider_failure_ratio", _PROVIDER, _critical("GenAIProviderDown")),
    Threshold("rate_limited_ratio", _PROVIDER, _warns("GenAIRateLimited")),
    Threshold("tool_failure_ratio", ("service", "tool"), _warns("GenAIToolFailureRate")),
    Threshold("retrieval_failure_ratio", ("service", "source"), _critical("GenAIRetrievalFailureRate")),
    Threshold("pool_in_use_ratio", ("service", "pool"), _warns("GenAIPoolExhausted")),
    Threshold("cost_daily_usd", _SERVICE, _warns("GenAIHighDailyCost"), maximum=math.inf),
    Threshold("cost_hourly_usd", _SERVICE, _warns("GenAIHighHourlyCost"), maximum=math.inf),
    # 1 is spending as before: an alert below that would always fire.
    Threshold("cost_spike_ratio", _SERVICE, _critical("GenAICostSpike"), minimum=1.0, maximum=math.inf),
    Threshold("cost_spike_usd_per_hour", _SERVICE, _critical("GenAICostSpike"), maximum=math.inf),
    Threshold("budget_daily_usd", _SERVICE, _warns("GenAIDailyBudgetProjected"), maximum=math.inf),
    Threshold("budget_monthly_usd", _SERVICE, maximum=math.inf),
    Threshold("host_memory_ratio", _INSTANCE, _critical("GenAIHostMemoryHigh")),
    Threshold("host_cpu_ratio", _INSTANCE, _warns("GenAIHostCpuSaturated")),
    Threshold("disk_used_ratio", _INSTANCE, _critical("GenAIDiskFull")),
    Threshold("gpu_memory_ratio", _INSTANCE, _warns("GenAIGpuMemoryFull")),
    # Above this no GPU runs; it is rather degrees Fahrenheit.
    Threshold("gpu_temperature_celsius", _INSTANCE, _critical("GenAIGpuHot"), maximum=125.0),
    Threshold("scrape_seconds", _INSTANCE, _warns("GenAIScrapeSlow"), maximum=math.inf),
)
"""Every threshold, those of a level in one run and in the order of the generated rules."""

BUDGETS = (Setting("genai:budget:daily_usd", ("service", "tenant"), ("tenant",)),)
"""Budgets of tenants; nobody needs one. A whole service's are thresholds."""

FLOORS = tuple(
    Setting(f"genai:floor:{name}")
    for name in ("requests", "judgements", "cache_lookups", "provider_calls", "usual_requests_per_hour")
)
"""The least traffic at which alerts judge shares; rules join each as a single series, so it must be there, once."""
