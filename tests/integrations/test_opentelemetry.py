"""The span processor under the real OpenTelemetry SDK."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Status, StatusCode, Tracer
from provider_server import running

import genai_metrics
from genai_metrics import track_llm_call, workflow
from genai_metrics.integrations.opentelemetry import RECORDS, GenAISpanProcessor, record_evaluation
from genai_metrics.testing import sample

CALLS = "genai_llm_calls_total"
FLYING = "genai_llm_calls_in_flight"
WORKFLOWS = "genai_workflow_in_flight"
HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
SECOND = 10**9
START = 1_800_000_000 * SECOND


def tracer(scope: str = "test", **options: Any) -> Tracer:
    """A tracer of a provider of its own, whose only processor is ours."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(GenAISpanProcessor(**options))
    return provider.get_tracer(scope)


def span(tracer: Tracer, seconds: float, error: bool = False, **attributes: Any) -> None:
    """One finished span; ``__`` in an attribute's name stands for a dot."""
    given = {name.replace("__", "."): value for name, value in attributes.items()}
    one = tracer.start_span("span", attributes=given, start_time=START)
    if error:
        one.set_status(Status(StatusCode.ERROR))
    one.end(START + round(seconds * SECOND))


RUN = {"gen_ai.operation.name": "invoke_agent"}
CHAT = {
    "gen_ai__operation__name": "chat",
    "gen_ai__provider__name": "openai",
    "gen_ai__request__model": "gpt-4",
}


def dotted(attributes: dict[str, str]) -> dict[str, str]:
    """Names of attributes as they are."""
    return {name.replace("__", "."): value for name, value in attributes.items()}


def tokens(**labels: str) -> list[float]:
    """Input, output, cache read, cache write and reasoning tokens."""
    names = ("input", "output", "cache_read_input", "cache_write_input", "reasoning_output")
    return [sample(f"genai_llm_{name}_tokens_total", **labels) for name in names]


