"""The callback handler under the real langchain-core and langchain-openai."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from genai_prices import Usage, calc_price
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.fake_chat_models import (
    FakeListChatModel,
    FakeListChatModelError,
    FakeMessagesListChatModel,
    GenericFakeChatModel,
)
from langchain_core.language_models.llms import create_base_retry_decorator
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import GenerationChunk, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIConnectionError, APITimeoutError, InternalServerError, RateLimitError
from provider_server import Server, running
from pydantic import SecretStr
from tenacity import RetryCallState, Retrying

import genai_metrics
from genai_metrics import track_warning, workflow
from genai_metrics.context import EMPTY, current
from genai_metrics.integrations.langchain import GenAIMetricsCallback
from genai_metrics.testing import sample

CALLS = "genai_llm_calls_total"
ESTIMATED = "genai_llm_estimated_usage_calls_total"
ERRORS = "genai_llm_errors_total"
WORKFLOWS = "genai_workflow_duration_seconds_count"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all tests here."""
    with running() as one:
        yield one


def openai_model(server: Server, model: str = "gpt-4", **options: Any) -> ChatOpenAI:
    """LangChain's OpenAI model, talking to our server."""
    options = {"base_url": f"{server.url}/v1", "max_retries": 0, "timeout": 20} | options
    return ChatOpenAI(model=model, api_key=SecretStr("none"), **options)


def answer(text: str = "hello", **usage: Any) -> AIMessage:
    """An answer of a fake model, with the usage that LangChain's models report."""
    full: Any = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120, **usage} if usage else None
    return AIMessage(text, usage_metadata=full)


def fake(*answers: AIMessage, **options: Any) -> FakeMessagesListChatModel:
    """A chat model that gives these answers."""
    return FakeMessagesListChatModel(responses=list(answers), **options)


def config(**options: Any) -> Any:
    """A configuration with a handler of ours."""
    return {"callbacks": [GenAIMetricsCallback(**options)]}


def tokens() -> list[float]:
    """Input, output, cache read, cache write and reasoning tokens of all calls."""
    names = ("input", "output", "cache_read_input", "cache_write_input", "reasoning_output")
    return [sample(f"genai_llm_{name}_tokens_total") for name in names]


