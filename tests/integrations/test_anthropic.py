"""``instrument_anthropic`` on real clients, against a server on loopback that speaks the wire format."""

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from prometheus_client import CollectorRegistry
from provider_server import Server, running

from genai_metrics import configure, warm_up, workflow
from genai_metrics.integrations.anthropic import instrument_anthropic, provider_of
from genai_metrics.testing import sample

CALLS = "genai_llm_calls_total"
INPUT = "genai_llm_input_tokens_total"
OUTPUT = "genai_llm_output_tokens_total"
FIRST = "genai_llm_time_to_first_token_seconds_count"
ESTIMATED = "genai_llm_estimated_usage_calls_total"
MODEL = "claude-opus-4-6"
ASK: Any = {"max_tokens": 100, "messages": [{"role": "user", "content": "What is it that you say?"}]}
COST = 100 * 5e-6 + 700 * 0.5e-6 + 200 * 6.25e-6 + 50 * 25e-6
"""Of the server's usage: 100 fresh tokens, 700 read from the cache, 200 written, 50 of output."""


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
def plain(server: Server) -> Iterator[Anthropic]:
    """A client that is not instrumented."""
    with Anthropic(api_key="key", base_url=server.url, max_retries=0) as client:
        yield client


@pytest.fixture
def client(server: Server) -> Iterator[Anthropic]:
    """A client that is."""
    with Anthropic(api_key="key", base_url=server.url, max_retries=0) as client:
        instrument_anthropic(client)
        yield client


def run_async(server: Server, use: Callable[[AsyncAnthropic], Any]) -> Any:
    """Run a coroutine function on an instrumented async client."""

    async def main() -> Any:
        async with AsyncAnthropic(api_key="key", base_url=server.url, max_retries=0) as client:
            instrument_anthropic(client)
            return await use(client)

    return asyncio.run(main())


def exact() -> None:
    """One call with the reported usage, its input with the cache."""
    labels = {"provider": "anthropic", "model": MODEL, "operation": "chat", "outcome": "success"}
    assert sample(CALLS, **labels) == sample(CALLS) == 1
    assert sample(INPUT) == 1000
    assert sample(OUTPUT) == 50
    assert sample("genai_llm_cache_read_input_tokens_total") == 700
    assert sample("genai_llm_cache_write_input_tokens_total") == 200
    assert sample("genai_llm_cost_usd_total") == pytest.approx(COST, rel=0, abs=1e-9)
    assert sample(ESTIMATED) == sample("genai_recorder_faults_total") == 0
    assert sample("genai_llm_calls_in_flight") == 0


def failed(error_type: str) -> None:
    """One failed call."""
    assert sample(CALLS, outcome="error") == sample(CALLS) == 1
    assert sample("genai_llm_errors_total", error_type=error_type) == 1
    assert sample("genai_llm_calls_in_flight") == sample("genai_recorder_faults_total") == 0


class TestAnswers:
    """Calls that are answered whole."""

    def test_create(self, plain: Anthropic, client: Anthropic) -> None:
        """Exact tokens and cost; the answer equals that of a plain client."""
        expected = plain.messages.create(model=MODEL, **ASK)
        actual = client.messages.create(model=MODEL, **ASK)
        assert type(actual) is type(expected)
        assert actual == expected
        exact()

    def test_tool_call(self, client: Anthropic) -> None:
        """A tool call is an answer like any other."""
        assert client.messages.create(model="tool", **ASK).content[0].type == "tool_use"
        assert sample(CALLS, outcome="success") == 1
        assert sample(INPUT) == 1000

    def test_beta(self, client: Anthropic) -> None:
        """The same under ``beta``."""
        client.beta.messages.create(model=MODEL, **ASK)
        exact()

    def test_async(self, server: Server) -> None:
        """An async client."""
        run_async(server, lambda c: c.messages.create(model=MODEL, **ASK))
        exact()

    def test_context(self, client: Anthropic) -> None:
        """Mode and tenant are the workflow's."""
        with workflow(mode="rag", tenant="acme"):
            client.messages.create(model=MODEL, **ASK)
        assert sample(CALLS, mode="rag") == sample("genai_tenant_requests_total", tenant="acme") == 1

    def test_raw(self, client: Anthropic) -> None:
        """A raw response."""
        raw = client.messages.with_raw_response.create(model=MODEL, **ASK)
        exact()
        assert raw.parse().usage.input_tokens == 100
        exact()

    @pytest.mark.parametrize("method", ["parse", "read", "json", "text"])
    def test_streaming_response(self, client: Anthropic, method: str) -> None:
        """However it is read."""
        with client.messages.with_streaming_response.create(model=MODEL, **ASK) as response:
            assert getattr(response, method)()
        exact()

    def test_raw_async(self, server: Server) -> None:
        """An async client."""

        async def use(client: AsyncAnthropic) -> None:
            async with client.messages.with_streaming_response.create(model=MODEL, **ASK) as response:
                await response.parse()

        run_async(server, use)
        exact()


