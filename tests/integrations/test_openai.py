"""``instrument_openai`` on real clients, against a server on loopback that speaks the wire format."""

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI
from prometheus_client import CollectorRegistry
from provider_server import CHAT_USAGE, Server, running
from pydantic import BaseModel

from genai_metrics import configure, warm_up, workflow
from genai_metrics.integrations.openai import instrument_openai, provider_of
from genai_metrics.testing import sample

CALLS = "genai_llm_calls_total"
ERRORS = "genai_llm_errors_total"
INPUT = "genai_llm_input_tokens_total"
OUTPUT = "genai_llm_output_tokens_total"
FIRST = "genai_llm_time_to_first_token_seconds_count"
ESTIMATED = "genai_llm_estimated_usage_calls_total"
RETRIES = "genai_llm_retries_total"
IN_FLIGHT = "genai_llm_calls_in_flight"
ASKED: Any = [{"role": "user", "content": "What is it that you say?"}]  # 24 characters: 6 tokens
WITH_USAGE: Any = {"stream": True, "stream_options": {"include_usage": True}}
COST = 600 * 2.5e-6 + 400 * 1.25e-6 + 50 * 10e-6
"""Of ``CHAT_USAGE`` with gpt-4o."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The provider."""
    warm_up()
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def prices(store: None) -> None:
    """Look up prices, in the store of the test."""
    configure(registry=CollectorRegistry())


@pytest.fixture
def plain(server: Server) -> Iterator[OpenAI]:
    """A client that is not instrumented."""
    with OpenAI(api_key="key", base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def client(server: Server) -> Iterator[OpenAI]:
    """A client that is."""
    with OpenAI(api_key="key", base_url=f"{server.url}/v1", max_retries=0) as client:
        instrument_openai(client)
        yield client


def run_async(server: Server, use: Callable[[AsyncOpenAI], Any]) -> Any:
    """Run a coroutine function on an instrumented async client."""

    async def main() -> Any:
        async with AsyncOpenAI(api_key="key", base_url=f"{server.url}/v1", max_retries=0) as client:
            instrument_openai(client)
            return await use(client)

    return asyncio.run(main())


def exact(outcome: str = "success") -> None:
    """One call of gpt-4o with the reported usage."""
    labels = {"provider": "openai", "model": "gpt-4o", "operation": "chat", "outcome": outcome}
    assert sample(CALLS, **labels) == sample(CALLS) == 1
    assert sample(INPUT, **labels) == 1000
    assert sample(OUTPUT, **labels) == 50
    assert sample("genai_llm_cache_read_input_tokens_total") == 400
    assert sample("genai_llm_reasoning_output_tokens_total") == 20
    assert sample("genai_llm_cost_usd_total") == pytest.approx(COST, rel=0, abs=1e-9)
    assert sample(ESTIMATED) == sample(IN_FLIGHT) == sample("genai_recorder_faults_total") == 0


def one(outcome: str, error_type: str | None = None) -> None:
    """One call, ended so."""
    assert sample(CALLS, outcome=outcome) == sample(CALLS) == 1
    assert sample(IN_FLIGHT) == sample("genai_recorder_faults_total") == 0
    if error_type is not None:
        assert sample(ERRORS, error_type=error_type) == sample(ERRORS) == 1


class TestAnswers:
    """Calls that are answered whole."""

    def test_chat(self, plain: OpenAI, client: OpenAI) -> None:
        """Exact tokens and cost; the answer equals that of a plain client, type and all."""
        expected = plain.chat.completions.create(model="gpt-4o", messages=ASKED)
        actual = client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert type(actual) is type(expected)
        assert actual == expected
        exact()

    def test_tool_call(self, client: OpenAI) -> None:
        """A tool call is an answer like any other."""
        answer = client.chat.completions.create(model="tool", messages=ASKED)
        calls = answer.choices[0].message.tool_calls
        assert calls is not None
        assert calls[0].id == "c1"
        one("success")

    def test_parse(self, client: OpenAI) -> None:
        """Structured output of the responses API and of chat completions goes the same way."""

        class Anything(BaseModel):
            pass

        with pytest.raises(ValueError, match="Invalid JSON"):
            client.chat.completions.parse(model="gpt-4o", messages=ASKED, response_format=Anything)
        assert sample(CALLS) == 1

    def test_responses(self, plain: OpenAI, client: OpenAI) -> None:
        """The responses API."""
        expected = plain.responses.create(model="gpt-4o", input="hi")
        assert client.responses.create(model="gpt-4o", input="hi") == expected
        exact()

    def test_embeddings(self, client: OpenAI) -> None:
        """Input tokens only."""
        client.embeddings.create(model="text-embedding-3-small", input="hi")
        assert sample(CALLS, operation="embeddings") == 1
        assert sample(INPUT) == 8
        assert sample(OUTPUT) == sample(ESTIMATED) == 0
        assert sample("genai_llm_cost_usd_total") == pytest.approx(8 * 0.02e-6, rel=0, abs=1e-12)

    def test_completions(self, client: OpenAI) -> None:
        """The old API."""
        client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hi")
        assert sample(CALLS, operation="text_completion") == 1
        assert sample(INPUT) == 1000

    def test_async(self, server: Server) -> None:
        """An async client."""
        answer = run_async(server, lambda c: c.chat.completions.create(model="gpt-4o", messages=ASKED))
        assert answer.usage.total_tokens == CHAT_USAGE["total_tokens"]
        exact()

    def test_no_usage(self, client: OpenAI) -> None:
        """Estimated from question and answer."""
        client.chat.completions.create(model="silent", messages=ASKED)
        assert sample(INPUT) == 6
        assert sample(OUTPUT) == 4  # "Hello, world!"
        assert sample(ESTIMATED) == 1

    def test_other_requests(self, plain: OpenAI, client: OpenAI) -> None:
        """What is no LLM call is not recorded."""
        with pytest.raises(openai.APIStatusError):
            client.models.list()
        assert sample(CALLS) == 0

    def test_context(self, client: OpenAI) -> None:
        """Mode and tenant are the workflow's."""
        with workflow(mode="rag", tenant="acme"):
            client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS, mode="rag") == 1
        assert sample("genai_tenant_cost_usd_total", tenant="acme") == pytest.approx(COST, rel=0, abs=1e-9)

    def test_threads(self, client: OpenAI) -> None:
        """Calls of many threads count exactly."""

        def ask() -> None:
            for _ in range(5):
                client.chat.completions.create(model="gpt-4o", messages=ASKED)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sample(CALLS) == 40
        assert sample(INPUT) == 40_000
        assert sample(IN_FLIGHT) == 0