class TestCalls:
    """Spans of inference."""

    def test_a_chat_span_is_a_call(self) -> None:
        """Labels, duration, time to first token and tokens."""
        span(
            tracer(),
            2.0,
            **CHAT,
            gen_ai__response__model="gpt-4-0613",
            gen_ai__usage__input_tokens=100,
            gen_ai__usage__output_tokens=40,
            gen_ai__usage__cache_read__input_tokens=30,
            gen_ai__usage__reasoning__output_tokens=10,
            gen_ai__response__time_to_first_chunk=0.5,
        )
        labels = {"provider": "openai", "model": "gpt-4", "operation": "chat", "outcome": "success", "mode": "default"}
        assert sample(CALLS, **labels) == 1
        assert sample("genai_llm_call_duration_seconds_sum", **labels) == 2.0
        assert sample("genai_llm_time_to_first_token_seconds_sum", **labels) == 0.5
        assert sample("genai_llm_time_per_output_token_seconds_sum", **labels) == pytest.approx(1.5 / 39)
        assert tokens(**labels) == [100, 40, 30, 0, 10]
        assert sample("genai_llm_estimated_usage_calls_total") == 0

    def test_cost_comes_from_the_price_table(self) -> None:
        """To a billionth of a dollar."""
        genai_metrics.configure()
        span(tracer(), 1, **CHAT, gen_ai__usage__input_tokens=1000, gen_ai__usage__output_tokens=500)
        assert sample("genai_llm_cost_usd_total") == pytest.approx(1000 * 30e-6 + 500 * 60e-6, abs=1e-9)

    @pytest.mark.parametrize(
        "write",
        ["cache_write__input_tokens", "cache_creation__input_tokens", "cache_creation_input_tokens"],
    )
    def test_each_generation_of_names(self, write: str) -> None:
        """The renames on the way to ``gen_ai.client.inference``, and the names that instrumentors used before."""
        span(
            tracer(),
            1,
            gen_ai__operation__name="chat",
            gen_ai__system="az.ai.openai",
            gen_ai__response__model="m",
            gen_ai__usage__prompt_tokens=100,
            gen_ai__usage__completion_tokens=10,
            gen_ai__usage__cache_read_input_tokens=20,
            **{f"gen_ai__usage__{write}": 30},
        )
        assert tokens(provider="azure.ai.openai", model="m") == [100, 10, 20, 30, 0]

    def test_spans_from_before_operations_had_names(self) -> None:
        """``gen_ai.system`` alone makes a chat; a type of request says otherwise."""
        span(tracer(), 1, gen_ai__system="openai", gen_ai__request__model="m")
        span(tracer(), 1, gen_ai__system="openai", gen_ai__request__model="m", llm__request__type="embedding")
        span(tracer(), 1, gen_ai__system="openai", gen_ai__request__model="m", llm__request__type="rerank")
        assert sample(CALLS, operation="chat") == 1
        assert sample(CALLS, operation="embeddings") == 1
        assert sample(CALLS) == 2

    @pytest.mark.parametrize(
        ("provider", "scope", "total"),
        [("anthropic", "raw", 150), ("aws.bedrock", "raw", 150), ("openai", "raw", 100), ("anthropic", "sums", 100)],
    )
    def test_input_that_excludes_the_cache(self, provider: str, scope: str, total: int) -> None:
        """Anthropic's raw count does, where an instrumentor is known to pass it on."""
        span(
            tracer(scope, raw_usage_scopes=["raw"]),
            1,
            gen_ai__operation__name="chat",
            gen_ai__provider__name=provider,
            gen_ai__usage__input_tokens=100,
            gen_ai__usage__cache_read__input_tokens=30,
            gen_ai__usage__cache_write__input_tokens=20,
        )
        assert tokens() == [total, 0, 30, 20, 0]

    def test_a_part_larger_than_the_whole_was_counted_apart(self) -> None:
        """Cached input above the input, reasoning above the output: no fault, and the sums."""
        span(
            tracer(),
            1,
            **CHAT,
            gen_ai__usage__input_tokens=10,
            gen_ai__usage__cache_read__input_tokens=30,
            gen_ai__usage__output_tokens=5,
            gen_ai__usage__reasoning__output_tokens=50,
        )
        assert tokens() == [40, 55, 30, 0, 50]
        assert sample("genai_recorder_faults_total") == 0

    @pytest.mark.parametrize("error", ["429", "500", "TimeoutError", "ConnectionRefusedError"])
    def test_errors_by_type(self, error: str) -> None:
        """As ``error.type`` says."""
        span(tracer(), 1, error=True, **CHAT, error__type=error)
        assert sample("genai_llm_errors_total", model="gpt-4", error_type=error) == 1
        assert sample(CALLS, outcome="error") == 1
        assert sample("genai_llm_estimated_usage_calls_total") == 0

    def test_errors_without_a_type(self) -> None:
        """The recorded exception's class, else unknown; the exception goes on."""
        given = {name.replace("__", "."): value for name, value in CHAT.items()}
        with pytest.raises(OSError, match="gone"), tracer().start_as_current_span("x", attributes=given):
            raise OSError("gone")
        span(tracer(), 1, error=True, **CHAT)
        assert sample("genai_llm_errors_total", error_type="OSError") == 1
        assert sample("genai_llm_errors_total", error_type="unknown") == 1

    def test_no_usage_counts_as_estimated(self) -> None:
        """A stream that was left early, say: the tokens are missing, and that can be seen."""
        span(tracer(), 1, **CHAT)
        assert sample("genai_llm_estimated_usage_calls_total", model="gpt-4") == 1

    def test_of_calls_inside_one_another_the_inner_ones_count(self) -> None:
        """A framework's span around the client's, one with a retry inside, and other spans in between."""
        trace = tracer()
        given = {name.replace("__", "."): value for name, value in CHAT.items()}
        with trace.start_as_current_span("framework", attributes={**given, "gen_ai.provider.name": "framework"}):
            with trace.start_as_current_span("http"):
                span(trace, 1, error=True, **CHAT, error__type="500")
            span(trace, 1, **CHAT, gen_ai__usage__input_tokens=7)
        span(trace, 1, **CHAT)
        assert sample(CALLS, provider="openai") == 3
        assert sample(CALLS) == 3

    def test_attributes_of_the_wrong_kind(self) -> None:
        """Are faults, and raise nothing."""
        span(tracer(), 1, **CHAT, gen_ai__usage__input_tokens="many", gen_ai__response__time_to_first_chunk="soon")
        assert sample(CALLS) == 1
        assert sample("genai_recorder_faults_total") > 0


