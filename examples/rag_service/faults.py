"""The faults that can be provoked, and the alerts that each should raise. Imports the standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Fault:
    """One fault.

    ``alerts``: names of the alerts that it should raise, none where the point is that nothing happens.
    ``shows_after_seconds``: until the first of them fires at the demo's own load: its window fills, then its ``for``.
    ``follows``: alerts that its alerts bring with them, by name, and why; all others are no business of it.
    ``place``: who provokes it, the ``service`` itself, the ``llm`` server that it forwards to, or the ``command``
    ``genai-exporter demo fault``. ``parameters``: what the LLM server is told.
    """

    name: str
    description: str
    alerts: tuple[str, ...]
    shows_after_seconds: int
    place: Literal["service", "llm", "command"] = "service"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    follows: Mapping[str, str] = field(default_factory=dict)


_LOWER = "the lower threshold of the same share"
_NOT_RERANKED = "without embeddings answers are not reranked, which counts as a degradation"
_CALLS_FAIL = "a failed call is an error, whatever its reason"
_PUSHED_OUT = "most entries are pushed out before they are asked for again"
_FEWER_KEPT = "degraded answers are not kept in the response cache"

CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "latency",
            "Models take five times as long.",
            ("GenAIHighLatency",),
            400,
            "llm",
            {"factor": 5.0},
            {
                "GenAIVeryHighLatency": "the longest workflows may pass the critical threshold",
                "GenAISlowFirstToken": "models begin to answer late as well",
            },
        ),
        Fault(
            "error_burst",
            "Models answer 6 of 10 requests with status 500.",
            ("GenAIHighErrorRate",),
            360,
            "llm",
            {"share": 0.6},
            {"GenAIElevatedErrorRate": _LOWER, "GenAIHighDegradationRate": _NOT_RERANKED},
        ),
        Fault(
            "rate_limited",
            "Models answer half of the requests with status 429.",
            ("GenAIRateLimited",),
            360,
            "llm",
            {"share": 0.5},
            {
                "GenAIHighErrorRate": _CALLS_FAIL,
                "GenAIElevatedErrorRate": _CALLS_FAIL,
                "GenAIHighDegradationRate": _NOT_RERANKED,
            },
        ),
        Fault(
            "provider_down",
            "OpenAI closes every connection; the service falls back to Anthropic.",
            ("GenAIProviderDown",),
            480,
            "llm",
            {"provider": "openai"},
            {
                "GenAIHighErrorRate": _CALLS_FAIL,
                "GenAIElevatedErrorRate": _CALLS_FAIL,
                "GenAIHighDegradationRate": _NOT_RERANKED,
                "GenAILowCacheHitRate": _FEWER_KEPT,
            },
        ),
        Fault(
            "cache_cleared",
            "The response cache is cleared every second.",
            ("GenAILowCacheHitRate", "GenAICacheHitRateCollapsed"),
            1500,
        ),
        Fault(
            "cache_too_small",
            "The response cache has room for 12 answers in each worker.",
            ("GenAICacheNearCapacity",),
            720,
            follows={
                "GenAILowCacheHitRate": _PUSHED_OUT,
                "GenAICacheHitRateCollapsed": _PUSHED_OUT,
            },
        ),
        Fault(
            "eviction_storm",
            "A job floods the embedding cache, which pushes out 40 entries a second.",
            ("GenAIHighCacheEvictionRate",),
            720,
            follows={
                "GenAICacheNearCapacity": "the cache that is flooded is full",
                "GenAILowCacheHitRate": _PUSHED_OUT,
                "GenAICacheHitRateCollapsed": _PUSHED_OUT,
            },
        ),
        Fault(
            "cost_spike",
            "All calls go to models that cost 15 times as much.",
            ("GenAICostSpike",),
            660,
            follows={
                "GenAIHighHourlyCost": "most of an hour at this price is above what an hour may cost",
                "GenAIDailyBudgetProjected": "a day at this price would pass the budget",
            },
        ),
        Fault(
            "unknown_model",
            "Simple answers come from a model without a known price.",
            ("GenAIUnpricedCalls",),
            330,
        ),
        Fault(
            "quality_drop",
            "The evaluator finds most answers poor.",
            ("GenAILowQualityScore",),
            900,
            "llm",
            {"quality": 0.5},
            {
                "GenAIQualityDrop": "they were better a week ago",
                "GenAIHighDegradationRate": "an answer that is never accepted counts as a degradation",
                "GenAIHighRefinementRate": "poor answers are refined",
                "GenAILowFirstPassAcceptance": "first answers are poor",
                "GenAIHighLatency": "refined answers take longer",
                "GenAILowCacheHitRate": _FEWER_KEPT,
                "GenAICacheHitRateCollapsed": _FEWER_KEPT,
            },
        ),
        Fault(
            "degradation",
            "8 of 10 answers are cut short, as if the service shed load.",
            ("GenAIHighDegradationRate",),
            690,
            follows={"GenAILowCacheHitRate": _FEWER_KEPT, "GenAICacheHitRateCollapsed": _FEWER_KEPT},
        ),
        Fault("tool_failures", "Half of the tool calls fail.", ("GenAIToolFailureRate",), 690),
        Fault(
            "retrieval_failures",
            "3 of 10 retrievals fail.",
            ("GenAIRetrievalFailureRate",),
            660,
            follows={"GenAIHighDegradationRate": "an answer without documents counts as a degradation"},
        ),
        Fault(
            "pool_exhausted",
            "A leak holds 19 of the 20 connections to the vector store in each worker.",
            ("GenAIPoolExhausted",),
            330,
        ),
        Fault(
            "dependency_down",
            "The vector store does not answer; the service searches by keywords.",
            ("GenAIDependencyDown",),
            150,
            follows={"GenAIHighDegradationRate": "a search by keywords counts as a degradation"},
        ),
        Fault(
            "worker_killed",
            "One worker is killed by SIGKILL, at once; its master starts another, and the numbers stay right.",
            (),
            0,
        ),
        Fault(
            "exporter_down",
            "The exporter is halted; applications go on recording.",
            ("GenAITargetDown",),
            180,
            "command",
        ),
        Fault("no_traffic", "The demo's load pauses.", ("GenAINoTraffic",), 1200),
    )
}