class TestRaw:
    """Raw responses."""

    def test_raw(self, client: OpenAI) -> None:
        """Read already, and recorded whether or not it is parsed."""
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASKED)
        exact()
        answer = raw.parse()
        assert answer is raw.parse()
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == 1000
        exact()

    def test_raw_stream(self, client: OpenAI) -> None:
        """Parsed into a stream that is then read."""
        raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
        stream: Any = raw.parse()
        assert type(stream) is openai.Stream
        assert len(list(stream)) == 7
        exact()

    def test_raw_async(self, server: Server) -> None:
        """An async client."""
        run_async(server, lambda c: c.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASKED))
        exact()

    @pytest.mark.parametrize("method", ["parse", "read", "json", "text"])
    def test_streaming_response(self, client: OpenAI, method: str) -> None:
        """However it is read."""
        create = client.chat.completions.with_streaming_response.create
        with create(model="gpt-4o", messages=ASKED) as response:
            assert getattr(response, method)()
        exact()

    def test_streaming_response_async(self, server: Server) -> None:
        """An async client."""

        async def use(client: AsyncOpenAI) -> None:
            create = client.chat.completions.with_streaming_response.create
            async with create(model="gpt-4o", messages=ASKED) as response:
                assert (await response.parse()).usage is not None

        run_async(server, use)
        exact()

    def test_streaming_response_stream(self, client: OpenAI) -> None:
        """Parsed into a stream."""
        create = client.chat.completions.with_streaming_response.create
        with create(model="gpt-4o", messages=ASKED, **WITH_USAGE) as response:
            assert len(list(response.parse())) == 7
        exact()

    def test_streaming_response_unread(self, client: OpenAI) -> None:
        """A response that is only looked at is a call, its tokens an estimate."""
        with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=ASKED) as response:
            assert response.status_code == 200
        one("success")
        assert sample(INPUT) == 6
        assert sample(ESTIMATED) == 1