class TestInstrumentor:
    """OpenTelemetry's own instrumentation of a real OpenAI client."""

    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[openai.OpenAI]:
        """An instrumented client of a local server, with our processor behind it."""
        monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "gen_ai_latest_experimental")
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(GenAISpanProcessor())
        instrumentor = OpenAIInstrumentor()
        instrumentor.instrument(tracer_provider=provider)
        try:
            with (
                running() as server,
                openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20) as client,
            ):
                yield client
        finally:
            instrumentor.uninstrument()

    def test_success_stream_and_errors(self, client: openai.OpenAI) -> None:
        """Exact tokens, errors by type, a stream that is left; results untouched."""
        with workflow(mode="chat"):
            answer = client.chat.completions.create(model="gpt-4", messages=HI)
        assert answer.choices[0].message.content == "Hello, world!"
        labels = {"provider": "openai", "model": "gpt-4", "mode": "chat", "outcome": "success"}
        assert tokens(**labels)[:2] == [1000, 50]
        stream = client.chat.completions.create(
            model="stream", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Hello, world!"
        assert tokens(model="stream")[:2] == [1000, 50]
        for model in ("status-429", "status-500"):
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(model=model, messages=HI)
            assert sample(CALLS, model=model, outcome="error") == 1
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.2).chat.completions.create(model="slow", messages=HI)
        assert sample("genai_llm_errors_total", error_type="APITimeoutError") == 1
        left = client.chat.completions.create(model="left", messages=HI, stream=True)
        next(iter(left))
        left.close()
        assert sample(CALLS, model="left", outcome="success") == 1
        assert sample(CALLS) == 6
        assert sample("genai_recorder_faults_total") == sample(FLYING) == 0

    def test_async_tool_call_and_refusal(self, client: openai.OpenAI) -> None:
        """Alike."""

        async def ask() -> None:
            async with openai.AsyncOpenAI(base_url=client.base_url, api_key="none", max_retries=0) as other:
                answer = await other.chat.completions.create(model="tool", messages=HI)
                assert answer.choices[0].message.tool_calls
                options: Any = {"stream": True, "stream_options": {"include_usage": True}}
                stream = await other.chat.completions.create(model="stream", messages=HI, **options)
                assert [part async for part in stream]
            async with openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0) as nobody:
                with pytest.raises(openai.APIConnectionError):
                    await nobody.chat.completions.create(model="refused", messages=HI)

        asyncio.run(ask())
        assert tokens(model="tool", outcome="success")[:2] == [1000, 50]
        assert tokens(model="stream", outcome="success")[:2] == [1000, 50]
        assert sample("genai_llm_errors_total", model="refused", error_type="APIConnectionError") == 1
        assert sample(CALLS) == 3
        assert sample(FLYING) == 0

    def test_in_flight(self, client: openai.OpenAI) -> None:
        """From the instrumentor's start of the span: it says then what it is."""
        with ThreadPoolExecutor(1) as pool:
            options = client.with_options(timeout=2)
            asked = pool.submit(options.chat.completions.create, model="slow", messages=HI)
            deadline = time.monotonic() + 20
            while sample(FLYING, model="slow") != 1:
                assert time.monotonic() < deadline
                time.sleep(0.005)
            with pytest.raises(openai.APITimeoutError):
                asked.result()
        assert sample(FLYING) == 0


