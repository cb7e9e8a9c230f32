"""Tests of ``with llm_call(...)``: what it records, whatever happens inside."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics import llm_call, workflow
from genai_metrics.llm import error_type

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"
INPUT = "genai_llm_input_tokens_total"
OUTPUT = "genai_llm_output_tokens_total"
ERRORS = "genai_llm_errors_total"
ESTIMATED = "genai_llm_estimated_usage_calls_total"
IN_FLIGHT = "genai_llm_calls_in_flight"
RESPONSE = {"model": "full", "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}


class TestSuccess:
    """Calls that go well."""

    def test_usage(self, metrics: "Metrics") -> None:
        """One call, with its tokens, cost and duration; in flight only meanwhile."""
        with llm_call(model="full", provider="acme") as call:
            assert metrics.value(IN_FLIGHT, model="full") == 1
            call.usage(RESPONSE)
        labels = {"mode": "default", "provider": "acme", "model": "full", "operation": "chat", "outcome": "success"}
        assert metrics.value(CALLS, **labels) == metrics.value(CALLS) == 1
        assert metrics.value(INPUT, **labels) == 1000
        assert metrics.value(OUTPUT, **labels) == 100
        assert metrics.value("genai_llm_call_duration_seconds_count", **labels) == 1
        cost = metrics.value("genai_llm_cost_usd_total")
        assert cost == pytest.approx(1000 * 10e-6 + 0.01 + 100 * 40e-6, rel=0, abs=1e-9)
        assert metrics.value(IN_FLIGHT) == metrics.value(ESTIMATED) == 0
        assert metrics.faults() == {}

    def test_tokens(self, metrics: "Metrics") -> None:
        """Said by hand."""
        with llm_call(model="full") as call:
            call.tokens(input=10, output=8, cached_input=4, cache_write=3, reasoning=2)
        assert metrics.value(INPUT) == 10
        assert metrics.value(OUTPUT) == 8
        assert metrics.value("genai_llm_cache_read_input_tokens_total") == 4
        assert metrics.value("genai_llm_cache_write_input_tokens_total") == 3
        assert metrics.value("genai_llm_reasoning_output_tokens_total") == 2

    def test_model_of_the_response(self, metrics: "Metrics") -> None:
        """Only when none was given."""
        with llm_call() as call:
            call.usage(RESPONSE)
        with llm_call(model="mine") as call:
            call.usage(RESPONSE)
        assert metrics.value(CALLS, model="full") == metrics.value(CALLS, model="mine") == 1
        assert metrics.value(IN_FLIGHT, model="unknown") == metrics.value(IN_FLIGHT, model="mine") == 0

    def test_async(self, metrics: "Metrics") -> None:
        """The same around what is awaited."""

        async def main() -> None:
            async with llm_call(model="full") as call:
                await asyncio.sleep(0)
                call.usage(RESPONSE)

        asyncio.run(main())
        assert metrics.value(CALLS, outcome="success") == 1
        assert metrics.value(INPUT) == 1000

    def test_cost(self, metrics: "Metrics") -> None:
        """A given cost wins over the price table."""
        with llm_call(model="full") as call:
            call.usage(RESPONSE)
            call.cost(0.5)
        assert metrics.value("genai_llm_cost_usd_total") == metrics.value(
            "genai_llm_cost_usd_total", part="unattributed"
        )
        assert metrics.value("genai_llm_cost_usd_total") == 0.5

    def test_cached(self, metrics: "Metrics") -> None:
        """An answer from the response cache costs nothing and is no estimate."""
        with llm_call(model="full") as call:
            call.cached()
        with llm_call(model="full") as call:
            call.cached()
            call.usage(RESPONSE)
        assert metrics.value(CALLS, outcome="cached") == 2
        assert metrics.value("genai_llm_cost_usd_total") == metrics.value(INPUT) == metrics.value(ESTIMATED) == 0
        assert metrics.value("genai_llm_cost_saved_usd_total", by="response_cache") == pytest.approx(0.034, abs=1e-9)

    def test_same_object_twice(self, metrics: "Metrics") -> None:
        """One object, used again after its end, begins anew."""
        call = llm_call(model="full")
        with call:
            call.usage(RESPONSE)
        with call:
            call.tokens(input=1)
        assert metrics.value(CALLS) == 2
        assert metrics.value(INPUT) == 1001


class TestContext:
    """Mode and tenant."""

    def test_of_the_workflow(self, metrics: "Metrics") -> None:
        """Taken from the workflow around, unless given."""
        with workflow(mode="rag", tenant="acme"):
            with llm_call(model="a"):
                assert metrics.value(IN_FLIGHT, mode="rag") == 1
            with llm_call(model="b", mode="own", tenant="other"):
                pass
        assert metrics.value(CALLS, mode="rag", model="a") == metrics.value(CALLS, mode="own", model="b") == 1
        assert metrics.value("genai_tenant_requests_total", tenant="acme", mode="rag") == 1
        assert metrics.value("genai_tenant_requests_total", tenant="other", mode="own") == 1

    def test_of_the_beginning(self, metrics: "Metrics") -> None:
        """A stream that ends outside of the workflow belongs to it all the same."""
        with workflow(mode="rag", tenant="acme"), llm_call(model="a") as call:
            stream = call.stream(["x"])
        assert list(stream) == ["x"]
        assert metrics.value(CALLS, mode="rag") == metrics.value("genai_tenant_requests_total", tenant="acme") == 1


class Failure(Exception):
    """An exception with any attributes."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Unwilling(Exception):
    """Its status cannot be read."""

    @property
    def status_code(self) -> int:
        """Fail."""
        raise RuntimeError("no")