class TestStreams:
    """Streamed answers."""

    def test_stream(self, plain: OpenAI, client: OpenAI) -> None:
        """The library's own stream object, the same chunks, exact tokens."""
        expected: Any = plain.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
        actual: Any = client.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
        assert type(actual) is type(expected) is openai.Stream
        assert list(actual) == list(expected)
        exact()
        assert sample(FIRST) == sample("genai_llm_time_per_output_token_seconds_count") == 1

    def test_async(self, server: Server) -> None:
        """An async client."""

        async def use(client: AsyncOpenAI) -> int:
            stream: Any = await client.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
            assert type(stream) is openai.AsyncStream
            return len([chunk async for chunk in stream])

        assert run_async(server, use) == 7
        exact()
        assert sample(FIRST) == 1

    def test_without_usage(self, client: OpenAI) -> None:
        """Estimated, as the request does not ask for usage."""
        for _ in client.chat.completions.create(model="gpt-4o", messages=ASKED, stream=True):
            pass
        one("success")
        assert sample(INPUT) == 6
        assert sample(OUTPUT) == 4
        assert sample(ESTIMATED) == 1

    def test_responses(self, client: OpenAI) -> None:
        """The responses API reports usage without being asked."""
        assert len(list(client.responses.create(model="gpt-4o", input="hi", stream=True))) == 6
        exact()
        assert sample(FIRST) == 1

    def test_tool_call(self, client: OpenAI) -> None:
        """A streamed tool call has a first token."""
        list(client.chat.completions.create(model="tool", messages=ASKED, **WITH_USAGE))
        one("success")
        assert sample(FIRST) == 1

    def test_helper(self, client: OpenAI) -> None:
        """``chat.completions.stream`` and ``responses.stream`` are streams underneath."""
        with client.chat.completions.stream(
            model="gpt-4o", messages=ASKED, stream_options={"include_usage": True}
        ) as stream:
            assert stream.get_final_completion().choices[0].message.content == "Hello, world!"
        exact()

    @pytest.mark.parametrize("way", ["break", "close", "with"])
    def test_early_stop(self, client: OpenAI, way: str) -> None:
        """A consumer that has seen enough: one call, no error, estimated."""
        stream = client.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
        if way == "with":
            with stream:
                next(stream)
        else:
            for chunk in stream:
                if chunk.choices[0].delta.content:
                    break
            if way == "close":
                stream.close()
        if way == "break":
            del stream, chunk
            gc.collect()  # the library's streams refer to themselves
        one("success")
        assert sample(ESTIMATED) == 1

    def test_early_stop_async(self, server: Server) -> None:
        """An async stream that is closed."""

        async def use(client: AsyncOpenAI) -> None:
            stream: Any = await client.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
            async with stream:
                await anext(stream)

        run_async(server, use)
        one("success")

    def test_never_consumed(self, client: OpenAI) -> None:
        """One call without a first token."""
        client.chat.completions.create(model="gpt-4o", messages=ASKED, **WITH_USAGE)
        gc.collect()
        one("success")
        assert sample(FIRST) == 0

    def test_broken(self, plain: OpenAI, client: OpenAI) -> None:
        """The same exception as without, and a failed call."""
        seen = []
        for each in (plain, client):
            with pytest.raises(Exception, match=r"peer closed|Connection error") as raised:
                list(each.chat.completions.create(model="broken", messages=ASKED, stream=True))
            seen.append((type(raised.value), str(raised.value)))
        assert seen[0] == seen[1]
        one("error", seen[0][0].__name__)
        assert sample(FIRST) == 1


class TestErrors:
    """Exceptions are the library's own, and counted by HTTP status or class."""

    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
    @pytest.mark.parametrize("stream", [False, True])
    def test_status(self, plain: OpenAI, client: OpenAI, status: int, stream: bool) -> None:
        """Equal to a plain client's."""
        seen = []
        for each in (plain, client):
            with pytest.raises(openai.APIStatusError) as raised:
                each.chat.completions.create(model=f"status-{status}", messages=ASKED, stream=stream)
            seen.append((type(raised.value), str(raised.value), raised.value.status_code, raised.value.body))
        assert seen[0] == seen[1]
        one("error", str(status))
        assert sample(INPUT) == sample(ESTIMATED) == 0

    def test_status_async(self, server: Server) -> None:
        """An async client."""
        with pytest.raises(openai.RateLimitError):
            run_async(server, lambda c: c.chat.completions.create(model="status-429", messages=ASKED))
        one("error", "429")

    def test_time_out(self, client: OpenAI) -> None:
        """An answer that does not come."""
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model="slow", messages=ASKED, timeout=0.2)
        one("error", "APITimeoutError")

    def test_refused(self) -> None:
        """No server."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with OpenAI(api_key="key", base_url=f"http://127.0.0.1:{port}/v1", max_retries=0) as client:
            instrument_openai(client)
            with pytest.raises(openai.APIConnectionError):
                client.chat.completions.create(model="gpt-4o", messages=ASKED)
        one("error", "APIConnectionError")

    def test_retry(self, server: Server) -> None:
        """The library's own retries are counted; it stays one call."""
        server.requests = 0
        with OpenAI(api_key="key", base_url=f"{server.url}/v1", max_retries=2) as client:
            instrument_openai(client)
            client.chat.completions.create(model="flaky", messages=ASKED)
        one("success")
        assert sample(RETRIES, model="flaky", reason="503") == sample(RETRIES) == 1

    def test_retries_in_vain(self, server: Server) -> None:
        """All are counted."""
        with OpenAI(api_key="key", base_url=f"{server.url}/v1", max_retries=2) as client:
            instrument_openai(client)
            with pytest.raises(openai.RateLimitError):
                client.chat.completions.create(model="status-429", messages=ASKED)
        one("error", "429")
        assert sample(RETRIES, reason="429") == 2

    def test_retry_async(self, server: Server) -> None:
        """An async client."""
        server.requests = 0
        run_async(
            server, lambda c: c.with_options(max_retries=2).chat.completions.create(model="flaky", messages=ASKED)
        )
        one("success")
        assert sample(RETRIES, reason="503") == 1