class TestOthers:
    """Spans of tools, retrievals, agents and workflows; evaluations."""

    def test_tools(self) -> None:
        """By name and outcome."""
        span(tracer(), 0.25, gen_ai__operation__name="execute_tool", gen_ai__tool__name="search")
        span(tracer(), 1, True, gen_ai__operation__name="execute_tool", gen_ai__tool__name="search", error__type="X")
        assert sample("genai_tool_duration_seconds_sum", tool="search", outcome="success") == 0.25
        assert sample("genai_tool_duration_seconds_count", tool="search", outcome="error") == 1

    @pytest.mark.parametrize("documents", ['[{"id": 1}, {"id": 2}]', ["a", "b"]])
    def test_retrievals(self, documents: Any) -> None:
        """By source, with the number of documents where they are there."""
        span(
            tracer(),
            0.5,
            gen_ai__operation__name="retrieval",
            gen_ai__data_source__id="wiki",
            gen_ai__retrieval__documents=documents,
        )
        span(tracer(), 0.5, gen_ai__operation__name="retrieval", gen_ai__data_source__id="wiki")
        assert sample("genai_retrieval_duration_seconds_sum", source="wiki", outcome="success") == 1
        assert sample("genai_retrieval_results_sum", source="wiki") == 2
        assert sample("genai_retrieval_results_count") == 1

    def test_a_workflow_with_agents(self) -> None:
        """The outermost run is the workflow, each agent's is an agent run, and calls inside have mode and agent."""
        trace = tracer()
        with trace.start_as_current_span(
            "w", attributes={"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "answer"}
        ):
            for agent in ("planner", "writer"):
                with trace.start_as_current_span(
                    "a", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
                ):
                    span(trace, 1, **CHAT)
        assert sample("genai_workflow_duration_seconds_count", mode="answer", outcome="success") == 1
        assert sample("genai_workflow_duration_seconds_count") == 1
        assert sample("genai_workflow_agent_runs_total", agent="planner", outcome="success") == 1
        assert sample("genai_workflow_agent_runs_total", agent="writer") == 1
        assert sample(CALLS, mode="answer") == 2

    def test_an_agent_alone_is_a_workflow(self) -> None:
        """Called by the agent's name; its error is both."""
        span(tracer(), 3, True, gen_ai__operation__name="invoke_agent", gen_ai__agent__name="solo", error__type="500")
        assert sample("genai_workflow_duration_seconds_sum", mode="solo", outcome="error") == 3
        assert sample("genai_workflow_errors_total", mode="solo", error_type="500") == 1
        assert sample("genai_workflow_agent_runs_total", agent="solo", outcome="error") == 1

    def test_a_workflow_of_ours_around_is_the_workflow(self) -> None:
        """It gives mode and tenant, and is not counted again."""
        trace = tracer()
        with (
            workflow(mode="ours", tenant="acme"),
            trace.start_as_current_span(
                "a", attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "inner"}
            ),
        ):
            span(trace, 1, **CHAT)
        assert sample("genai_workflow_duration_seconds_count") == 1
        assert sample("genai_workflow_duration_seconds_count", mode="ours") == 1
        assert sample("genai_workflow_agent_runs_total", agent="inner") == 1
        assert sample(CALLS, mode="ours") == 1
        assert sample("genai_tenant_requests_total", tenant="acme", mode="ours") == 1

    def test_the_context_is_that_of_the_start(self) -> None:
        """A span that is ended elsewhere (a stream's, by its consumer) still belongs to the workflow it began in."""
        trace = tracer()
        given = {name.replace("__", "."): value for name, value in CHAT.items()}
        with workflow(mode="ours"):
            one = trace.start_span("x", attributes=given)
        thread = threading.Thread(target=one.end)
        thread.start()
        thread.join()
        assert sample(CALLS, mode="ours") == 1

    def test_mode_and_tenant_from_attributes(self) -> None:
        """Of the span itself, or of one around it."""
        trace = tracer(mode_attribute="app.mode", tenant_attribute="app.tenant")
        with trace.start_as_current_span("request", attributes={"app.mode": "rag", "app.tenant": "acme"}):
            span(trace, 1, **CHAT)
        span(trace, 1, **CHAT, app__mode="other")
        assert sample(CALLS, mode="rag") == 1
        assert sample("genai_tenant_requests_total", tenant="acme", mode="rag") == 1
        assert sample(CALLS, mode="other") == 1

    def test_evaluations(self) -> None:
        """Of the span's events, and, given by hand, of log records."""
        one = tracer(evaluation_scale=5.0).start_span("x", attributes={"gen_ai.operation.name": "chat"})
        result = {"gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 4.0}
        one.add_event("gen_ai.evaluation.result", result)
        one.add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "label only"})
        one.add_event("other", result)
        one.end()
        assert sample("genai_quality_score_sum", evaluator="relevance", mode="default") == 0.8
        assert sample("genai_quality_score_count") == 1
        record_evaluation({"gen_ai.evaluation.score.value": 0.5}, "rag")
        assert sample("genai_quality_score_sum", evaluator="default", mode="rag") == 0.5

    def test_other_spans_are_nothing(self) -> None:
        """Neither those of HTTP nor unknown operations of GenAI."""
        span(tracer(), 1, http__method="GET")
        span(tracer(), 1, gen_ai__operation__name="create_agent")
        assert sample(CALLS) == sample("genai_workflow_duration_seconds_count") == 0
        assert sample("genai_recorder_faults_total") == 0


