"""The logger under the real LiteLLM: its mock responses, and HTTP to a server on loopback."""

import asyncio
import contextvars
import copy
import datetime
import gc
import os
import pickle
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import litellm
import pytest
from genai_prices import Usage, calc_price
from provider_server import Server, running

import genai_metrics
from genai_metrics import workflow
from genai_metrics.integrations.litellm import GenAIMetricsLogger
from genai_metrics.testing import sample

# LiteLLM makes pydantic warn of its own types, and leaves connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")

CALLS = "genai_llm_calls_total"
ERRORS = "genai_llm_errors_total"
COST = "genai_llm_cost_usd_total"
FLYING = "genai_llm_calls_in_flight"
SAVED = "genai_llm_cost_saved_usd_total"
HI = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests here."""
    with running() as one:
        yield one


@pytest.fixture(autouse=True)
def logger() -> Iterator[GenAIMetricsLogger]:
    """A logger of ours, installed as users do."""
    logger = GenAIMetricsLogger()
    litellm.callbacks.append(logger)
    yield logger
    logger.uninstall()


def settled(condition: Callable[[], bool]) -> None:
    """Wait for LiteLLM, which tells of a call after it has returned."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def awaited(call: Callable[[], Coroutine[Any, Any, Any]], condition: Callable[[], bool]) -> Any:
    """The result of a coroutine, or its exception, when LiteLLM has told of it."""

    async def run() -> Any:
        try:
            return await call()
        finally:
            deadline = time.monotonic() + 20
            while not condition():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)

    return asyncio.run(run())


def calls(number: int, **labels: str) -> Callable[[], bool]:
    """Whether so many calls have been recorded."""
    return lambda: sample(CALLS, **labels) == number


def collected(number: int, **labels: str) -> Callable[[], bool]:
    """Whether so many calls have been recorded, when the garbage collector has come."""
    return lambda: gc.collect() >= 0 and sample(CALLS, **labels) == number


def tokens(**labels: str) -> list[float]:
    """Input, output, cache read, cache write and reasoning tokens."""
    names = ("input", "output", "cache_read_input", "cache_write_input", "reasoning_output")
    return [sample(f"genai_llm_{name}_tokens_total", **labels) for name in names]


def at(server: Server, model: str = "gpt-4", **options: Any) -> dict[str, Any]:
    """Arguments of a call to our server."""
    return {
        "model": f"openai/{model}",
        "messages": HI,
        "api_base": f"{server.url}/v1",
        "api_key": "none",
        "max_retries": 0,
        "timeout": 20,
    } | options


