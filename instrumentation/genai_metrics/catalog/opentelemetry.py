"""Metrics of OpenTelemetry's GenAI semantic conventions: what others emit, how it is called in Prometheus.

The only place where these names are spelled. Two generations: v1.41, the last that came with the core conventions, and
what their own repository (open-telemetry/semantic-conventions-genai) has renamed since. Pure data.
"""

from dataclasses import dataclass
from typing import Literal

# Boundaries as the conventions give them. They end at 82 s: longer calls all land in +Inf.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_AGENT_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
_WORKFLOW_SECONDS = (1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
_SERVER_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_SERVER_FIRST_SECONDS = (*(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),)
_TOKENS = tuple(float(4**power) for power in range(14))
_CALLS = tuple(float(2**power) for power in range(8))


@dataclass(frozen=True)
class Instrument:
    """One instrument: its name, whether histogram or counter, its unit, the boundaries that are specified for it."""

    name: str
    unit: Literal["s", "{token}", "{call}"]
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Names of its series in Prometheus: dots are underscores, seconds a suffix, annotations like tokens none."""
        family = self.name.replace(".", "_") + ("_seconds" if self.unit == "s" else "")
        return tuple(f"{family}{suffix}" for suffix in (("_bucket", "_count", "_sum") if self.buckets else ("_total",)))


_CLIENT = "gen_ai.client."

INSTRUMENTS = (
    # v1.41
    Instrument(_CLIENT + "token.usage", "{token}", _TOKENS),
    Instrument(_CLIENT + "operation.duration", "s", _SECONDS),
    Instrument(_CLIENT + "operation.time_to_first_chunk", "s", _SECONDS),
    Instrument(_CLIENT + "operation.time_per_output_chunk", "s", _SECONDS),
    Instrument("gen_ai.server.request.duration", "s", _SECONDS),
    Instrument("gen_ai.server.time_per_output_token", "s", _SERVER_TOKEN_SECONDS),
    Instrument("gen_ai.server.time_to_first_token", "s", _SERVER_FIRST_SECONDS),
    Instrument("gen_ai.workflow.duration", "s", _WORKFLOW_SECONDS),
    # since
    Instrument(_CLIENT + "inference.duration", "s", _SECONDS),
    Instrument(_CLIENT + "inference.time_to_first_chunk", "s", _SECONDS),
    Instrument(_CLIENT + "inference.time_per_output_chunk", "s", _SECONDS),
    Instrument(_CLIENT + "inference.usage.input_tokens", "{token}"),
    Instrument(_CLIENT + "inference.usage.output_tokens", "{token}"),
    Instrument(_CLIENT + "inference.usage.cache_read.input_tokens", "{token}"),
    Instrument(_CLIENT + "inference.usage.cache_write.input_tokens", "{token}"),
    Instrument(_CLIENT + "inference.usage.reasoning.output_tokens", "{token}"),
    Instrument(_CLIENT + "inference.operation.input_tokens", "{token}", _TOKENS),
    Instrument(_CLIENT + "inference.operation.output_tokens", "{token}", _TOKENS),
    Instrument(_CLIENT + "embeddings.duration", "s", _SECONDS),
    Instrument(_CLIENT + "embeddings.operation.input_tokens", "{token}", _TOKENS),
    Instrument("gen_ai.invoke_workflow.duration", "s", _WORKFLOW_SECONDS),
    Instrument("gen_ai.invoke_agent.duration", "s", _AGENT_SECONDS),
    Instrument("gen_ai.invoke_agent.inference_calls", "{call}", _CALLS),
    Instrument("gen_ai.invoke_agent.tool_calls", "{call}", _CALLS),
    Instrument("gen_ai.execute_tool.duration", "s", _SECONDS),
)
"""Every instrument of both generations."""

BUCKETS = {instrument.name: instrument.buckets for instrument in INSTRUMENTS if instrument.buckets}
"""Boundaries by name of histogram."""

SERIES = frozenset(name for instrument in INSTRUMENTS for name in instrument.series)
"""Names of all series in Prometheus."""

LABELS = frozenset(
    {
        "gen_ai_operation_name",
        "gen_ai_provider_name",
        "gen_ai_system",  # the provider, before v1.37
        "gen_ai_request_model",
        "gen_ai_response_model",
        "gen_ai_token_type",
        "error_type",
    }
)
"""Labels of these series that we make something of."""