class TestInFlight:
    """What has begun and not ended."""

    def test_calls(self) -> None:
        """Under the model that was asked for, in the mode of the span around."""
        spans = tracer()
        with spans.start_as_current_span("run", attributes={**RUN, "gen_ai.agent.name": "helper"}):
            call = spans.start_span("chat", attributes=dotted(CHAT))
            assert sample(FLYING, mode="helper", model="gpt-4") == sample(FLYING) == 1
            call.end()
            assert sample(FLYING) == 0
        assert sample("genai_recorder_faults_total") == 0

    def test_of_calls_inside_one_another_one(self) -> None:
        """The inner one, as soon as it is known that there is one."""
        spans = tracer()
        with spans.start_as_current_span("framework", attributes=dotted(CHAT)):
            assert sample(FLYING) == 1
            for _ in range(2):
                with (
                    spans.start_as_current_span("request"),
                    spans.start_as_current_span("client", attributes=dotted(CHAT)),
                ):
                    assert sample(FLYING) == 1
                assert sample(FLYING) == 0
        assert sample(FLYING) == 0
        assert sample(CALLS) == 2

    def test_workflows(self) -> None:
        """The outermost run, not the agents and tools inside; nor a run inside a workflow of ours."""
        spans = tracer()
        with spans.start_as_current_span("flow", attributes={**RUN, "gen_ai.agent.name": "helper"}):
            with spans.start_as_current_span("agent", attributes={**RUN, "gen_ai.agent.name": "other"}):
                assert sample(WORKFLOWS, mode="helper") == sample(WORKFLOWS) == 1
            with spans.start_as_current_span("tool", attributes={"gen_ai.operation.name": "execute_tool"}):
                pass
            assert sample(WORKFLOWS) == 1
        assert sample(WORKFLOWS) == 0
        with (
            workflow(mode="ours"),
            spans.start_as_current_span("flow", attributes={**RUN, "gen_ai.agent.name": "helper"}),
        ):
            assert sample(WORKFLOWS, mode="ours") == sample(WORKFLOWS) == 1

    def test_not_what_is_not_recorded(self) -> None:
        """Records that were left out, scopes that are ignored."""
        for spans in (tracer(record=()), tracer("noisy", ignored_scopes=["noisy"])):
            with (
                spans.start_as_current_span("flow", attributes={**RUN, "gen_ai.agent.name": "helper"}),
                spans.start_as_current_span("chat", attributes=dotted(CHAT)),
            ):
                assert sample(FLYING) == sample(WORKFLOWS) == 0

    def test_attributes_that_come_late(self) -> None:
        """Make no span that is in flight, but a call in the end."""
        late = tracer().start_span("chat")
        late.set_attributes(dotted(CHAT))
        assert sample(FLYING) == 0
        late.end()
        assert sample(FLYING) == 0
        assert sample(CALLS) == 1

    def test_names_of_opentelemetrys_own_library(self) -> None:
        """It sets attributes at the end only, and its names follow the conventions; those of others need not."""
        spans = tracer("opentelemetry.util.genai.handler")
        with spans.start_as_current_span("invoke_workflow flow") as run:
            assert sample(WORKFLOWS, mode="flow") == 1
            with spans.start_as_current_span("chat a model") as call:
                assert sample(FLYING, mode="flow", model="a model") == sample(FLYING) == 1
                with spans.start_as_current_span("chat"):
                    assert sample(FLYING, model="unknown") == sample(FLYING) == 1
            with spans.start_as_current_span("execute_tool chat"):
                assert sample(FLYING) == 0
            call.set_attributes(dotted(CHAT))
            run.set_attributes({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "flow"})
        assert sample("genai_workflow_duration_seconds_count", mode="flow") == 1
        with tracer("mine").start_as_current_span("chat room"):
            assert sample(FLYING) == 0
        assert sample(FLYING) == sample(WORKFLOWS) == sample("genai_recorder_faults_total") == 0

    def test_spans_that_never_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Do not fly for ever."""
        monkeypatch.setattr("genai_metrics.integrations.opentelemetry._MOST_OPEN", 3)
        spans = tracer()
        begun = [spans.start_span("chat", attributes=dotted(CHAT)) for _ in range(5)]
        assert sample(FLYING) == 3
        for one in begun:
            one.end()
        assert sample(FLYING) == 0

    def test_a_forked_child(self, tmp_path: Path) -> None:
        """Ends none of its parent's, whose file says what is in flight."""
        genai_metrics.configure(metrics_dir=tmp_path, pricing=False)
        one = tracer().start_span("chat", attributes=dotted(CHAT))
        child = os.fork()
        if child == 0:
            one.end()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sample(FLYING) == 1
        one.end()
        assert sample(FLYING) == 0


