"""What applications emit by OpenTelemetry's conventions only, recorded under our names."""

from collections.abc import Iterator

from genai_metrics.catalog.opentelemetry import SERIES

MODE = "opentelemetry"
# Operations that are no call of a model, though some instrumentations report them as client operations.
OTHER_OPERATIONS = "create_agent|execute_tool|fetch_response|invoke_agent|invoke_workflow|plan|retrieval|.*_memory.*"

HEADER = f"""\
# Written by `make generate` from prometheus/genai_rules; do not edit.
#
# For applications that emit OpenTelemetry's GenAI metrics (gen_ai_client_*) and do not use genai_metrics for their LLM
# calls: the same series under our names, so that dashboards and alerts work.
#
# Both generations of the conventions are read, v1.41 and the later gen_ai_client_inference_*. Where a process emits the
# same calls in both, the larger value counts, not the sum. Instances are not added up: of a sum of counters that are
# reset one by one, rate() and increase() make nonsense. mode="{MODE}" says where a series comes from. A service
# that has LLM calls of another mode, recorded by genai_metrics, has none of these: nothing counts twice. The service is
# the label `service`, else `service_name` (a promoted resource attribute), else the job. There is no cost: tokens have
# no price here.

groups:
  - name: genai-recording-otel
    rules:
"""

CALL = ("service", "provider", "model", "operation", "outcome")
ERROR = ("service", "provider", "model", "error_type")

DURATION = ("gen_ai_client_operation_duration_seconds", "gen_ai_client_inference_duration_seconds")
EMBEDDINGS = "gen_ai_client_embeddings_duration_seconds"
COUNTERS = {
    "genai_llm_calls_total": tuple(f"{family}_count" for family in (*DURATION, EMBEDDINGS)),
    "genai_llm_input_tokens_total": (
        "gen_ai_client_token_usage_sum",
        "gen_ai_client_inference_usage_input_tokens_total",
        "gen_ai_client_embeddings_operation_input_tokens_sum",
    ),
    "genai_llm_output_tokens_total": (
        "gen_ai_client_token_usage_sum",
        "gen_ai_client_inference_usage_output_tokens_total",
    ),
    "genai_llm_cache_read_input_tokens_total": ("gen_ai_client_inference_usage_cache_read_input_tokens_total",),
    "genai_llm_cache_write_input_tokens_total": ("gen_ai_client_inference_usage_cache_write_input_tokens_total",),
    "genai_llm_reasoning_output_tokens_total": ("gen_ai_client_inference_usage_reasoning_output_tokens_total",),
}
# Of usage in one histogram, the type; the later counters have none.
TOKEN_TYPES = {"genai_llm_input_tokens_total": "input|", "genai_llm_output_tokens_total": "output|"}
HISTOGRAMS = {
    "genai_llm_call_duration_seconds": (*DURATION, EMBEDDINGS),
    "genai_llm_time_to_first_token_seconds": (
        "gen_ai_client_operation_time_to_first_chunk_seconds",
        "gen_ai_client_inference_time_to_first_chunk_seconds",
    ),
    "genai_llm_time_per_output_token_seconds": (
        "gen_ai_client_operation_time_per_output_chunk_seconds",
        "gen_ai_client_inference_time_per_output_chunk_seconds",
    ),
}


def _first_of(label: str, *sources: str) -> tuple[tuple[str, ...], ...]:
    """Return the steps that take the first label that is there, or ``unknown``."""
    joined = ", ".join(f'"{source}"' for source in sources)
    return (
        (joined, label, "", ""),
        (label, label, "$1", ";*([^;]+).*"),
        (label, label, "unknown", ";*"),
    )


# Source label, target label, replacement, pattern; without a replacement: labels to join, target label.
STEPS = {
    "service": _first_of("service", "service", "service_name", "job"),
    "provider": (
        *_first_of("provider", "gen_ai_provider_name", "gen_ai_system"),
        # As gen_ai.system spelled them.
        ("provider", "provider", "azure.ai.$1", r"az\\.ai\\.(.+)"),
        ("provider", "provider", "gcp.$1", "(gemini|vertex_ai)"),
        ("provider", "provider", "x_ai", "xai"),
    ),
    "model": _first_of("model", "gen_ai_request_model", "gen_ai_response_model"),
    "operation": (
        ('"gen_ai_operation_name", "__name__"', "operation", "", ""),
        ("operation", "operation", "$1", "([^;]+);.*"),
        ("operation", "operation", "embeddings", ";gen_ai_client_embeddings_.*"),
        ("operation", "operation", "unknown", ";.*"),
    ),
    "outcome": (("error_type", "outcome", "success", ""), ("error_type", "outcome", "error", ".+")),
}


def text() -> str:
    """Return the file."""
    rules = [
        _rule(name, series, CALL, gen_ai_token_type=TOKEN_TYPES.get(name, "")) for name, series in COUNTERS.items()
    ]
    rules.append(_rule("genai_llm_errors_total", COUNTERS["genai_llm_calls_total"], ERROR, error_type=".+"))
    for name, families in HISTOGRAMS.items():
        for suffix in ("bucket", "count", "sum"):
            labels = (*CALL, "le") if suffix == "bucket" else CALL
            rules.append(_rule(f"{name}_{suffix}", tuple(f"{family}_{suffix}" for family in families), labels))
    return HEADER + "\n".join(rules)


def _rule(name: str, series: tuple[str, ...], labels: tuple[str, ...], **matchers: str) -> str:
    """Return one recording rule."""
    if unknown := set(series) - SERIES:
        raise ValueError(f"not among the conventions' series: {sorted(unknown)}")
    selected = [f'__name__=~"{"|".join(series)}"', f'gen_ai_operation_name!~"{OTHER_OPERATIONS}"']
    selected += [f'{label}=~"{pattern}"' for label, pattern in matchers.items() if pattern]
    steps = [step for label in labels for step in _steps(label)]
    kept = ", ".join(("job", "instance", *labels))
    lines = [
        f"max by ({kept}) (",
        f"  sum by (__name__, {kept}) (",
        *(f"    {function}(" for function, _ in reversed(steps)),
        "      {" + selected[0] + ",",
        *(f"       {matcher}," for matcher in selected[1:-1]),
        f"       {selected[-1]}}}",
        *(f"    , {arguments})" for _, arguments in steps),
        "  )",
        ")",
        f'unless on (service) genai_llm_calls_total{{mode!="{MODE}"}}',
    ]
    expression = "\n".join(f"          {line}" for line in lines)
    return f"      - record: {name}\n        expr: |\n{expression}\n        labels:\n          mode: {MODE}\n"


def _steps(label: str) -> Iterator[tuple[str, str]]:
    """Yield the functions that make one label, innermost first, each with the arguments after the vector."""
    for source, target, replacement, pattern in STEPS.get(label, ()):
        if replacement:
            yield "label_replace", f'"{target}", "{replacement}", "{source}", "{pattern}"'
        else:
            yield "label_join", f'"{target}", ";", {source}'
