"""What ``genai_metrics`` records of calls to the fake LLM server is what the server has billed: tokens and cost."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fake_llm_process import FakeLlm, fake_llm
from prometheus_client import CollectorRegistry

from genai_metrics import configure, warm_up
from genai_metrics.integrations.anthropic import instrument_anthropic
from genai_metrics.integrations.openai import instrument_openai
from genai_metrics.testing import isolated_store, sample

QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]
LONG: Any = [{"role": "system", "content": "Answer briefly. " * 400}, *QUESTION]
STREAMED: Any = {"stream": True, "stream_options": {"include_usage": True}}
TOOLS: Any = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
MARKED: Any = [{"type": "text", "text": "Answer briefly. " * 400, "cache_control": {"type": "ephemeral"}}]

METRICS = {
    "input_tokens": "genai_llm_input_tokens_total",
    "output_tokens": "genai_llm_output_tokens_total",
    "cache_read_tokens": "genai_llm_cache_read_input_tokens_total",
    "cache_write_tokens": "genai_llm_cache_write_input_tokens_total",
    "reasoning_tokens": "genai_llm_reasoning_output_tokens_total",
    "cost_usd": "genai_llm_cost_usd_total",
}
"""Fields of the ledger, and the metrics that must say the same."""


@pytest.fixture(scope="module")
def priced() -> Iterator[FakeLlm]:
    """A server that notes prices."""
    warm_up()
    with fake_llm("--price-notes") as server:
        yield server


@pytest.fixture(autouse=True)
def store(priced: FakeLlm) -> Iterator[None]:
    """A new ledger, and a store of the test's own that looks up prices."""
    priced.clear()
    with isolated_store():
        configure(registry=CollectorRegistry())
        yield


def assert_equal(server: FakeLlm) -> dict[str, Any]:
    """Every field of every account is what was recorded; returns the accounts."""
    accounts = server.accounts()
    billed, recorded = {}, {}
    for name, account in accounts.items():
        provider, _, model = name.partition("/")
        for field, metric in METRICS.items():
            billed[name, field] = account[field]
            recorded[name, field] = sample(metric, provider=provider, model=model)
    assert recorded == pytest.approx(billed, rel=1e-9, abs=1e-12)
    return accounts


class TestTotals:
    """The sums of both sides."""

    def test_of_whole_and_streamed_answers(self, priced: FakeLlm) -> None:
        """Six models in all the ways there are, with prompt caches, tools and reasoning."""
        with priced.openai() as client, priced.anthropic() as other:
            instrument_openai(client)
            instrument_anthropic(other)
            for model in ("gpt-4o-mini", "gpt-4o", "o4-mini"):
                for options in ({}, STREAMED, {"tools": TOOLS}, {"max_completion_tokens": 20}):
                    made: Any = client.chat.completions.create(model=model, messages=LONG, **options)
                    list(made) if "stream" in options else None
            for model in ("claude-haiku-4-5", "claude-sonnet-4-6"):
                for _ in range(3):
                    other.messages.create(model=model, max_tokens=100, messages=QUESTION, system=MARKED)
                    with other.messages.stream(model=model, max_tokens=100, messages=QUESTION) as stream:
                        stream.until_done()
            client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        accounts = assert_equal(priced)
        assert len(accounts) == 6
        for field in METRICS:
            assert sum(account[field] for account in accounts.values()) > 0
        assert all(account["unpriced"] == 0 for account in accounts.values())

    def test_of_async_calls_with_retries(self, priced: FakeLlm) -> None:
        """A third of the requests is refused and made again by the libraries; tokens are those of the answers."""
        priced.set_fault("rate_limited", share=0.33, retry_after_seconds=0)

        async def main() -> None:
            async with priced.async_openai(max_retries=20) as client, priced.async_anthropic(max_retries=20) as other:
                instrument_openai(client)
                instrument_anthropic(other)
                asked: Any = {"model": "gpt-4o-mini", "messages": QUESTION}
                calls: list[Any] = [client.chat.completions.create(**asked) for _ in range(20)]
                message: Any = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": QUESTION}
                calls += [other.messages.create(**message) for _ in range(20)]
                await asyncio.gather(*calls)

        asyncio.run(main())
        accounts = assert_equal(priced)
        refused = sum(account["errors"]["429"] for account in accounts.values())
        assert refused == sample("genai_llm_retries_total", reason="429") > 0
        assert [account["succeeded"] for account in accounts.values()] == [20, 20]

    def test_of_streams_left_early(self, priced: FakeLlm) -> None:
        """What the libraries' users read is what was sent: here the estimate from it is exact, too."""
        priced.set_fault("latency", factor=0, token_seconds=600)
        with priced.openai() as client, priced.anthropic() as other:
            instrument_openai(client)
            instrument_anthropic(other)
            stream = client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, **STREAMED)
            next(text for chunk in stream if (text := chunk.choices[0].delta.content))
            stream.close()
            with other.messages.stream(model="claude-haiku-4-5", max_tokens=100, messages=QUESTION) as events:
                next(iter(events.text_stream))
        accounts = assert_equal(priced)
        assert [account["aborted"] for account in accounts.values()] == [1, 1]
        assert all(account["aborted_tokens"]["cost_usd"] == account["cost_usd"] > 0 for account in accounts.values())

    def test_of_failures(self, priced: FakeLlm) -> None:
        """What failed is recorded as errors, and costs nothing on either side."""
        priced.set_fault("error_burst", share=1)
        with priced.openai() as client:
            instrument_openai(client)
            with pytest.raises(openai.InternalServerError):
                client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
        account = assert_equal(priced)["openai/gpt-4o-mini"]
        assert account["errors"] == {"500": sample("genai_llm_errors_total", error_type="500")}
        assert account["cost_usd"] == 0

    def test_of_an_unknown_model(self, priced: FakeLlm) -> None:
        """A model without a price is answered; both sides say that its cost is not known."""
        with priced.openai() as client:
            instrument_openai(client)
            client.chat.completions.create(model="model-of-tomorrow", messages=QUESTION)
        account = assert_equal(priced)["openai/model-of-tomorrow"]
        assert account["unpriced"] == sample("genai_llm_unpriced_calls_total", model="model-of-tomorrow") == 1