class TestErrors:
    """Exceptions go on unchanged and are counted by type."""

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ValueError("x"), "ValueError"),
            (Failure(status_code=429), "429"),
            (Failure(status=503), "503"),
            (Failure(code=500), "500"),
            (Failure(status_code=200), "Failure"),
            (Failure(status_code="429"), "Failure"),
            (Unwilling(), "Unwilling"),
            (KeyboardInterrupt(), "KeyboardInterrupt"),
            (asyncio.CancelledError(), "CancelledError"),
        ],
    )
    def test_type(self, metrics: "Metrics", error: BaseException, expected: str) -> None:
        """HTTP status, else class; no tokens, and no estimate of any."""
        with pytest.raises(type(error)) as raised, llm_call(model="full"):
            raise error
        assert raised.value is error
        assert error_type(error) == expected
        assert metrics.value(ERRORS, error_type=expected) == metrics.value(CALLS, outcome="error") == 1
        assert metrics.value(CALLS) == 1
        assert metrics.value(INPUT) == metrics.value(ESTIMATED) == metrics.value(IN_FLIGHT) == 0

    def test_closed_generator(self, metrics: "Metrics") -> None:
        """A consumer that stops a generator around the call has seen enough: that is no error."""

        def answers() -> Iterator[int]:
            with llm_call(model="full") as call:
                call.usage(RESPONSE)
                yield 1
                yield 2

        for _ in answers():
            break
        assert metrics.value(CALLS, outcome="success") == metrics.value(CALLS) == 1


class TestRetriesAndFallbacks:
    """What happened on the way."""

    def test_retries(self, metrics: "Metrics") -> None:
        """By reason, under the model of the call, which is one call."""
        with llm_call(model="full") as call:
            call.retry("429")
            call.retry("429")
            call.retry("timeout")
        assert metrics.value("genai_llm_retries_total", model="full", reason="429") == 2
        assert metrics.value("genai_llm_retries_total", model="full", reason="timeout") == 1
        assert metrics.value(CALLS) == 1

    def test_fallback(self, metrics: "Metrics") -> None:
        """The call goes on under the other model; earlier retries stay with the first."""
        with llm_call(model="full") as call:
            call.retry("429")
            call.fallback("gpt-4", "overloaded")
            assert metrics.value(IN_FLIGHT, model="full") == 0
            assert metrics.value(IN_FLIGHT, model="gpt-4") == 1
            call.usage(RESPONSE)
        labels = {"from_model": "full", "to_model": "gpt-4", "reason": "overloaded"}
        assert metrics.value("genai_llm_fallbacks_total", **labels) == 1
        assert metrics.value("genai_llm_retries_total", model="full") == 1
        assert metrics.value(CALLS, model="gpt-4") == metrics.value(CALLS) == 1
        assert metrics.value(IN_FLIGHT) == 0


class TestEstimates:
    """Calls that report no usage."""

    def test_texts(self, metrics: "Metrics") -> None:
        """Four characters are one token, rounded up."""
        with llm_call(model="full") as call:
            call.texts(request="x" * 40, answer="y" * 9)
        assert metrics.value(INPUT) == 10
        assert metrics.value(OUTPUT) == 3
        assert metrics.value(ESTIMATED, model="full") == 1

    def test_response_without_usage(self, metrics: "Metrics") -> None:
        """The answer's text is taken from the response."""
        with llm_call(model="full") as call:
            call.request({"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 8}]}]})
            call.usage({"choices": [{"message": {"content": "y" * 16}}]})
        assert metrics.value(INPUT) == 2
        assert metrics.value(OUTPUT) == 4
        assert metrics.value(ESTIMATED) == 1

    def test_token_counter(self, metrics: "Metrics") -> None:
        """The user's own counter is asked instead."""
        metrics.configure(token_counter=lambda model, text: len(model) * 100 + len(text))
        with llm_call(model="full") as call:
            call.texts(request="abc", answer="de")
        assert metrics.value(INPUT) == 403
        assert metrics.value(OUTPUT) == 402

    @pytest.mark.parametrize("answer", [None, -1, "7", float("nan"), 10**20, ZeroDivisionError])
    def test_broken_token_counter(self, metrics: "Metrics", answer: Any) -> None:
        """What it raises or returns is counted as a fault, and the default is used."""

        def counter(model: str, text: str) -> Any:
            if answer is ZeroDivisionError:
                raise answer
            return answer

        metrics.configure(token_counter=counter)
        with llm_call(model="full") as call:
            call.texts(request="x" * 40, answer="y" * 8)
        assert metrics.value(INPUT) == 10
        assert metrics.value(OUTPUT) == 2
        assert sum(metrics.faults().values()) == 2

    def test_reported_usage_wins(self, metrics: "Metrics") -> None:
        """Texts are needed only where nothing is reported."""
        with llm_call(model="full") as call:
            call.texts(request="x" * 40)
            call.usage(RESPONSE)
        assert metrics.value(INPUT) == 1000
        assert metrics.value(ESTIMATED) == 0


@pytest.mark.parametrize("bad", [None, 7, "text", object(), {"usage": object()}, {"usage": {"prompt_tokens": "a"}}])
def test_bad_responses(metrics: "Metrics", bad: object) -> None:
    """Whatever is given for a response, nothing is raised and the call counts."""
    with llm_call(model="full") as call:
        call.usage(bad)
        call.tokens(input=bad, output=bad)  # type: ignore[arg-type]
        call.retry(bad)  # type: ignore[arg-type]
        call.fallback(bad, bad)  # type: ignore[arg-type]
        call.cost(bad)  # type: ignore[arg-type]
    assert metrics.value(CALLS) == 1
    assert metrics.value(IN_FLIGHT) == 0