class TestSwitches:
    """What must not count twice, and what may not fail."""

    def test_records_can_be_left_out(self) -> None:
        """Those that something else makes: the calls of an instrumented client, say."""
        trace = tracer(record=RECORDS - {"llm_calls"})
        track_llm_call(model="gpt-4")
        span(trace, 1, **CHAT)
        span(trace, 1, gen_ai__operation__name="execute_tool", gen_ai__tool__name="search")
        assert sample(CALLS) == 1
        assert sample("genai_tool_duration_seconds_count") == 1
        nothing = tracer(record=())
        for operation in ("chat", "execute_tool", "retrieval", "invoke_agent", "invoke_workflow"):
            span(nothing, 1, gen_ai__operation__name=operation, gen_ai__agent__name="a")
        assert sample(CALLS) == sample("genai_tool_duration_seconds_count") == 1
        assert sample("genai_workflow_agent_runs_total") == sample("genai_workflow_duration_seconds_count") == 0

    def test_an_unknown_record_is_refused(self) -> None:
        """When the processor is made, not later."""
        with pytest.raises(ValueError, match="unknown \\['calls'\\]"):
            GenAISpanProcessor(record=["calls"])

    def test_scopes_can_be_ignored(self) -> None:
        """Of one of two instrumentors of the same client."""
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(GenAISpanProcessor(ignored_scopes=["one"]))
        span(provider.get_tracer("one"), 1, **CHAT)
        span(provider.get_tracer("two"), 1, **CHAT)
        assert sample(CALLS) == 1

    def test_a_bug_of_ours_is_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing raised at the start or the end of a span."""
        monkeypatch.setattr("genai_metrics.integrations.opentelemetry.operation_of", lambda attributes: 1 / 0)
        span(tracer(), 1, **CHAT)
        assert sample("genai_recorder_faults_total", reason="internal") == 2

    def test_spans_that_never_end_do_not_pile_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest are forgotten."""
        monkeypatch.setattr("genai_metrics.integrations.opentelemetry._MOST_OPEN", 10)
        processor = GenAISpanProcessor()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        trace = provider.get_tracer("t")
        spans = [trace.start_span("x", attributes={"gen_ai.operation.name": "chat"}) for _ in range(100)]
        assert len(processor._open) == 10
        for one in spans:
            one.end()
        assert sample(CALLS) == 100
        assert not processor._open

    def test_threads_and_forks(self) -> None:
        """Exact counts; a child process records its own."""
        trace = tracer()
        threads = [threading.Thread(target=lambda: [span(trace, 1, **CHAT) for _ in range(200)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sample(CALLS) == 1600
        child = os.fork()
        if child == 0:
            span(trace, 1, **CHAT)
            os._exit(0 if sample(CALLS) == 1 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests stays outside."""
    for name in ("OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
