"""Calls of instrumented clients that take the short way of ``llm_usual``: recorded as ``llm_call`` records them."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai._models import FinalRequestOptions
from openai.types.chat import ChatCompletion
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from genai_metrics import configure, llm_usual, warm_up, workflow
from genai_metrics.integrations.openai import instrument_openai
from genai_metrics.runtime import restart
from genai_metrics.testing import sample

CALLS = "genai_llm_calls_total"
INPUT = "genai_llm_input_tokens_total"
IN_FLIGHT = "genai_llm_calls_in_flight"
FAULTS = "genai_recorder_faults_total"
ASKED: Any = [{"role": "user", "content": "What is it that you say?"}]
USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
COST = 600 * 2.5e-6 + 400 * 1.25e-6 + 50 * 10e-6
Answer = Callable[[httpx.Request], httpx.Response]


class Provider:
    """Answers requests in this process; ``answer`` may be replaced."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request: self.completion(USAGE)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one."""
        return self.answer(request)

    def completion(self, usage: Any) -> httpx.Response:
        """A whole answer."""
        message = {"role": "assistant", "content": "Hello"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {"id": "x", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": choices}
        return httpx.Response(200, json={**body, "usage": usage})


@pytest.fixture
def provider() -> Provider:
    """The provider."""
    return Provider()


@pytest.fixture
def client(provider: Provider) -> Iterator[OpenAI]:
    """An instrumented client that has a route for gpt-4o already; two calls are recorded."""
    warm_up()
    configure(registry=CollectorRegistry())
    with OpenAI(api_key="key", max_retries=0, http_client=httpx.Client(transport=httpx.MockTransport(provider))) as new:
        instrument_openai(new)
        ask(new)
        ask(new)
        assert list(llm_usual.routes) == [("openai", "/chat/completions", "gpt-4o", "default")]
        yield new


@pytest.fixture
def no_long_way(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on a call that does not take the short way fails the test."""

    def forbid() -> None:
        def taken(*arguments: object, **settings: object) -> None:
            pytest.fail("left for llm_call")

        monkeypatch.setattr("genai_metrics.integrations.sdk_clients.llm_call", taken)

    return forbid


def ask(client: OpenAI, **settings: Any) -> Any:
    """Make one call."""
    return client.chat.completions.create(model="gpt-4o", messages=ASKED, **settings)


RECORDED = (
    CALLS,
    INPUT,
    IN_FLIGHT,
    FAULTS,
    "genai_llm_output_tokens_total",
    "genai_llm_cache_read_input_tokens_total",
    "genai_llm_reasoning_output_tokens_total",
    "genai_llm_call_duration_seconds_count",
    "genai_llm_cost_usd_total",
    "genai_llm_estimated_usage_calls_total",
)


def everything() -> dict[str, float]:
    """What has been recorded of calls, times aside."""
    return {name: sample(name) for name in RECORDED}


class TestWholeAnswers:
    """What the short way is for."""

    def test_exact(self, client: OpenAI, no_long_way: Callable[[], None]) -> None:
        """Tokens, cost and time of each call, nothing in flight afterwards."""
        no_long_way()
        for _ in range(3):
            ask(client)
        labels = {"provider": "openai", "model": "gpt-4o", "operation": "chat", "outcome": "success"}
        assert sample(CALLS, **labels) == sample(CALLS) == 5
        assert sample(INPUT) == 5000
        assert sample("genai_llm_output_tokens_total") == 250
        assert sample("genai_llm_cache_read_input_tokens_total") == 2000
        assert sample("genai_llm_reasoning_output_tokens_total") == 100
        assert sample("genai_llm_call_duration_seconds_count") == 5
        assert sample("genai_llm_cost_usd_total") == pytest.approx(5 * COST, rel=0, abs=1e-9)
        assert sample(IN_FLIGHT) == sample(FAULTS) == 0

    def test_in_flight(self, client: OpenAI, provider: Provider, no_long_way: Callable[[], None]) -> None:
        """One call is in flight while its answer is awaited."""
        seen: list[float] = []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(sample(IN_FLIGHT, model="gpt-4o"))
            return provider.completion(USAGE)

        provider.answer = answer
        no_long_way()
        ask(client)
        assert seen == [1]

    def test_tenant_and_mode(self, client: OpenAI, no_long_way: Callable[[], None]) -> None:
        """Of the workflow around each call; what the long way adds for one, the short one adds for another."""
        for _ in range(3):
            with workflow(mode="2", tenant="acme"):
                ask(client)
        no_long_way()
        for _ in range(3):
            with workflow(mode="2", tenant="acme"):
                ask(client)
        assert sample(CALLS, mode="2") == 6
        assert sample("genai_tenant_requests_total", tenant="acme", mode="2") == 6
        assert sample("genai_tenant_tokens_total", tenant="acme") == 6 * 1050
        assert sample("genai_tenant_cost_usd_total", tenant="acme") == pytest.approx(6 * COST, rel=0, abs=1e-9)

    def test_new_tenant(self, client: OpenAI) -> None:
        """A tenant not met before does not lose its first call."""
        with workflow(tenant="new"):
            ask(client)
        assert sample("genai_tenant_requests_total", tenant="new") == 1
        assert sample(IN_FLIGHT) == 0

    def test_async(self, client: OpenAI, provider: Provider, no_long_way: Callable[[], None]) -> None:
        """An async client, many calls at a time."""
        no_long_way()

        async def main() -> None:
            transport = httpx.MockTransport(provider)
            async with AsyncOpenAI(api_key="key", http_client=httpx.AsyncClient(transport=transport)) as new:
                instrument_openai(new)
                create = new.chat.completions.create
                await asyncio.gather(*(create(model="gpt-4o", messages=ASKED) for _ in range(20)))

        asyncio.run(main())
        assert sample(CALLS, outcome="success") == 22
        assert sample(IN_FLIGHT) == 0

    def test_exemplar(self, client: OpenAI, no_long_way: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
        """The duration is offered as an exemplar where spans are used."""
        offered: list[object] = []
        monkeypatch.setattr("genai_metrics.llm_usual.offer", lambda kind, block, value: offered.append(value))
        monkeypatch.setattr("genai_metrics.traces.tracing.on", True)
        no_long_way()
        with TracerProvider().get_tracer("t").start_as_current_span("s"):
            ask(client)
        assert len(offered) == 1


class TestUnusual:
    """What is left for ``llm_call``, from a route that is known."""

    def test_error(self, client: OpenAI, provider: Provider) -> None:
        """A failed call."""
        provider.answer = lambda request: httpx.Response(429, json={})
        with pytest.raises(openai.RateLimitError):
            ask(client)
        assert sample(CALLS, outcome="error") == sample("genai_llm_errors_total", error_type="429") == 1
        assert sample(IN_FLIGHT) == sample(FAULTS) == 0

    def test_stream(self, client: OpenAI, provider: Provider) -> None:
        """A stream ends when it has been read."""
        provider.answer = lambda request: httpx.Response(200, text="data: [DONE]\n\n")
        stream = ask(client, stream=True)
        assert sample(IN_FLIGHT) == 1
        assert list(stream) == []
        assert sample(CALLS) == 3
        assert sample(IN_FLIGHT) == 0

    def test_raw(self, client: OpenAI) -> None:
        """A raw response."""
        client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASKED).parse()
        assert sample(INPUT) == 3000
        assert sample(IN_FLIGHT) == 0

    def test_retry(self, client: OpenAI, provider: Provider) -> None:
        """A call that is made again is one call."""
        answers = iter([httpx.Response(503, headers={"retry-after-ms": "1"}), provider.completion(USAGE)])
        provider.answer = lambda request: next(answers)
        ask(client.with_options(max_retries=1))
        assert sample(CALLS) == 3
        assert sample("genai_llm_retries_total", model="gpt-4o", reason="503") == 1

    @pytest.mark.parametrize("bad", ["7", -1, 1.5, True, 10**15])
    def test_bad_numbers(self, client: OpenAI, provider: Provider, bad: object) -> None:
        """Recorded exactly as by the first call of a model."""
        provider.answer = lambda request: provider.completion({**USAGE, "completion_tokens": bad})
        restart()
        ask(client)
        expected = everything()
        provider.answer = lambda request: provider.completion(USAGE)
        restart()
        ask(client)
        ask(client)
        before = everything()
        assert llm_usual.routes
        provider.answer = lambda request: provider.completion({**USAGE, "completion_tokens": bad})
        ask(client)
        added = {name: value - before[name] for name, value in everything().items()}
        assert added == pytest.approx(expected, rel=0, abs=1e-12)

    def test_no_usage(self, client: OpenAI, provider: Provider) -> None:
        """Estimated."""
        provider.answer = lambda request: provider.completion(None)
        ask(client)
        assert sample("genai_llm_estimated_usage_calls_total") == 1
        assert sample(CALLS) == 3


class TestRoutes:
    """Routes hold only as long as the blocks that they lead to."""

    @pytest.mark.parametrize("change", [lambda: configure(registry=CollectorRegistry()), restart])
    def test_new_recorder_in_mid_call(self, client: OpenAI, provider: Provider, change: Callable[[], None]) -> None:
        """The call is recorded with what holds at its end, by the long way."""

        def answer(request: httpx.Request) -> httpx.Response:
            change()
            return provider.completion(USAGE)

        before = 0 if change is restart else sample(CALLS)
        provider.answer = answer
        ask(client)
        assert sample(CALLS) == before + 1
        assert llm_usual.routes == {}

    def test_fork_in_mid_call(self, client: OpenAI, provider: Provider, tmp_path: Path) -> None:
        """A call under way at a fork is the parent's alone, whose file the child maps; its next one is its own."""
        configure(metrics_dir=tmp_path)
        ask(client)
        ask(client)
        assert llm_usual.routes
        children: list[int] = []

        def answer(request: httpx.Request) -> httpx.Response:
            if not children:
                children.append(os.fork())
            return provider.completion(USAGE)

        provider.answer = answer
        ask(client)
        if not children[0]:
            status = 1
            try:
                status = 2 if (sample(CALLS), sample(IN_FLIGHT)) != (0, 0) else 0
                ask(client)
                status = status or (3 if (sample(CALLS), sample(IN_FLIGHT)) != (1, 0) else 0)
            finally:
                sys.stderr.flush()
                os._exit(status)
        assert os.waitpid(children[0], 0)[1] == 0
        assert (sample(CALLS), sample(IN_FLIGHT)) == (5, 0)

    def test_bounded(self, client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        """Many models and modes do not take memory without end."""
        monkeypatch.setattr("genai_metrics.llm_usual._MOST_ROUTES", 3)
        for mode in "abcde":
            for _ in range(3):
                with workflow(mode=mode):
                    ask(client)
        assert 0 < len(llm_usual.routes) <= 3
        assert sample(CALLS) == 17

    def test_keywords_of_a_later_library(self, provider: Provider) -> None:
        """Reach the client's own method."""
        seen: list[object] = []

        class Later(OpenAI):
            def request(self, cast_to: Any, options: Any, *, later: int, **settings: Any) -> Any:
                seen.append(later)
                return super().request(cast_to, options, **settings)

        body = {"model": "gpt-4o", "messages": ASKED}
        options = FinalRequestOptions.construct(method="post", url="/chat/completions", json_data=body)
        with Later(api_key="key", http_client=httpx.Client(transport=httpx.MockTransport(provider))) as client:
            instrument_openai(client)
            client.request(ChatCompletion, options, later=7)
        assert seen == [7]
        assert sample(INPUT) == 1000

    @pytest.mark.parametrize("model", ["bad\nmodel", ["a", "list"], 7])
    def test_labels_that_need_cleaning(self, client: OpenAI, model: Any) -> None:
        """Have no route: each call counts what was wrong with them."""
        for _ in range(3):
            client.chat.completions.create(model=model, messages=ASKED)
        assert len(llm_usual.routes) == 1
        assert sample(CALLS) == 5
        assert sample(FAULTS, reason="bad_label") >= 3
