"""OpenTelemetry: finished GenAI spans become the same records; metrics of any library stand beside ours.

``provider.add_span_processor(GenAISpanProcessor())``, ``metrics.set_meter_provider(meter_provider())``.
Understands the semantic conventions v1.41, what came before (``gen_ai.system``, ``gen_ai.usage.prompt_tokens``) and
the renames since (``gen_ai.usage.cache_write.input_tokens``). Needs opentelemetry-sdk.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry.context import Context as OtelContext
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from prometheus_client import REGISTRY, CollectorRegistry

from genai_metrics import runtime
from genai_metrics.catalog import (
    AGENT_RUN,
    LLM_IN_FLIGHT,
    RETRIEVAL,
    RETRIEVAL_RESULT,
    TOOL,
    WORKFLOW_ERROR,
    WORKFLOW_IN_FLIGHT,
)
from genai_metrics.context import EMPTY, Context, current
from genai_metrics.integrations.naming import provider_name
from genai_metrics.integrations.otel_spans import (
    INFERENCE,
    RUNS,
    Attributes,
    Key,
    OpenSpan,
    at_start,
    documents_in,
    error_type_of,
    is_of,
    key_of,
    model_of,
    operation_of,
    tokens_in,
)
from genai_metrics.observations import count, find, observe
from genai_metrics.quality import track_quality
from genai_metrics.traces import ended_span
from genai_metrics.tracking import track_llm_call
from genai_metrics.workflows import record_duration

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.metrics.view import View
    from opentelemetry.sdk.resources import Resource

RECORDS = frozenset({"llm_calls", "tools", "retrievals", "workflows", "agents", "quality"})
"""What spans are turned into."""

EVALUATION = "gen_ai.evaluation.result"

# Whose own API counts cached input apart from the input.
_CACHED_APART = frozenset({"anthropic", "aws.bedrock"})
_MOST_OPEN = 10_000


class GenAISpanProcessor(SpanProcessor):
    """Records finished spans of LLM calls, tools, retrievals, agents, workflows, and the evaluations in their events.

    ``record``: which of ``RECORDS``; leave out what ``track_*`` or another integration records already, or it counts
    twice. ``ignored_scopes``: names of instrumentation scopes whose spans are not recorded. ``raw_usage_scopes``: names
    of scopes that report Anthropic's and Bedrock's input tokens as these providers do, without the cached ones; the
    conventions ask for their sum, which is what is expected of all others. ``mode_attribute``, ``tenant_attribute``:
    span attributes that name mode and tenant. ``evaluation_scale``: the best score of evaluations.

    Mode, tenant and agent come from those attributes, else from the workflow (of this package) or the
    ``invoke_workflow`` or ``invoke_agent`` span around. The outermost of such spans is a workflow, called by its name,
    unless a workflow of this package is around it. Calls and workflows count as in flight if their attributes are there
    at the start of the span. Of LLM spans inside one another (a framework's around a client's)
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
        self._open: dict[Key, OpenSpan] = {}

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
            key = key_of(span.context)
            own = self._open.pop(key, None)
            if own and own.key == key:
                own.land()
            if not is_of(span, self._ignored_scopes):
                scope = span.instrumentation_scope
                self._finish(span, own, "" if scope is None else scope.name)
        except Exception as error:
            runtime.internal_fault(error)
        finally:
            ended_span.reset(token)

    def _begin(self, span: Span) -> None:
        attributes = at_start(span)
        operation = operation_of(attributes)
        around = None if span.parent is None else self._open.get(key_of(span.parent))
        outer = current.get() if around is None else around.context
        context = self._context(attributes, operation, outer)
        if context is EMPTY and operation is None and around is None:
            return
        same = around is not None and operation not in INFERENCE | RUNS and context is outer
        if len(self._open) >= _MOST_OPEN:  # spans that nobody ends
            self._forget(next(iter(self._open), None))
        key = key_of(span.context)
        own = self._open[key] = around if same and around else OpenSpan(key, context, around, operation)
        if own is not around and not is_of(span, self._ignored_scopes):
            self._take_off(own, attributes, operation)

    def _forget(self, key: Key | None) -> None:
        forgotten = self._open.pop(key, None) if key else None
        if forgotten:
            forgotten.land()

    def _take_off(self, own: OpenSpan, attributes: Attributes, operation: str | None) -> None:
        """Count a call, or a workflow, as in flight; spans around a call are none while there are calls inside."""
        if own.is_call and "llm_calls" in self._record:
            for outer in own.calls_around():
                outer.land()
            own.fly(find(LLM_IN_FLIGHT, (own.context.mode, model_of(attributes))))
        elif own.is_run and "workflows" in self._record and self._is_outermost(own, own.context):
            own.fly(find(WORKFLOW_IN_FLIGHT, (own.context.mode,)))

    def _context(self, attributes: Attributes, operation: str | None, outer: Context) -> Context:
        """Return the context that a span makes for itself and what is inside it."""
        context = outer
        if operation in RUNS:
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

    def _finish(self, span: ReadableSpan, own: OpenSpan | None, scope: str) -> None:
        attributes: Attributes = span.attributes or {}
        operation = operation_of(attributes)
        outer = current.get() if own is None else own.context
        # Attributes may have come after the start.
        context = self._context(attributes, operation, outer)
        error_type = error_type_of(span, attributes)
        outcome = "success" if error_type is None else "error"
        seconds = max((span.end_time or 0) - (span.start_time or 0), 0) / 1e9
        if operation in INFERENCE:
            if "llm_calls" in self._record and not (own and own.has_calls):
                self._llm_call(attributes, str(operation), context, seconds, error_type, scope)
            if own and (enclosing := next(own.calls_around(), None)):
                enclosing.has_calls = True
        elif operation == "execute_tool" and "tools" in self._record:
            observe(TOOL, (attributes.get("gen_ai.tool.name"), outcome), seconds, name="duration")
        elif operation == "retrieval" and "retrievals" in self._record:
            source = attributes.get("gen_ai.data_source.id")
            observe(RETRIEVAL, (source, outcome), seconds, name="duration")
            if (results := documents_in(attributes.get("gen_ai.retrieval.documents"))) is not None:
                observe(RETRIEVAL_RESULT, (source,), float(results), name="results")
        elif operation in RUNS:
            self._run(attributes, own, context, seconds, error_type)
        if "quality" in self._record:
            for event in span.events:
                if event.name == EVALUATION:
                    record_evaluation(event.attributes or {}, context.mode, self._evaluation_scale)

    def _llm_call(
        self, given: Attributes, operation: str, context: Context, seconds: float, error_type: str | None, scope: str
    ) -> None:
        provider = provider_name(given.get("gen_ai.provider.name") or given.get("gen_ai.system"))
        reported = tokens_in(given, "input_tokens", "prompt_tokens")
        tokens = reported or 0
        output = tokens_in(given, "output_tokens", "completion_tokens")
        read = tokens_in(given, "cache_read.input_tokens", "cache_read_input_tokens") or 0
        write = (
            tokens_in(given, "cache_write.input_tokens", "cache_creation.input_tokens", "cache_creation_input_tokens")
            or 0
        )
        reasoning = tokens_in(given, "reasoning.output_tokens", "reasoning_tokens") or 0
        # A part that is more than the whole was not counted in it.
        if read + write > tokens or (scope in self._raw_usage_scopes and provider in _CACHED_APART):
            tokens += read + write
        answer = output or 0
        if reasoning > answer:
            answer += reasoning
        track_llm_call(
            mode=context.mode,
            model=model_of(given),
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
        self, given: Attributes, own: OpenSpan | None, context: Context, seconds: float, error_type: str | None
    ) -> None:
        outcome = "success" if error_type is None else "error"
        agent = given.get("gen_ai.agent.name")
        if agent and "agents" in self._record:
            count(AGENT_RUN, (agent, outcome))
        if "workflows" in self._record and self._is_outermost(own, context):
            record_duration((context.mode, outcome, "none"), seconds)
            if error_type is not None:
                count(WORKFLOW_ERROR, (context.mode, error_type))

    def _is_outermost(self, own: OpenSpan | None, context: Context) -> bool:
        """Whether a run is the one that the context names, and no run around it is."""
        return context.run is self and not (own and own.around and own.around.context.run is self)


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
