"""The faults that can be provoked, and the alerts that each should raise. Imports the standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Fault:
    """One fault.

    ``alerts``: names of the alerts that it should raise, none where the point is that nothing happens.
    ``shows_after_seconds``: until the first of them fires at the demo's own load: its window fills, then its ``for``.
    ``needs_seconds``: how long the fault must be on for that; less, as windows remember.
    ``place``: who provokes it, the ``service`` itself, the ``llm`` server that it forwards to, or the ``command``
    ``genai-exporter demo fault``. ``parameters``: what the LLM server is told.
    """

    name: str
    description: str
    alerts: tuple[str, ...]
    shows_after_seconds: int
    needs_seconds: int
    place: Literal["service", "llm", "command"] = "service"
    parameters: Mapping[str, Any] = field(default_factory=dict)


CATALOGUE: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "latency",
            "Models take five times as long.",
            ("GenAIHighLatency", "GenAIVeryHighLatency"),
            400,
            120,
            "llm",
            {"factor": 5.0},
        ),
        Fault(
            "error_burst",
            "Models answer 6 of 10 requests with status 500.",
            ("GenAIHighErrorRate",),
            360,
            120,
            "llm",
            {"share": 0.6},
        ),
        Fault(
            "rate_limited",
            "Models answer half of the requests with status 429.",
            ("GenAIRateLimited",),
            360,
            120,
            "llm",
            {"share": 0.5},
        ),
        Fault(
            "provider_down",
            "OpenAI closes every connection; the service falls back to Anthropic.",
            ("GenAIProviderDown",),
            480,
            480,
            "llm",
            {"provider": "openai"},
        ),
        Fault(
            "cache_cleared",
            "The response cache is cleared every second.",
            ("GenAILowCacheHitRate", "GenAICacheHitRateCollapsed"),
            1500,
            1500,
        ),
        Fault(
            "cache_too_small",
            "The response cache has room for 8 answers in each worker.",
            ("GenAICacheNearCapacity",),
            720,
            720,
        ),
        Fault(
            "eviction_storm",
            "A job floods the embedding cache, which pushes out 40 entries a second.",
            ("GenAIHighCacheEvictionRate",),
            720,
            480,
        ),
        Fault(
            "cost_spike",
            "All calls go to models that cost 15 times as much.",
            ("GenAICostSpike",),
            660,
            120,
        ),
        Fault(
            "unknown_model",
            "Simple answers come from a model without a known price.",
            ("GenAIUnpricedCalls",),
            330,
            60,
        ),
        Fault(
            "quality_drop",
            "The evaluator finds most answers poor.",
            ("GenAILowQualityScore",),
            900,
            600,
            "llm",
            {"quality": 0.5},
        ),
        Fault(
            "degradation",
            "8 of 10 answers are cut short, as if the service shed load.",
            ("GenAIHighDegradationRate",),
            690,
            420,
        ),
        Fault("tool_failures", "Half of the tool calls fail.", ("GenAIToolFailureRate",), 690, 420),
        Fault("retrieval_failures", "3 of 10 retrievals fail.", ("GenAIRetrievalFailureRate",), 660, 420),
        Fault(
            "pool_exhausted",
            "A leak holds 19 of the 20 connections to the vector store in each worker.",
            ("GenAIPoolExhausted",),
            330,
            330,
        ),
        Fault(
            "dependency_down",
            "The vector store does not answer; the service searches by keywords.",
            ("GenAIDependencyDown",),
            150,
            150,
        ),
        Fault(
            "worker_killed",
            "One worker is killed by SIGKILL, at once; its master starts another, and the numbers stay right.",
            (),
            0,
            0,
        ),
        Fault(
            "exporter_down",
            "The exporter is halted; applications go on recording.",
            ("GenAITargetDown",),
            180,
            180,
            "command",
        ),
        Fault("no_traffic", "The demo's load pauses.", ("GenAINoTraffic",), 1200, 1200),
    )
}
