"""Requests to the fake LLM server that fail, as the libraries of the providers see them."""

from typing import Any

import anthropic
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
            for _ in range(30):
                client.chat.completions.create(model=MODEL, messages=QUESTION)
        account = llm.account("openai/gpt-4o-mini")
        assert account["succeeded"] == 30 < account["requests"] == len(attempts)
        assert account["errors"] == {"429": len(attempts) - 30}
        assert account["input_tokens"] == 240

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

    def test_anthropic_says_the_same_in_its_way(self, llm: FakeLlm) -> None:
        """Statuses become the exceptions of its library, which retries on its own, too."""
        asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": QUESTION}
        llm.set_fault("rate_limited", share=1, retry_after_seconds=0)
        with llm.anthropic(max_retries=2) as client, pytest.raises(anthropic.RateLimitError) as caught:
            client.messages.create(**asked)
        assert caught.value.body == {
            "type": "error",
            "error": {"type": "rate_limit_error", "message": "Rate limit reached. Please try again in 0s."},
            "request_id": caught.value.response.headers["request-id"],
        }
        llm.stop_faults()
        llm.set_fault("provider_down", provider="anthropic")
        with llm.anthropic() as client, pytest.raises(anthropic.APIConnectionError):
            client.messages.create(**asked)
        assert llm.account("anthropic/claude-haiku-4-5")["errors"] == {"429": 3, "closed": 1}

    def test_a_fault_can_be_for_one_provider(self, llm: FakeLlm) -> None:
        """The other one is not affected."""
        llm.set_fault("error_burst", share=1, provider="anthropic")
        with llm.openai() as client:
            client.chat.completions.create(model=MODEL, messages=QUESTION)
        assert llm.account("openai/gpt-4o-mini")["errors"] == {}

    def test_background_errors(self) -> None:
        """Rate limits, failures and hung requests, in these shares; Anthropic calls its failures overload."""
        with fake_llm("--errors", "1") as failing, httpx.Client(headers={"x-api-key": "key"}) as client:
            for path in ("openai/v1/chat/completions", "anthropic/v1/messages"):
                for _ in range(100):
                    body = {"model": MODEL, "max_tokens": 5, "messages": QUESTION}
                    assert client.post(f"{failing.url}/{path}", json=body).status_code >= 400
            errors = {name: account["errors"] for name, account in failing.accounts().items()}
        assert {name: sorted(found) for name, found in errors.items()} == {
            "openai/gpt-4o-mini": ["429", "500", "504"],
            "anthropic/gpt-4o-mini": ["429", "504", "529"],
        }
        for found in errors.values():
            assert sum(found.values()) == 100
            assert found["429"] + found.get("500", found.get("529", 0)) > 3 * found["504"]

    def test_connection_refused(self) -> None:
        """A server that has ended refuses connections, and the library says so."""
        with fake_llm() as ended:
            pass
        with ended.openai() as client, pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(model=MODEL, messages=QUESTION)