class Wiki(BaseRetriever):
    """Gives as many documents as asked for."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        track_warning("retriever")
        return [Document("x")] * int(query)


@tool
def look_up(query: str) -> str:
    """Look something up."""
    track_warning("tool")
    return query


def step(thing: Any) -> Any:
    """A step of a chain that records on its own."""
    track_warning("step")
    return thing


class TestModels:
    """Fake models of langchain-core."""

    def test_usage_of_a_chat_model(self) -> None:
        """Sums and their parts, as LangChain counts them for all providers."""
        usage = {
            "input_token_details": {"cache_read": 30, "cache_creation": 20},
            "output_token_details": {"reasoning": 5},
        }
        assert fake(answer(**usage)).invoke("hi", config()).content == "hello"
        assert tokens() == [100, 20, 30, 20, 5]
        assert sample(CALLS, operation="chat", outcome="success") == 1
        assert sample(ESTIMATED) == 0
        assert sample("genai_llm_calls_in_flight") == 0

    def test_without_usage_tokens_are_estimated(self) -> None:
        """From the texts, at four characters each."""
        fake(answer("x" * 40)).invoke([HumanMessage("y" * 80)], config())
        assert tokens() == [20, 10, 0, 0, 0]
        assert sample(ESTIMATED) == 1

    def test_a_broken_token_counter_changes_nothing(self) -> None:
        """The default is used, and the fault counted."""
        genai_metrics.configure(pricing=False, token_counter=lambda model, text: 1 // 0)
        assert fake(answer("x" * 40)).invoke("y" * 80, config()).content == "x" * 40
        assert tokens() == [20, 10, 0, 0, 0]
        assert sample("genai_recorder_faults_total") > 0

    def test_completion_models(self) -> None:
        """Each prompt of a batch is a call."""
        model = FakeListLLM(responses=["x" * 40])
        assert model.batch(["a" * 4, "b" * 4], config()) == ["x" * 40] * 2
        assert sample(CALLS, operation="text_completion") == 2
        assert tokens() == [2, 20, 0, 0, 0]

    def test_batches_and_async(self) -> None:
        """A call each, in threads and tasks."""
        usage = {"input_token_details": {}}
        model = fake(answer(**usage))
        model.batch(["a"] * 10, config())
        asyncio.run(model.abatch(["a"] * 10, config()))
        assert sample(CALLS, outcome="success") == 20
        assert tokens()[:2] == [2000, 400]

    def test_an_answer_from_langchains_cache(self) -> None:
        """Costs nothing; its tokens are saved, not billed."""
        model = fake(answer(input_token_details={}), cache=InMemoryCache())
        first, second = model.invoke("hi", config()), model.invoke("hi", config())
        assert first.content == second.content
        assert sample(CALLS, outcome="success") == 1
        assert sample(CALLS, outcome="cached") == 1
        assert tokens()[:2] == [100, 20]

    def test_a_model_that_fails(self) -> None:
        """The same exception as without the handler; in flight goes back."""
        model = FakeListChatModel(responses=["abc"], error_on_chunk_number=1)
        with pytest.raises(FakeListChatModelError):
            list(model.stream("hi"))
        with pytest.raises(FakeListChatModelError):
            list(model.stream("hi", config()))
        assert sample(CALLS, outcome="error") == 1
        assert sample(ERRORS, error_type="FakeListChatModelError") == 1
        assert sample("genai_llm_calls_in_flight") == 0


class TestRetries:
    """Requests that LangChain makes once more."""

    def model(self, failures: int, monkeypatch: pytest.MonkeyPatch) -> FakeListLLM:
        """One that fails so many times, and is asked again as LangChain's own models do it."""
        monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
        errors = [ConnectionError("no")] * failures

        class Flaky(FakeListLLM):
            def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
                @create_base_retry_decorator([ConnectionError], max_retries=3, run_manager=run_manager)
                def ask() -> str:
                    if errors:
                        raise errors.pop()
                    return self.responses[0]

                return str(ask())

        return Flaky(responses=["x" * 40])

    def test_are_counted_by_what_failed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One call, with two retries."""
        assert self.model(2, monkeypatch).invoke("hi", config(mode="m")) == "x" * 40
        assert sample(CALLS, outcome="success") == 1
        assert sample("genai_llm_retries_total", mode="m", reason="ConnectionError") == 2

    def test_of_a_call_that_fails_in_the_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The attempts before the last one."""
        with pytest.raises(ConnectionError):
            self.model(3, monkeypatch).invoke("hi", config())
        assert sample(CALLS, outcome="error") == 1
        assert sample("genai_llm_retries_total") == 2

    def test_without_a_known_failure(self) -> None:
        """And of what is not known, or is no call of a model: neither fails."""
        handler, run = GenAIMetricsCallback(), uuid4()
        handler.on_llm_start({}, ["hi"], run_id=run)
        handler.on_retry(RetryCallState(Retrying(), None, (), {}), run_id=run)
        handler.on_retry(RetryCallState(Retrying(), None, (), {}), run_id=uuid4())
        handler.on_llm_end(LLMResult(generations=[]), run_id=run)
        assert sample("genai_llm_retries_total", reason="unspecified") == sample("genai_llm_retries_total") == 1
        assert sample("genai_recorder_faults_total") == 0


class TestStreams:
    """Streamed answers of fake models."""

    def model(self) -> GenericFakeChatModel:
        """One that streams words."""
        return GenericFakeChatModel(messages=iter([AIMessage("aaaa bbbb cccc dddd")] * 3))

    def test_a_stream_read_to_its_end(self) -> None:
        """Chunks unchanged, time to first token once."""
        assert "".join(str(c.content) for c in self.model().stream("hi", config())) == "aaaa bbbb cccc dddd"
        assert sample(CALLS, outcome="success") == 1
        assert sample("genai_llm_time_to_first_token_seconds_count") == 1
        assert tokens()[:2] == [1, 5]

    def test_an_async_stream(self) -> None:
        """Alike."""

        async def read() -> list[Any]:
            return [chunk.content async for chunk in self.model().astream("hi", config())]

        assert "".join(asyncio.run(read())) == "aaaa bbbb cccc dddd"
        assert sample("genai_llm_time_to_first_token_seconds_count") == 1
        assert sample(CALLS, outcome="success") == 1

    def test_a_stream_left_early(self) -> None:
        """Is no error; what came until then is estimated."""
        stream = self.model().stream("hi", config())
        assert next(stream).content == "aaaa"
        stream.close()  # type: ignore[attr-defined]  # a generator
        assert sample(CALLS, outcome="success") == 1
        assert sample(ESTIMATED) == 1
        assert tokens()[:2] == [1, 1]
        assert sample("genai_llm_calls_in_flight") == 0

    def test_an_async_stream_left_early(self) -> None:
        """Alike."""

        async def leave() -> None:
            stream = self.model().astream("hi", config())
            assert (await anext(stream)).content == "aaaa"
            assert sample("genai_llm_calls_in_flight") == 1
            await stream.aclose()  # type: ignore[attr-defined]  # a generator

        asyncio.run(leave())
        assert sample(CALLS, outcome="success") == sample(CALLS) == 1
        assert tokens()[:2] == [1, 1]
        assert sample("genai_llm_calls_in_flight") == 0

    def test_completion_models_stream_too(self) -> None:
        """Character by character."""

        class Characters(FakeListLLM):
            """Streams its answer."""

            def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
                for character in self.responses[0]:
                    run_manager.on_llm_new_token(character)
                    yield GenerationChunk(text=character)

        assert "".join(Characters(responses=["abcdefgh"]).stream("hi", config())) == "abcdefgh"
        assert sample("genai_llm_time_to_first_token_seconds_count", operation="text_completion") == 1
        assert tokens()[:2] == [1, 2]


