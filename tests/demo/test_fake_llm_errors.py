"""Requests to the fake LLM server that fail, as the libraries of the providers see them."""

from typing import Any

import httpx
import openai
import pytest
from fake_llm_process import FakeLlm, fake_llm

MODEL = "gpt-4o-mini"
QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]
STREAMED: Any = {"stream": True, "stream_options": {"include_usage": True}}


class TestErrors:
    """Requests that fail."""

    def test_rate_limits_say_when_to_come_back(self, llm: FakeLlm) -> None:
        """429 with the headers that the library heeds, billed for nothing."""
        llm.set_fault("rate_limited", share=1, retry_after_seconds=2.5)
        with llm.openai() as client, pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert caught.value.code == "rate_limit_exceeded"
        headers = caught.value.response.headers
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("3", "2500")
        assert llm.account("openai/gpt-4o-mini")["errors"] == {"429": 1}

    def test_the_library_retries_until_it_succeeds(self, llm: FakeLlm) -> None:
        """Every attempt is in the ledger: the failed ones by status, the last one with its tokens."""
        llm.set_fault("rate_limited", share=0.5, retry_after_seconds=0)
        attempts: list[httpx.Request] = []
        hooks = {"request": [attempts.append]}
        with llm.openai(max_retries=30, http_client=httpx.Client(event_hooks=hooks)) as client:
            for _ in range(10):
                client.chat.completions.create(model=MODEL, messages=QUESTION)
        account = llm.account("openai/gpt-4o-mini")
        assert account["succeeded"] == 10 < account["requests"] == len(attempts)
        assert account["errors"] == {"429": len(attempts) - 10}
        assert account["input_tokens"] == 80

    def test_error_burst(self, llm: FakeLlm) -> None:
        """500, and the library's own retries are requests of their own."""
        llm.set_fault("error_burst", share=1)
        with llm.openai(max_retries=1) as client, pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model=MODEL, messages=QUESTION, **STREAMED)
        assert llm.account("openai/gpt-4o-mini")["errors"] == {"500": 2}

    def test_provider_down(self, llm: FakeLlm) -> None:
        """Connections close without an answer, or 503 is said; the other provider goes on."""
        llm.set_fault("provider_down", provider="openai")
        with llm.openai() as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        llm.set_fault("provider_down", provider="openai", how="unavailable")
        with llm.openai() as client, pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="text-embedding-3-small", input="x")
        with llm.anthropic() as other:
            other.messages.create(model="claude-haiku-4-5", max_tokens=50, messages=QUESTION)
        assert llm.account("openai/gpt-4o-mini")["errors"] == {"closed": 1}
        assert llm.account("openai/text-embedding-3-small")["errors"] == {"503": 1}
        assert llm.account("anthropic/claude-haiku-4-5")["succeeded"] == 1

    def test_no_key(self, llm: FakeLlm) -> None:
        """Without an API key nothing is answered."""
        answer = httpx.post(f"{llm.url}/openai/v1/chat/completions", json={"model": MODEL, "messages": QUESTION})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")

    def test_connection_refused(self) -> None:
        """A server that has ended refuses connections, and the library says so."""
        with fake_llm() as ended:
            pass
        with ended.openai() as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
