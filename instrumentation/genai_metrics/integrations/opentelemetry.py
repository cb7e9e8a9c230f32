"""OpenTelemetry: finished GenAI spans become the same records; metrics of any library stand beside ours.

``provider.add_span_processor(GenAISpanProcessor())``, ``metrics.set_meter_provider(meter_provider())``.
Understands the semantic conventions v1.41, what came before (``gen_ai.system``, ``gen_ai.usage.prompt_tokens``) and
the renames since (``gen_ai.usage.cache_write.input_tokens``). Needs opentelemetry-sdk.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context as OtelContext
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY, CollectorRegistry

from genai_metrics import runtime
from genai_metrics.catalog import AGENT_RUN, RETRIEVAL, RETRIEVAL_RESULT, TOOL, WORKFLOW_ERROR
from genai_metrics.context import EMPTY, Context, current
from genai_metrics.integrations.naming import provider_name
from genai_metrics.numbers import LARGEST_COUNT, checked_number
from genai_metrics.observations import count, observe
from genai_metrics.quality import track_quality
from genai_metrics.traces import ended_span
from genai_metrics.tracking import track_llm_call
from genai_metrics.workflows import record_duration

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.metrics.view import View
    from opentelemetry.sdk.resources import Resource

Attributes = Mapping[str, Any]

RECORDS = frozenset({"llm_calls", "tools", "retrievals", "workflows", "agents", "quality"})
"""What spans are turned into."""

EVALUATION = "gen_ai.evaluation.result"

_INFERENCE = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
_RUNS = frozenset({"invoke_workflow", "invoke_agent"})
_OLD_OPERATIONS = {"chat": "chat", "completion": "text_completion", "embedding": "embeddings"}
# Whose own API counts cached input apart from the input.
_CACHED_APART = frozenset({"anthropic", "aws.bedrock"})
_MOST_OPEN = 10_000


class _Open:
    """A span that matters to those inside it: what they take from it, and what it learns from them."""

    __slots__ = ("around", "context", "has_calls", "is_call", "is_run")

    def __init__(self, context: Context, around: "_Open | None", operation: str | None) -> None:
        self.context = context
        self.around = around
        self.is_call = operation in _INFERENCE
        self.is_run = operation in _RUNS
        self.has_calls = False


class GenAISpanProcessor(SpanProcessor):
    """Records finished spans of LLM calls, tools, retrievals, agents, workflows, and the evaluations in their events.

    ``record``: which of ``RECORDS``; leave out what ``track_*`` or another integration records already, or it counts
    twice. ``ignored_scopes``: names of instrumentation scopes whose spans are not recorded. ``raw_usage_scopes``: names
    of scopes that report Anthropic's and Bedrock's input tokens as these providers do, without the cached ones; the
    conventions ask for their sum, which is what is expected of all others. ``mode_attribute``, ``tenant_attribute``:
    span attributes that name mode and tenant. ``evaluation_scale``: the best score of evaluations.

    Mode, tenant and agent come from those attributes, else from the workflow (of this package) or the
    ``invoke_workflow`` or ``invoke_agent`` span around. The outermost of such spans is a workflow, called by its name,
    unless a workflow of this package is around it. Of LLM spans inside one another (a framework's around a client's)
    the inner ones are the calls. A successful call without usage counts as estimated.

    Sees the spans that are recorded: with a sampler that drops spans, only the rest. Raises ``ValueError`` for an
    unknown record, nothing afterwards. Thread-safe, fork-safe.
    """

    def __init__(
        self,
        *,
        record: Collection[str] = RECORDS,
        ignored_scopes: Collection[str] = (),
        raw_usage_scopes: Collection[str] = (),
        mode_attribute: str | None = None,
        tenant_attribute: str | None = None,
        evaluation_scale: float = 1.0,
    ) -> None:
        if unknown := set(record) - RECORDS:
            raise ValueError(f"record: unknown {sorted(unknown)}; choose among {sorted(RECORDS)}")
        self._record = frozenset(record)
        self._ignored_scopes = frozenset(ignored_scopes)
        self._raw_usage_scopes = frozenset(raw_usage_scopes)
        self._mode_attribute = mode_attribute
        self._tenant_attribute = tenant_attribute
        self._evaluation_scale = evaluation_scale
        # Without a lock, which a forked child could inherit locked: each access is one step.
        self._open: dict[tuple[int, int], _Open] = {}

    def on_start(self, span: Span, parent_context: OtelContext | None = None) -> None:
        """Remember what spans inside this one take from it."""
        try:
            self._begin(span)
        except Exception as error:
            runtime.internal_fault(error)

    def on_end(self, span: ReadableSpan) -> None:
        """Record a span if it is one of GenAI."""
        token = ended_span.set(span.context)
        try:
            own = self._open.pop(_key(span.context), None)
            scope = span.instrumentation_scope
            if scope is None or scope.name not in self._ignored_scopes:
                self._finish(span, own, "" if scope is None else scope.name)
        except Exception as error:
            runtime.internal_fault(error)
        finally:
            ended_span.reset(token)

    def _begin(self, span: Span) -> None:
        attributes: Attributes = span.attributes or {}
        operation = _operation(attributes)
        around = None if span.parent is None else self._open.get(_key(span.parent))
        outer = current.get() if around is None else around.context
        context = self._context(attributes, operation, outer)
        if context is EMPTY and operation is None:
            return
        same = around is not None and operation not in _INFERENCE | _RUNS and context is outer
        if len(self._open) >= _MOST_OPEN:  # spans that nobody ends
            self._open.pop(next(iter(self._open)), None)
        self._open[_key(span.context)] = around if same and around else _Open(context, around, operation)

    def _context(self, attributes: Attributes, operation: str | None, outer: Context) -> Context:
        """Return the context that a span makes for itself and what is inside it."""
        context = outer
        if operation in _RUNS:
            agent = attributes.get("gen_ai.agent.name")
            name = attributes.get("gen_ai.workflow.name") or agent
            if name and context.run is None:
                context = replace(context, mode=str(name), run=self)  # any value: there is a run
            if agent:
                context = replace(context, agent=str(agent))
        if self._mode_attribute and (mode := attributes.get(self._mode_attribute)):
            context = replace(context, mode=str(mode))
        if self._tenant_attribute and (tenant := attributes.get(self._tenant_attribute)):
            context = replace(context, tenant=str(tenant))
        return context

    def _finish(self, span: ReadableSpan, own: _Open | None, scope: str) -> None:
        attributes: Attributes = span.attributes or {}
        operation = _operation(attributes)
        outer = current.get() if own is None else own.context
        # Attributes may have come after the start.
        context = self._context(attributes, operation, outer)
        error_type = _error_type(span, attributes)
        outcome = "success" if error_type is None else "error"
        seconds = max((span.end_time or 0) - (span.start_time or 0), 0) / 1e9
        if operation in _INFERENCE:
            if "llm_calls" in self._record and not (own and own.has_calls):
                self._llm_call(attributes, str(operation), context, seconds, error_type, scope)
            enclosing = own and own.around
            while enclosing and not enclosing.is_call:
                enclosing = enclosing.around
            if enclosing:
                enclosing.has_calls = True
        elif operation == "execute_tool" and "tools" in self._record:
            observe(TOOL, (attributes.get("gen_ai.tool.name"), outcome), seconds, name="duration")
        elif operation == "retrieval" and "retrievals" in self._record:
            source = attributes.get("gen_ai.data_source.id")
            observe(RETRIEVAL, (source, outcome), seconds, name="duration")
            if (results := _documents(attributes.get("gen_ai.retrieval.documents"))) is not None:
                observe(RETRIEVAL_RESULT, (source,), float(results), name="results")
        elif operation in _RUNS:
            self._run(attributes, own, context, seconds, error_type)
        if "quality" in self._record:
            for event in span.events:
                if event.name == EVALUATION:
                    record_evaluation(event.attributes or {}, context.mode, self._evaluation_scale)

    def _llm_call(
        self, given: Attributes, operation: str, context: Context, seconds: float, error_type: str | None, scope: str
    ) -> None:
        provider = provider_name(given.get("gen_ai.provider.name") or given.get("gen_ai.system"))
        reported = _first(given, "input_tokens", "prompt_tokens")
        tokens = reported or 0
        output = _first(given, "output_tokens", "completion_tokens")
        read = _first(given, "cache_read.input_tokens", "cache_read_input_tokens") or 0
        write = (
            _first(given, "cache_write.input_tokens", "cache_creation.input_tokens", "cache_creation_input_tokens") or 0
        )
        reasoning = _first(given, "reasoning.output_tokens", "reasoning_tokens") or 0
        # A part that is more than the whole was not counted in it.
        if read + write > tokens or (scope in self._raw_usage_scopes and provider in _CACHED_APART):
            tokens += read + write
        answer = output or 0
        if reasoning > answer:
            answer += reasoning
        track_llm_call(
            mode=context.mode,
            model=given.get("gen_ai.request.model") or given.get("gen_ai.response.model") or "unknown",
            provider=provider,
            operation=operation,
            tenant=context.tenant,
            input_tokens=tokens,
            output_tokens=answer,
            cached_input_tokens=read,
            cache_write_tokens=write,
            reasoning_tokens=reasoning,
            duration=seconds,
            time_to_first_token=given.get("gen_ai.response.time_to_first_chunk"),
            error_type=error_type,
            estimated=reported is None and output is None and error_type is None,
        )

    def _run(
        self, given: Attributes, own: _Open | None, context: Context, seconds: float, error_type: str | None
    ) -> None:
        outcome = "success" if error_type is None else "error"
        agent = given.get("gen_ai.agent.name")
        if agent and "agents" in self._record:
            count(AGENT_RUN, (agent, outcome))
        outermost = context.run is self and not (own and own.around and own.around.context.run is self)
        if outermost and "workflows" in self._record:
            record_duration((context.mode, outcome, "none"), seconds)
            if error_type is not None:
                count(WORKFLOW_ERROR, (context.mode, error_type))


def record_evaluation(attributes: Attributes, mode: str | None = None, scale: float = 1.0) -> None:
    """Record the attributes of one ``gen_ai.evaluation.result`` event, whether of a span or of a log record.

    ``scale``: the best score. An evaluation without a score is not recorded. Never raises.
    """
    score = attributes.get("gen_ai.evaluation.score.value")
    if score is not None:
        evaluator = attributes.get("gen_ai.evaluation.name") or "default"
        track_quality(score, evaluator=str(evaluator), scale=scale, mode=mode)


def meter_provider(
    *,
    registry: CollectorRegistry = REGISTRY,
    resource: "Resource | None" = None,
    resource_attributes: Collection[str] = ("service.name",),
    buckets: Mapping[str, Sequence[float] | None] = MappingProxyType({}),
    views: "Sequence[View]" = (),
    metric_readers: "Sequence[MetricReader]" = (),
) -> "MeterProvider":
    """Return a MeterProvider whose metrics appear in ``registry``, and so on the endpoint that shows ours.

    ``resource``: what ``target_info`` says; by default the environment's, with our service name. Those of its
    attributes in ``resource_attributes`` become labels of every series (``service_name``). GenAI histograms get the
    boundaries of the semantic conventions; ``buckets`` gives your own by instrument name, ``None`` leaves one to
    ``views``, which go first. ``metric_readers``: further ones, which push, for example.

    What Prometheus cannot take (an exponential histogram, a name that is taken) is left out, counted at each scrape in
    ``genai_recorder_faults_total{reason="otel_metrics"}`` and logged once. Metrics of one name from several scopes are
    added up.

    Holds this process's metrics only, whatever the metrics directory; a forked child goes on from its parent's values,
    so make it in each worker. Raises ``ValueError`` if ``registry`` has such a provider already; ``shutdown()`` takes
    it out. Needs opentelemetry-exporter-prometheus. Thread-safe.
    """
    # Not with the module: spans need neither the SDK's metrics nor the exporter for Prometheus.
    from genai_metrics.integrations.otel_metrics import make_provider

    return make_provider(registry, resource, resource_attributes, buckets, views, metric_readers)


def _key(context: Any) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _operation(attributes: Attributes) -> str | None:
    """Return the GenAI operation of a span, ``None`` for other spans."""
    operation = attributes.get("gen_ai.operation.name")
    if operation is None and "gen_ai.system" in attributes:  # before operations had names
        operation = _OLD_OPERATIONS.get(str(attributes.get("llm.request.type", "chat")))
    return None if operation is None else str(operation)


def _first(attributes: Attributes, *names: str) -> float | None:
    """Return the first of several spellings of one usage attribute that is there; what is no number is a fault."""
    for name in names:
        value = attributes.get(f"gen_ai.usage.{name}")
        if value is not None:
            # Whole numbers stay so: the recorder takes them fastest.
            return value if type(value) is int else checked_number(runtime.recorder(), name, value, LARGEST_COUNT)
    return None


def _error_type(span: ReadableSpan, attributes: Attributes) -> str | None:
    if (given := attributes.get("error.type")) is not None:
        return str(given)
    if span.status.status_code is not StatusCode.ERROR:
        return None
    raised = [e.attributes.get("exception.type") for e in span.events if e.name == "exception" and e.attributes]
    return str(raised[-1]).rpartition(".")[2] if raised and raised[-1] else "unknown"


def _documents(value: Any) -> int | None:
    """Return the number of documents in an attribute: a sequence, or JSON of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return len(value) if isinstance(value, list | tuple) else None