class TestStages:
    """Tools, retrievers and chains."""

    def test_tools(self) -> None:
        """By name and outcome; sync and async."""

        @tool
        def search(query: str) -> str:
            """Search."""
            if query == "bad":
                raise ValueError(query)
            return query

        assert search.invoke("good", config()) == "good"
        assert asyncio.run(search.ainvoke("good", config())) == "good"
        with pytest.raises(ValueError, match="bad"):
            search.invoke("bad", config())
        assert sample("genai_tool_duration_seconds_count", tool="search", outcome="success") == 2
        assert sample("genai_tool_duration_seconds_count", tool="search", outcome="error") == 1

    def test_retrievers(self) -> None:
        """With the number of documents."""
        assert len(Wiki().invoke("3", config())) == 3
        with pytest.raises(ValueError, match="many"):
            asyncio.run(Wiki().ainvoke("many", config()))
        assert sample("genai_retrieval_duration_seconds_count", source="Wiki", outcome="success") == 1
        assert sample("genai_retrieval_duration_seconds_count", source="Wiki", outcome="error") == 1
        assert sample("genai_retrieval_results_sum", source="Wiki") == 3

    def test_the_outermost_chain_is_a_workflow_if_asked(self) -> None:
        """Whose mode the calls inside have, in branches and after several steps; others are none."""
        model = fake(answer(input_token_details={}))
        chain = RunnableLambda(lambda x: x) | RunnableParallel(a=model, b=RunnableLambda(str) | model)
        chain.invoke("hi", {**config(workflows=True), "run_name": "rag"})
        asyncio.run(chain.ainvoke("hi", {**config(workflows=True), "run_name": "rag"}))
        assert sample(WORKFLOWS, mode="rag", outcome="success") == 2
        assert sample(CALLS, mode="rag") == 4
        chain.invoke("hi", config())
        assert sample(WORKFLOWS) == 2
        assert sample(CALLS, mode="default") == 2
        assert sample("genai_workflow_in_flight") == 0

    def test_what_the_steps_record_themselves(self) -> None:
        """Is part of the workflow: in tools, retrievers, models and functions, in branches and batches, sync and async.

        Afterwards nothing is left of it.
        """

        class Model(FakeListLLM):
            """Records on its own."""

            def _call(self, *args: Any, **kwargs: Any) -> str:
                track_warning("model")
                return super()._call(*args, **kwargs)

            async def _acall(self, *args: Any, **kwargs: Any) -> str:
                track_warning("model")
                return await super()._acall(*args, **kwargs)

        first = RunnableLambda(lambda x: x)
        search = RunnableLambda(lambda found: look_up.invoke(str(len(found))))
        chain = first | Wiki() | RunnableLambda(step) | search | RunnableParallel(a=Model(responses=["x"]), b=look_up)
        options = {**config(workflows=True, tenant="acme"), "run_name": "rag"}
        assert chain.invoke("3", options) == {"a": "x", "b": "3"}
        assert chain.batch(["1", "2"], options) == [{"a": "x", "b": "1"}, {"a": "x", "b": "2"}]
        assert chain.batch(["4"], options) == [{"a": "x", "b": "4"}]
        assert current.get() is EMPTY

        async def run() -> None:
            assert await chain.ainvoke("5", options) == {"a": "x", "b": "5"}
            assert await chain.abatch(["6", "7"], options) == [{"a": "x", "b": "6"}, {"a": "x", "b": "7"}]
            assert current.get() is EMPTY

        asyncio.run(run())
        assert sample(WORKFLOWS, mode="rag") == 7
        for kind, number in {"retriever": 7, "step": 7, "tool": 14, "model": 7}.items():
            assert sample("genai_warnings_total", mode="rag", kind=kind) == number
        assert sample("genai_warnings_total", mode="default") == 0

    def test_whoever_reads_a_stream_is_not_part_of_it(self) -> None:
        """Not between its parts, nor after leaving it; its steps are."""

        def words(chunks: Iterator[Any]) -> Iterator[str]:
            for chunk in chunks:
                track_warning("step")
                yield chunk.content

        async def awaited_words(chunks: AsyncIterator[Any]) -> AsyncIterator[str]:
            async for chunk in chunks:
                track_warning("step")
                yield chunk.content

        model = GenericFakeChatModel(messages=iter([AIMessage("aaaa bbbb cccc")] * 3))
        chain = RunnableLambda(step) | model | RunnableGenerator(words, awaited_words)
        options = {**config(workflows=True), "run_name": "rag"}
        for _ in chain.stream("hi", options):
            track_warning("reader")
        unread = chain.stream("hi", options)
        next(unread)
        track_warning("reader")
        assert sample("genai_warnings_total", kind="reader", mode="default") == 6
        assert sample("genai_warnings_total", kind="step", mode="rag") == 1 + 5 + 1 + 1
        unread.close()  # type: ignore[attr-defined]  # a generator

        async def read() -> None:
            async for _ in chain.astream("hi", options):
                track_warning("reader")
            assert current.get() is EMPTY

        asyncio.run(read())
        assert sample("genai_warnings_total", kind="reader") == 11
        assert sample("genai_warnings_total", mode="rag", kind="reader") == 0
        assert current.get() is EMPTY

    def test_the_outermost_function_itself_is_not_part_of_it(self) -> None:
        """While it may be streamed, its context is that of whoever reads: put the workflow around it instead."""
        RunnableLambda(step).invoke("hi", {**config(workflows=True), "run_name": "rag"})
        assert sample(WORKFLOWS, mode="rag") == 1
        assert sample("genai_warnings_total", mode="default") == 1
        with workflow(mode="ours"):
            RunnableLambda(step).invoke("hi", config())
        assert sample("genai_warnings_total", mode="ours") == 1

    def test_a_chain_that_fails_or_is_left(self) -> None:
        """An error by its class; a stream that was left is none."""

        def fails(_: Any) -> Any:
            raise KeyError("no")

        with pytest.raises(KeyError, match="no"):
            (RunnableLambda(lambda x: x) | RunnableLambda(fails)).invoke("hi", config(workflows=True, mode="m"))
        assert sample("genai_workflow_errors_total", mode="m", error_type="KeyError") == 1
        model = GenericFakeChatModel(messages=iter([AIMessage("aaaa bbbb")]))
        stream = (RunnableLambda(lambda x: x) | model).stream("hi", config(workflows=True, mode="n"))
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # a generator
        assert sample(WORKFLOWS, mode="n", outcome="success") == 1
        assert sample(CALLS, mode="n", outcome="success") == 1

    def test_a_workflow_of_ours_around(self) -> None:
        """Gives mode and tenant, and there is no second one."""
        with workflow(mode="ours", tenant="acme"):
            (RunnableLambda(lambda x: x) | fake(answer(input_token_details={}))).invoke("hi", config(workflows=True))
        assert sample(WORKFLOWS) == 1
        assert sample(CALLS, mode="ours") == 1
        assert sample("genai_tenant_requests_total", tenant="acme") == 1

    def test_mode_and_tenant_of_the_handler(self) -> None:
        """Win over the workflow's."""
        with workflow(mode="ours", tenant="acme"):
            fake(answer(input_token_details={})).invoke("hi", config(mode="m", tenant="t"))
        assert sample("genai_tenant_requests_total", tenant="t", mode="m") == 1

    @pytest.mark.parametrize(
        "method", ["_take_answer", "retrieval.results"], ids=["of a model's answer", "of a retriever's results"]
    )
    def test_a_bug_of_ours_is_a_fault(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        """LangChain does not even log it, and what has ended is over all the same."""
        monkeypatch.setattr(f"genai_metrics.integrations.langchain.{method}", lambda *_: 1 / 0)
        chain = Wiki() | RunnableLambda(lambda found: str(len(found))) | fake(answer("hello"))
        assert chain.invoke("3", config(workflows=True)).content == "hello"
        assert sample("genai_recorder_faults_total", reason="internal") == 1
        assert sample("genai_llm_calls_in_flight") == sample("genai_workflow_in_flight") == 0
        assert sample(CALLS) == sample("genai_retrieval_duration_seconds_count") == 1
        assert current.get() is EMPTY

    def test_runs_that_never_end_do_not_pile_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest are forgotten."""
        monkeypatch.setattr("genai_metrics.integrations.langchain._MOST_OPEN", 3)
        handler = GenAIMetricsCallback()
        model = GenericFakeChatModel(messages=iter([AIMessage("a b")] * 10))
        streams = [model.stream("hi", {"callbacks": [handler]}) for _ in range(10)]
        for stream in streams:
            next(stream)
        assert len(handler._runs) == 3


class TestOrder:
    """Beginnings come before ends."""

    def test_async_chains_tell_the_handler_at_once(self) -> None:
        """In the thread and the context of the chain: from others, a beginning could come after its end."""
        threads = []

        class Watched(GenAIMetricsCallback):
            """Notes the thread that it is called in."""

            def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
                threads.append(threading.get_ident())
                super().on_tool_start(*args, **kwargs)

            def on_tool_end(self, *args: Any, **kwargs: Any) -> None:
                threads.append(threading.get_ident())
                super().on_tool_end(*args, **kwargs)

        @tool
        async def wait(query: str) -> str:
            """Wait."""
            await asyncio.sleep(0)
            return query

        assert asyncio.run(wait.ainvoke("x", {"callbacks": [Watched()]})) == "x"
        assert threads == [threading.get_ident()] * 2
        assert sample("genai_tool_duration_seconds_count", tool="wait", outcome="success") == 1


class TestOpenAI:
    """langchain-openai over HTTP."""

    def test_success_stream_and_tool_call(self, server: Server) -> None:
        """Model, provider and exact tokens; cost to a billionth of a dollar."""
        genai_metrics.configure()
        expected = [1000, 50, 400, 0, 20]
        openai_model(server).invoke("hi", config())
        assert tokens() == expected
        labels = {"provider": "openai", "model": "gpt-4", "outcome": "success"}
        assert sample(CALLS, **labels) == 1
        usage = Usage(input_tokens=1000, cache_read_tokens=400, output_tokens=50)
        price = calc_price(usage, model_ref="gpt-4", provider_id="openai").total_price
        assert sample("genai_llm_cost_usd_total") == pytest.approx(float(price), abs=1e-9)
        list(openai_model(server, stream_usage=True).stream("hi", config()))
        assert tokens() == [2 * n for n in expected]
        assert sample("genai_llm_time_to_first_token_seconds_count", **labels) == 1
        list(openai_model(server, "tool", stream_usage=True).stream("hi", config()))
        assert tokens() == [3 * n for n in expected]
        assert sample("genai_llm_time_to_first_token_seconds_count", model="tool") == 1

    @pytest.mark.parametrize(
        ("model", "error", "error_type"),
        [("status-429", RateLimitError, "429"), ("status-500", InternalServerError, "500")],
    )
    def test_statuses(self, server: Server, model: str, error: type[Exception], error_type: str) -> None:
        """The provider's errors by status, the same exceptions as without the handler; async too."""
        with pytest.raises(error) as without:
            openai_model(server, model).invoke("hi")
        with pytest.raises(error) as with_it:
            openai_model(server, model).invoke("hi", config())
        assert str(with_it.value) == str(without.value)

        async def ask() -> None:
            async with httpx.AsyncClient() as client:
                await openai_model(server, model, http_async_client=client).ainvoke("hi", config())

        with pytest.raises(error):
            asyncio.run(ask())
        assert sample(ERRORS, model=model, error_type=error_type) == 2

    def test_time_out_and_refusal(self, server: Server) -> None:
        """By the class that LangChain makes of them."""
        with pytest.raises(APITimeoutError):
            openai_model(server, "slow", timeout=0.2).invoke("hi", config())
        with pytest.raises(APIConnectionError):
            openai_model(server, base_url="http://127.0.0.1:9/v1").invoke("hi", config())
        assert sample(ERRORS, error_type="OpenAITimeoutError") == 1
        assert sample(ERRORS, error_type="OpenAIConnectionError") == 1