class TestMocked:
    """LiteLLM's own mock responses."""

    def test_a_call(self) -> None:
        """Labels and tokens, as LiteLLM counts them; in the workflow's mode and for its tenant."""
        with workflow(mode="chat", tenant="acme"):
            litellm.completion(model="gpt-4", messages=HI, mock_response="hello")
        settled(calls(1))
        labels = {"provider": "openai", "model": "gpt-4", "operation": "chat", "outcome": "success", "mode": "chat"}
        assert sample(CALLS, **labels) == 1
        assert tokens(**labels) == [10, 20, 0, 0, 0]
        assert sample("genai_llm_call_duration_seconds_count", **labels) == 1
        assert sample("genai_llm_time_to_first_token_seconds_count") == 0
        assert sample("genai_tenant_requests_total", tenant="acme") == 1

    def test_streams(self) -> None:
        """Sync and async: chunks as without the logger, time to first token, the workflow's mode."""
        options: dict[str, Any] = {"model": "gpt-4", "messages": HI, "mock_response": "a b c", "stream": True}
        with workflow(mode="chat"):
            text = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**options))
        assert text == "a b c"
        settled(calls(1, mode="chat"))

        async def read() -> str:
            with workflow(mode="chat"):
                chunks = await litellm.acompletion(**options)
                return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

        assert awaited(read, calls(2, mode="chat")) == "a b c"
        assert sample("genai_llm_time_to_first_token_seconds_count") == 2

    def test_async(self) -> None:
        """Once each, not once by each of LiteLLM's two ways."""
        result = awaited(
            lambda: litellm.acompletion(model="gpt-4", messages=HI, mock_response="hello"), calls(1, outcome="success")
        )
        assert result.choices[0].message.content == "hello"
        assert sample(CALLS) == 1

    def test_an_answer_from_the_cache(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Costs nothing, and what LiteLLM says it saved is saved where we know no price."""
        monkeypatch.setattr(litellm, "cache", litellm.Cache())
        options: dict[str, Any] = {"model": "gpt-4", "messages": HI, "mock_response": "hello", "caching": True}
        litellm.completion(**options)
        settled(calls(1))
        litellm.completion(**options, metadata={"genai_mode": "chat", "genai_tenant": "acme"})
        settled(lambda: sample("genai_tenant_cost_saved_usd_total", tenant="acme") > 0)  # the last that is written
        assert sample(CALLS, outcome="cached", model="gpt-4", provider="openai", mode="chat") == 1
        assert tokens()[:2] == [10, 20]
        expected = 10 * 30e-6 + 20 * 60e-6
        assert sample(COST) == pytest.approx(expected, abs=1e-9)
        assert sample(SAVED) == pytest.approx(expected, abs=1e-9)
        assert sample("genai_tenant_cost_saved_usd_total", tenant="acme") == pytest.approx(expected, abs=1e-9)

    def test_metadata_wins(self) -> None:
        """Over the workflow around."""
        with workflow(mode="chat", tenant="acme"):
            litellm.completion(
                model="gpt-4",
                messages=HI,
                mock_response="hello",
                metadata={"genai_mode": "other", "genai_tenant": "t"},
            )
        settled(calls(1))
        assert sample("genai_tenant_requests_total", tenant="t", mode="other") == 1

    def test_embeddings(self) -> None:
        """An operation of their own."""
        litellm.embedding(model="text-embedding-3-small", input=["hi"], mock_response=[0.5])
        settled(calls(1))
        assert sample(CALLS, operation="embeddings", model="text-embedding-3-small") == 1

    def test_a_bug_of_ours_is_a_fault(self, monkeypatch: pytest.MonkeyPatch, logger: GenAIMetricsLogger) -> None:
        """And the answer stays."""
        monkeypatch.setattr("genai_metrics.integrations.litellm.metadata_of", lambda kwargs: 1 / 0)
        answer = litellm.completion(model="gpt-4", messages=HI, mock_response="hello")
        assert answer.choices[0].message.content == "hello"
        settled(lambda: sample("genai_recorder_faults_total", reason="internal") == 1)
        assert sample(CALLS) == 0

    def test_uninstalling(self, logger: GenAIMetricsLogger) -> None:
        """Nothing is recorded afterwards, and no list keeps the logger."""
        litellm.completion(model="gpt-4", messages=HI, mock_response="hello")
        settled(calls(1))
        logger.uninstall()
        assert logger not in litellm.logging_callback_manager.get_all_callbacks()
        other = GenAIMetricsLogger()
        litellm.callbacks.append(other)
        litellm.completion(model="gpt-4", messages=HI, mock_response="hello")
        settled(calls(2))
        other.uninstall()
        assert sample(CALLS) == 2


class TestStreamsThatAreLeft:
    """LiteLLM tells nothing of their end: they are recorded when the garbage collector comes."""

    def test_sync(self, server: Server) -> None:
        """As long as it was read, with the first token's time; tokens are estimated from what was seen; no error."""
        with workflow(mode="chat", tenant="acme"):
            stream = litellm.completion(**at(server, stream=True))
            seen = "".join(next(stream).choices[0].delta.content or "" for _ in range(2))
        assert seen == "Hello"
        assert sample(FLYING, mode="chat", model="gpt-4") == 1
        assert sample(CALLS) == 0
        del stream
        settled(collected(1))
        labels = {"mode": "chat", "model": "gpt-4", "provider": "openai", "operation": "chat", "outcome": "success"}
        assert sample(CALLS, **labels) == 1
        assert sample(FLYING) == 0
        assert tokens() == [1, 2, 0, 0, 0]
        assert sample("genai_llm_estimated_usage_calls_total", model="gpt-4") == 1
        assert sample("genai_llm_time_to_first_token_seconds_count", **labels) == 1
        first = sample("genai_llm_time_to_first_token_seconds_sum")
        assert 0 < first <= sample("genai_llm_call_duration_seconds_sum", **labels)
        assert sample("genai_tenant_requests_total", tenant="acme") == 1
        assert sample("genai_recorder_faults_total") == 0

    def test_async(self, server: Server) -> None:
        """Of the parts LiteLLM tells only when the first came: that is how long it lasted, its tokens are unknown."""

        async def leave() -> None:
            with workflow(mode="chat"):
                stream = await litellm.acompletion(**at(server, stream=True))
                await anext(stream)
                await stream.aclose()
            assert sample(FLYING, mode="chat") == 1

        asyncio.run(leave())
        settled(collected(1, mode="chat", outcome="success"))
        assert tokens() == [1, 0, 0, 0, 0]
        assert sample("genai_llm_estimated_usage_calls_total") == 1
        first = sample("genai_llm_time_to_first_token_seconds_sum")
        assert 0 < first == sample("genai_llm_call_duration_seconds_sum")
        assert sample(FLYING) == 0

    def test_one_that_reported_its_usage(self, server: Server) -> None:
        """That counts: only the step after the last part was not made."""
        options = at(server, model="anthropic/claude-3-opus-20240229", api_base=f"{server.url}/v1/messages")
        for part in litellm.completion(**options | {"model": "anthropic/claude-3-opus-20240229", "stream": True}):
            if part.choices[0].finish_reason:
                break
        del part
        settled(collected(1, provider="anthropic", model="claude-3-opus-20240229"))
        assert tokens() == [1000, 50, 700, 200, 0]
        assert sample("genai_llm_estimated_usage_calls_total") == 0

    def test_one_that_reports_its_usage_as_it_goes(self, server: Server) -> None:
        """Is an estimate until its end, and never less than what was reported."""
        stream = litellm.completion(**at(server, "counting", stream=True, stream_options={"include_usage": True}))
        while next(stream).choices[0].delta.content != ", ":
            pass
        del stream
        settled(collected(1))
        assert tokens() == [1000, 30, 0, 0, 0]
        assert sample("genai_llm_estimated_usage_calls_total") == 1

    def test_one_that_is_never_read(self, server: Server) -> None:
        """Was a call, of no known duration."""
        litellm.completion(**at(server, stream=True))
        settled(collected(1, outcome="success"))
        assert tokens() == [1, 0, 0, 0, 0]
        assert sample("genai_llm_call_duration_seconds_count") == 0
        assert sample("genai_llm_time_to_first_token_seconds_count") == 0

    def test_not_in_the_context_of_whoever_is_running_then(self) -> None:
        """Nor for the tenant of the workflow that the garbage collector comes in."""
        next(litellm.completion(model="gpt-4", messages=HI, mock_response="a b", stream=True))
        with workflow(mode="other", tenant="acme"):
            settled(collected(1, mode="default"))
        assert sample("genai_tenant_requests_total") == 0

    def test_one_read_to_its_end_counts_once(self, server: Server) -> None:
        """Sync and async, and nothing is left in flight."""
        options = at(server, stream=True)
        list(litellm.completion(**options))
        settled(collected(1))

        async def read() -> None:
            async for _ in await litellm.acompletion(**options):
                pass

        awaited(read, calls(2))
        gc.collect()
        assert sample(CALLS) == 2
        assert sample(FLYING) == 0

    def test_copies_of_litellms_record_are_no_calls(self) -> None:
        """Other loggers make deep copies, and forget them."""

        class Copies(litellm.integrations.custom_logger.CustomLogger):
            """Copies, and pickles, what it is told."""

            def log_pre_api_call(self, model: Any, messages: Any, kwargs: Any) -> None:
                kept.append((copy.deepcopy(kwargs), pickle.dumps(kwargs)))

        kept: list[Any] = []
        other = Copies()
        litellm.callbacks.append(other)
        try:
            stream = litellm.completion(model="gpt-4", messages=HI, mock_response="a b", stream=True)
        finally:
            litellm.logging_callback_manager.remove_callback_from_list_by_object(litellm.input_callback, other)
            litellm.callbacks.remove(other)
        assert kept
        kept.clear()
        gc.collect()
        assert sample(CALLS) == 0
        assert sample(FLYING) == 1
        del stream
        settled(collected(1))

    def test_without_a_log(self) -> None:
        """As the caller asked: neither recorded nor counted as in flight."""
        options: dict[str, Any] = {"model": "gpt-4", "messages": HI, "mock_response": "a b", "no-log": True}
        next(litellm.completion(**options, stream=True))
        gc.collect()
        litellm.completion(model="gpt-4", messages=HI, mock_response="hello")
        settled(collected(1))
        assert sample(FLYING) == 0

    def test_parts_told_in_another_order(self, logger: GenAIMetricsLogger) -> None:
        """As LiteLLM's threads may: the largest usage counts, and the latest time."""
        began = datetime.datetime(2026, 1, 1)
        told: dict[str, Any] = {"model": "m", "stream": True, "start_time": began}
        logger.log_pre_api_call("m", HI, told)
        for seconds in (1, 3, 2):
            part = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": seconds}}
            logger.log_stream_event(told, part, began, began + datetime.timedelta(seconds=seconds))
        del told
        settled(collected(1))
        assert tokens() == [5, 3, 0, 0, 0]
        assert sample("genai_llm_call_duration_seconds_sum") == 3

    def test_a_child_forked_meanwhile_does_not_end_it(self, tmp_path: Path) -> None:
        """It is its parent's, as is the file that says it is in flight."""
        genai_metrics.configure(metrics_dir=tmp_path, pricing=False)
        stream = litellm.completion(model="gpt-4", messages=HI, mock_response="a b", stream=True)
        child = os.fork()
        if child == 0:
            del stream
            gc.collect()
            os._exit(int(sample(CALLS)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sample(FLYING) == 1
        del stream
        settled(collected(1))


class TestInFlight:
    """From LiteLLM's first word to its last."""

    def test_calls(self, server: Server) -> None:
        """Under the model that was asked for, in the workflow's mode or the one that metadata names; sync and async."""
        for call in (litellm.completion, lambda **options: asyncio.run(litellm.acompletion(**options))):
            for metadata, mode in ((None, "chat"), ({"genai_mode": "named"}, "named")):
                with workflow(mode="chat"), ThreadPoolExecutor(1) as pool:
                    options = at(server, "slow", timeout=2, metadata=metadata)
                    running = pool.submit(contextvars.copy_context().run, call, **options)
                    settled(lambda mode=mode: sample(FLYING, mode=mode, model="slow") == 1)  # type: ignore[misc]
                    with pytest.raises(litellm.exceptions.Timeout):
                        running.result()
                settled(lambda: sample(FLYING) == 0)
        settled(calls(4, outcome="error"))

    def test_a_record_that_is_used_again(self, logger: GenAIMetricsLogger) -> None:
        """Where LiteLLM tells of a failed attempt, and then makes another one."""
        told: dict[str, Any] = {"model": "m", "litellm_call_id": "x"}
        for tell in (logger.log_failure_event, logger.log_success_event):
            logger.log_pre_api_call("m", HI, told)
            assert sample(FLYING) == 1
            tell(told, None, 1.0, 2.0)
            assert sample(FLYING) == 0
        assert sample(CALLS, outcome="error") == sample(CALLS, outcome="success") == 1

    def test_a_cancelled_call(self, server: Server) -> None:
        """LiteLLM does not tell of it; it is not in flight any more when the garbage collector has come."""

        async def cancel() -> None:
            task = asyncio.create_task(litellm.acompletion(**at(server, "slow")))
            while sample(FLYING) == 0:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())
        settled(lambda: gc.collect() >= 0 and sample(FLYING) == 0)
        assert sample(CALLS) == 0


class TestCost:
    """Whose price counts."""

    def test_ours_first(self, server: Server) -> None:
        """The price table's, to a billionth of a dollar."""
        genai_metrics.configure()
        litellm.completion(**at(server))
        settled(lambda: sample(COST) > 0)
        usage = Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=50)
        expected = calc_price(usage, model_ref="gpt-4", provider_id="openai").total_price
        assert sample(COST, part="unattributed") == 0
        assert sample(COST) == pytest.approx(float(expected), abs=1e-9)

    def test_litellms_where_we_have_none(self, server: Server) -> None:
        """A price that only LiteLLM was told."""
        genai_metrics.configure()
        prices = {"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}
        litellm.completion(**at(server, "house-model", **prices))
        settled(lambda: sample(COST) > 0)
        assert sample(COST, part="unattributed", model="house-model") == pytest.approx(1.1e-3, abs=1e-9)
        assert sample("genai_llm_unpriced_calls_total") == 0

    def test_neither_is_unpriced(self, server: Server) -> None:
        """Not free."""
        genai_metrics.configure()
        litellm.completion(**at(server, "nobody-knows"))
        settled(lambda: sample("genai_llm_unpriced_calls_total", model="nobody-knows") == 1)
        assert sample(COST) == 0

    def test_a_broken_price_file_changes_nothing(self, server: Server, tmp_path: Any) -> None:
        """The answer comes, and LiteLLM's cost counts."""
        broken = tmp_path / "prices.yaml"
        broken.write_text("prices: [")
        genai_metrics.configure(price_file=broken)
        answer = litellm.completion(**at(server))
        assert answer.usage.prompt_tokens == 1000  # type: ignore[union-attr]
        settled(lambda: sample(COST) > 0)
        assert sample("genai_recorder_faults_total", reason="price_file") > 0


class TestHTTP:
    """A provider over HTTP."""

    def test_success_stream_and_tool_call(self, server: Server) -> None:
        """Exact tokens, all parts; sync and async."""
        expected = [1000, 50, 400, 0, 20]
        answer = litellm.completion(**at(server))
        settled(calls(1, model="gpt-4", provider="openai"))
        assert answer.choices[0].message.content == "Hello, world!"
        assert tokens() == expected
        list(litellm.completion(**at(server, stream=True, stream_options={"include_usage": True})))
        settled(calls(2))
        assert tokens() == [2 * n for n in expected]
        awaited(lambda: litellm.acompletion(**at(server, "tool")), calls(3))
        assert tokens() == [3 * n for n in expected]

    @pytest.mark.parametrize(("model", "status"), [("status-429", "429"), ("status-500", "500")])
    def test_statuses(self, server: Server, model: str, status: str, logger: GenAIMetricsLogger) -> None:
        """By status, the same exceptions as without the logger; async too."""
        logger.uninstall()
        with pytest.raises((litellm.RateLimitError, litellm.InternalServerError)) as without:
            litellm.completion(**at(server, model))
        litellm.callbacks.append(logger)
        with pytest.raises(type(without.value)) as with_it:
            litellm.completion(**at(server, model))
        assert str(with_it.value) == str(without.value)
        settled(calls(1, outcome="error"))
        with pytest.raises(type(without.value)):
            awaited(lambda: litellm.acompletion(**at(server, model)), calls(2, outcome="error"))
        assert sample(ERRORS, model=model, error_type=status, provider="openai") == 2
        assert sample(CALLS) == 2

    def test_time_out_and_refusal(self, server: Server) -> None:
        """By the status that LiteLLM gives them."""
        with pytest.raises(litellm.exceptions.Timeout):
            litellm.completion(**at(server, "slow", timeout=0.2))
        with pytest.raises(litellm.exceptions.InternalServerError):
            litellm.completion(**at(server, "m", api_base="http://127.0.0.1:9/v1"))
        settled(calls(2))
        assert sample(ERRORS, model="slow", error_type="408") == 1
        assert sample(ERRORS, model="m", error_type="500") == 1

    def test_a_stream_that_breaks_off(self, server: Server) -> None:
        """Is an error; the exception comes through."""
        with pytest.raises(litellm.exceptions.MidStreamFallbackError):
            list(litellm.completion(**at(server, "broken", stream=True)))
        settled(calls(1, outcome="error"))

    def test_retries(self) -> None:
        """Those of LiteLLM itself: one call, with a retry. It tells nothing of those of the provider's client."""
        with pytest.raises(litellm.exceptions.InternalServerError):
            litellm.completion(
                model="openai/m", messages=HI, api_base="http://127.0.0.1:9/v1", api_key="none", num_retries=1
            )
        settled(calls(1, outcome="error"))
        assert sample("genai_llm_retries_total", model="m") == 1


class TestRouter:
    """LiteLLM's router."""

    def test_fallbacks(self, server: Server) -> None:
        """Each attempt is a call; the move to another model is a fallback, with its reason."""
        router = litellm.Router(
            model_list=[
                {"model_name": "first", "litellm_params": _params(at(server, "status-500"))},
                {"model_name": "second", "litellm_params": _params(at(server, "gpt-4"))},
            ],
            fallbacks=[{"first": ["second"]}],
            num_retries=1,
            retry_after=0,
        )

        async def ask() -> Any:
            with workflow(mode="chat"):
                return await router.acompletion(model="first", messages=HI)  # type: ignore[call-overload]

        assert awaited(ask, lambda: sample(CALLS) == 3).model
        assert sample(CALLS, mode="chat", model="status-500", outcome="error") == 2
        assert sample(CALLS, mode="chat", model="gpt-4", outcome="success") == 1
        assert sample("genai_llm_retries_total", model="status-500") == 1
        assert sample("genai_llm_retries_total") == 1
        assert sample("genai_llm_fallbacks_total", from_model="first", to_model="second", reason="500") == 1


def _params(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "messages"}
