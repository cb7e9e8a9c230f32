"""What each fault of the demo must change, as PromQL: its value without the fault, with it, and after it."""

from dataclasses import dataclass

AFTER_SECONDS = 8
"""How long is looked at after a fault has passed."""

Limits = tuple[float, float]
"""Least and most, both included."""


@dataclass(frozen=True)
class Effect:
    """What a fault changes.

    ``expression`` has ``$w`` for the time that it looks at. ``quiet`` and ``on``: what it comes to without and with the
    fault. ``settle_seconds``: until the fault shows in full, and until it has passed; then comes what is measured, for
    ``window_seconds`` with the fault, and for ``AFTER_SECONDS`` after it.
    """

    fault: str
    expression: str
    quiet: Limits
    on: Limits
    settle_seconds: int = 4
    window_seconds: int = 12

    @property
    def on_seconds(self) -> int:
        """How long the fault lasts on the tape."""
        return self.settle_seconds + self.window_seconds


def _share(name: str, part: str, whole: str = "") -> str:
    """The share of what grows of a series that has these labels."""
    return (
        f"(sum(increase({name}{{{', '.join(filter(None, (whole, part)))}}}[$w])) or vector(0))"
        f" / sum(increase({name}{{{whole}}}[$w]))"
    )


def _ratio(name: str, other: str) -> str:
    """How much one grows for each that the other grows."""
    return f"(sum(increase({name}[$w])) or vector(0)) / sum(increase({other}[$w]))"


_CALLS = "genai_llm_calls_total"
_ERRORS = "genai_llm_errors_total"
_WORKFLOWS = "genai_workflow_duration_seconds_count"
_DEGRADED = "genai_degradations_total"
_SENT = f'{_CALLS}{{outcome!="cached"}}'

EFFECTS = (
    Effect(
        "latency",
        _ratio(
            'genai_llm_call_duration_seconds_sum{operation="chat", outcome="success"}',
            'genai_llm_call_duration_seconds_count{operation="chat", outcome="success"}',
        ),
        (0.5, 2.0),
        (3.5, 9.0),
        settle_seconds=18,
        window_seconds=16,
    ),
    Effect("error_burst", _ratio(f'{_ERRORS}{{error_type="500"}}', _SENT), (0, 0.03), (0.25, 0.65)),
    Effect("rate_limited", _ratio(f'{_ERRORS}{{error_type="429"}}', _SENT), (0, 0.03), (0.15, 0.55)),
    Effect(
        "provider_down",
        _share(_CALLS, 'outcome="error"', 'provider="openai", outcome!="cached"'),
        (0, 0.03),
        (1, 1),
        settle_seconds=8,  # answers that had begun before are still given to their end
    ),
    Effect(
        "cache_cleared",
        _share("genai_cache_lookups_total", 'result="hit"', 'cache="responses"'),
        (0.35, 0.9),
        (0, 0.2),
        settle_seconds=25,  # a cleared cache fills again in that time
    ),
    Effect(
        "cache_too_small",
        'sum(genai_cache_entries{cache="responses"}) / sum(genai_cache_capacity_entries{cache="responses"})',
        (0, 0.5),
        (0.95, 1),  # a thumb down removes the answer from the cache
        settle_seconds=8,  # until both workers have as many answers again
    ),
    Effect(
        "eviction_storm",
        # Per second of the gentle mix, as all that goes by the clock is 15 times as fast here.
        'sum(rate(genai_cache_evictions_total{cache="embeddings", reason="capacity"}[$w])) / 15',
        (0, 0.5),
        (30, 60),
    ),
    Effect(
        "cost_spike",
        _ratio(
            'genai_llm_cost_usd_total{mode=~"1|2|3"}', f'{_CALLS}{{mode=~"1|2|3", operation="chat", outcome="success"}}'
        ),
        (0.0001, 0.002),
        (0.002, 0.05),
    ),
    Effect(
        "unknown_model",
        _ratio("genai_llm_unpriced_calls_total", _SENT),
        (0, 0),
        (0.05, 0.6),
        settle_seconds=12,  # answers that had begun before are still given to their end
    ),
    Effect("quality_drop", _ratio("genai_quality_score_sum", "genai_quality_score_count"), (0.88, 0.96), (0.35, 0.65)),
    Effect(
        "degradation",
        _ratio(f'{_DEGRADED}{{reason="shortened"}}', f'{_WORKFLOWS}{{outcome="success"}}'),
        (0, 0),
        (0.6, 1),
        settle_seconds=15,  # a long answer that was begun during the fault ends after it
    ),
    Effect(
        "tool_failures",
        _share("genai_tool_duration_seconds_count", 'outcome="error"'),
        (0, 0.15),
        (0.3, 0.7),
        window_seconds=20,
    ),
    Effect(
        "retrieval_failures",
        _share("genai_retrieval_duration_seconds_count", 'outcome="error"'),
        (0, 0.04),
        (0.18, 0.42),
    ),
    Effect(
        "pool_exhausted",
        'sum(genai_pool_connections{state="active"}) / sum(genai_pool_size)',
        (0, 0.3),
        (0.95, 1),
    ),
    Effect("dependency_down", 'min(genai_dependency_up{dependency="vector_store"})', (1, 1), (0, 0)),
    Effect(
        "worker_killed",
        f"sum(resets({_CALLS}[$w])) + sum(resets({_WORKFLOWS}[$w]))",
        (0, 0),
        (0, 0),
    ),
    Effect("exporter_down", 'avg_over_time(up{job="genai-exporter"}[$w])', (1, 1), (0, 0.3)),
    Effect("no_traffic", f"sum(rate({_WORKFLOWS}[$w]))", (4, 30), (0, 0.01), settle_seconds=15),
)

HALVES = {
    "models": (
        "error_burst",
        "rate_limited",
        "provider_down",
        "pool_exhausted",
        "cost_spike",
        "tool_failures",
        "retrieval_failures",
        "dependency_down",
        "unknown_model",
        "latency",
    ),
    "service": (
        "cache_cleared",
        "cache_too_small",
        "exporter_down",  # meanwhile the caches fill again
        "eviction_storm",
        "degradation",
        "quality_drop",
        "no_traffic",
        "worker_killed",  # last, as its successor's caches are empty
    ),
}
"""All faults in the order in which they are recorded, in two halves, each about as long."""