class TestInstrumentation:
    """Installing and removing."""

    def test_uninstrument(self, client: OpenAI, plain: OpenAI) -> None:
        """The client is exactly as before."""
        assert vars(client).keys() - vars(plain).keys() == {"request", "_sleep_for_retry", "copy", "with_options"}
        instrument_openai(client).uninstrument()
        assert vars(client).keys() == vars(plain).keys()
        assert client.request == OpenAI.request.__get__(client)
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS) == 0

    def test_twice(self, client: OpenAI) -> None:
        """Harmless."""
        assert instrument_openai(client) is instrument_openai(client)
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
        exact()

    def test_again(self, client: OpenAI) -> None:
        """After it was removed."""
        instrument_openai(client).uninstrument()
        instrument_openai(client)
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
        exact()

    def test_resources_made_before(self, plain: OpenAI) -> None:
        """Resources, raw ones too, that the application holds already are recorded."""
        completions, raw = plain.chat.completions, plain.chat.completions.with_raw_response
        instrument_openai(plain)
        completions.create(model="gpt-4o", messages=ASKED)
        raw.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS) == 2

    def test_other_clients(self, client: OpenAI, plain: OpenAI) -> None:
        """Untouched."""
        plain.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS) == 0

    def test_copies(self, client: OpenAI) -> None:
        """Recorded, once, for as long as the original."""
        copy = client.with_options(timeout=10).copy(max_retries=0)
        copy.chat.completions.create(model="gpt-4o", messages=ASKED)
        exact()
        instrument_openai(client).uninstrument()
        copy.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS) == 1

    def test_under_another_wrapper(self, client: OpenAI) -> None:
        """What another library has put on top stays there, and records nothing of ours any more."""
        ours = client.request
        client.request = lambda *arguments, **settings: ours(*arguments, **settings)  # type: ignore[method-assign]
        theirs = client.request
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
        exact()
        ours.genai_metrics.uninstrument()  # type: ignore[attr-defined]
        assert client.request is theirs
        client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS) == 1

    @pytest.mark.parametrize("thing", [None, "client", OpenAI, object()])
    def test_no_client(self, thing: object) -> None:
        """Said at once."""
        with pytest.raises(TypeError, match="expected a client object"):
            instrument_openai(thing)

    def test_internal_fault(self, client: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fault of ours is counted and changes nothing."""
        monkeypatch.setattr("genai_metrics.llm.usage_of", lambda response: 1 // 0)
        answer = client.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert answer.choices[0].message.content == "Hello, world!"
        assert sample(CALLS) == 1
        assert sample("genai_recorder_faults_total", reason="internal") == 1


class TestProvider:
    """From class and host."""

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("https://api.openai.com/v1", "openai"),
            ("https://api.deepseek.com", "deepseek"),
            ("https://api.groq.com/openai/v1", "groq"),
            ("https://mine.openai.azure.com/openai/v1", "azure.ai.openai"),
            ("https://notapi.deepseek.com.example/v1", "openai"),
            ("http://127.0.0.1:8000/v1", "openai"),
        ],
    )
    def test_host(self, url: str, expected: str) -> None:
        """Unknown hosts are openai."""
        with OpenAI(api_key="key", base_url=url) as client:
            assert provider_of(client) == expected

    def test_azure(self) -> None:
        """By class, wherever it points."""
        options: Any = {"api_key": "k", "api_version": "1", "azure_endpoint": "http://127.0.0.1:1"}
        assert provider_of(AzureOpenAI(**options)) == provider_of(AsyncAzureOpenAI(**options)) == "azure.ai.openai"

    def test_given(self, plain: OpenAI) -> None:
        """By the user."""
        instrument_openai(plain, provider="mine")
        plain.chat.completions.create(model="gpt-4o", messages=ASKED)
        assert sample(CALLS, provider="mine") == 1