class TestStreams:
    """Streamed answers."""

    def test_create(self, plain: Anthropic, client: Anthropic) -> None:
        """The library's own stream object and the same events."""
        expected: Any = plain.messages.create(model=MODEL, stream=True, **ASK)
        actual: Any = client.messages.create(model=MODEL, stream=True, **ASK)
        assert type(actual) is type(expected) is anthropic.Stream
        assert list(actual) == list(expected)
        exact()
        assert sample(FIRST) == 1

    @pytest.mark.parametrize("way", ["events", "text", "message"])
    def test_helper(self, client: Anthropic, way: str) -> None:
        """``messages.stream``, however it is read."""
        with client.messages.stream(model=MODEL, **ASK) as stream:
            if way == "events":
                assert [event.type for event in stream][-1] == "message_stop"
            elif way == "text":
                assert "".join(stream.text_stream) == "Hello, world!"
            else:
                assert stream.get_final_message().usage.output_tokens == 50
        exact()
        assert sample(FIRST) == 1

    def test_async(self, server: Server) -> None:
        """Both ways on an async client."""

        async def use(client: AsyncAnthropic) -> None:
            events: Any = await client.messages.create(model=MODEL, stream=True, **ASK)
            assert len([event async for event in events]) == 9
            exact()
            async with client.messages.stream(model=MODEL, **ASK) as stream:
                assert await stream.get_final_text() == "Hello, world!"

        run_async(server, use)
        assert sample(CALLS) == 2
        assert sample(INPUT) == 2000

    def test_tool_call(self, client: Anthropic) -> None:
        """A streamed tool call has a first token."""
        list(client.messages.create(model="tool", stream=True, **ASK))
        assert sample(OUTPUT) == 50
        assert sample(FIRST) == 1

    @pytest.mark.parametrize("way", ["break", "close", "with", "helper"])
    def test_early_stop(self, client: Anthropic, way: str) -> None:
        """The input is known, the output estimated."""
        if way == "helper":
            with client.messages.stream(model=MODEL, **ASK) as messages:
                for event in messages:
                    if event.type == "content_block_delta":
                        break
        else:
            stream: Any = client.messages.create(model=MODEL, stream=True, **ASK)
            for event in stream:
                if event.type == "content_block_delta":
                    break
            if way == "close":
                stream.close()
            elif way == "with":
                with stream:
                    pass
            else:
                del stream
                gc.collect()
        assert sample(CALLS, outcome="success") == sample(CALLS) == 1
        assert sample(INPUT) == 1000
        assert sample(OUTPUT) == 2  # "Hello"
        assert sample(ESTIMATED) == 1

    def test_broken(self, plain: Anthropic, client: Anthropic) -> None:
        """The same exception as without."""
        seen = []
        for each in (plain, client):
            with pytest.raises(Exception, match="peer closed") as raised:
                list(each.messages.create(model="broken", stream=True, **ASK))
            seen.append((type(raised.value), str(raised.value)))
        assert seen[0] == seen[1]
        failed(seen[0][0].__name__)
        assert sample(INPUT) == 1000


class TestErrors:
    """Exceptions are the library's own, and counted by HTTP status or class."""

    @pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
    @pytest.mark.parametrize("stream", [False, True])
    def test_status(self, plain: Anthropic, client: Anthropic, status: int, stream: bool) -> None:
        """Equal to a plain client's."""
        seen = []
        for each in (plain, client):
            with pytest.raises(anthropic.APIStatusError) as raised:
                each.messages.create(model=f"status-{status}", stream=stream, **ASK)
            seen.append((type(raised.value), str(raised.value), raised.value.status_code, raised.value.body))
        assert seen[0] == seen[1]
        failed(str(status))

    def test_status_async(self, server: Server) -> None:
        """An async client."""
        with pytest.raises(anthropic.RateLimitError):
            run_async(server, lambda c: c.messages.create(model="status-429", **ASK))
        failed("429")

    def test_time_out(self, client: Anthropic) -> None:
        """An answer that does not come."""
        with pytest.raises(anthropic.APITimeoutError):
            client.messages.create(model="slow", timeout=0.2, **ASK)
        failed("APITimeoutError")

    def test_refused(self) -> None:
        """No server."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with Anthropic(api_key="key", base_url=f"http://127.0.0.1:{port}", max_retries=0) as client:
            instrument_anthropic(client)
            with pytest.raises(anthropic.APIConnectionError):
                client.messages.create(model=MODEL, **ASK)
        failed("APIConnectionError")

    def test_retry(self, client: Anthropic, server: Server) -> None:
        """The library's own retries are counted, on copies too; it stays one call."""
        server.requests = 0
        client.with_options(max_retries=2).messages.create(model="flaky", **ASK)
        assert sample(CALLS, outcome="success") == sample(CALLS) == 1
        assert sample("genai_llm_retries_total", model="flaky", reason="503") == 1


class TestInstrumentation:
    """Installing and removing."""

    def test_uninstrument(self, client: Anthropic, plain: Anthropic) -> None:
        """The client is exactly as before."""
        instrument_anthropic(client).uninstrument()
        assert vars(client).keys() == vars(plain).keys()
        client.messages.create(model=MODEL, **ASK)
        assert sample(CALLS) == 0

    def test_twice(self, client: Anthropic) -> None:
        """Harmless."""
        assert instrument_anthropic(client) is instrument_anthropic(client)
        client.messages.create(model=MODEL, **ASK)
        exact()

    def test_provider(self, plain: Anthropic) -> None:
        """From the class, or given."""
        assert provider_of(plain) == "anthropic"
        assert provider_of(type("AsyncAnthropicBedrock", (), {})()) == "aws.bedrock"
        assert provider_of(type("AnthropicVertex", (), {})()) == "gcp.vertex_ai"
        instrument_anthropic(plain, provider="mine")
        plain.messages.create(model=MODEL, **ASK)
        assert sample(CALLS, provider="mine") == 1
