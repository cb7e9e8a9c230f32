"""The callback handler under the real langchain-core and langchain-openai."""

import asyncio
from collections.abc import Iterator
from typing import Any

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
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import GenerationChunk
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import APIConnectionError, APITimeoutError, InternalServerError, RateLimitError
from provider_server import Server, running
from pydantic import SecretStr

import genai_metrics
from genai_metrics import workflow
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

        class Wiki(BaseRetriever):
            """Gives as many documents as asked for."""

            def _get_relevant_documents(
                self, query: str, *, run_manager: CallbackManagerForRetrieverRun
            ) -> list[Document]:
                return [Document("x")] * int(query)

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

    def test_a_bug_of_ours_is_a_fault(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """LangChain does not even log it."""
        monkeypatch.setattr("genai_metrics.integrations.langchain._take_answer", lambda call, result: 1 / 0)
        assert fake(answer()).invoke("hi", config()).content == "hello"
        assert sample("genai_recorder_faults_total", reason="internal") == 1

    def test_runs_that_never_end_do_not_pile_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oldest are forgotten."""
        monkeypatch.setattr("genai_metrics.integrations.langchain._MOST_OPEN", 3)
        handler = GenAIMetricsCallback()
        model = GenericFakeChatModel(messages=iter([AIMessage("a b")] * 10))
        streams = [model.stream("hi", {"callbacks": [handler]}) for _ in range(10)]
        for stream in streams:
            next(stream)
        assert len(handler._runs) == 3


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
