"""Tests of what each argument of the public functions records."""

import inspect
import sys
from contextlib import suppress
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics import llm_call_in_flight, runtime, track_llm_call, track_llm_fallback
from genai_metrics.catalog import CALL_SECONDS

if TYPE_CHECKING:
    from conftest import Metrics

COST = "genai_llm_cost_usd_total"
SAVED = "genai_llm_cost_saved_usd_total"


def usd(expected: float) -> object:
    """Dollars equal to 1e-12."""
    return pytest.approx(expected, rel=0, abs=1e-12)


class TestExample:
    """The call that the documentation shows."""

    def call(self) -> None:
        """Record it as it is written there."""
        track_llm_call(
            mode="1",
            model="gpt-4",
            input_tokens=1000,
            output_tokens=500,
            cached=False,
            cost_per_1k_input=0.03,
            cost_per_1k_output=0.06,
        )

    @pytest.mark.parametrize("calls", [1, 2, 5])
    def test_costs_six_cents(self, metrics: "Metrics", calls: int) -> None:
        """Each call costs $0.06, half for input and half for output, on the first and on the hot path."""
        for _ in range(calls):
            self.call()
        assert metrics.value(COST, part="input") == usd(0.03 * calls)
        assert metrics.value(COST, part="output") == usd(0.03 * calls)
        assert metrics.value(COST) == usd(0.06 * calls)
        assert metrics.faults() == {}

    def test_labels(self, metrics: "Metrics") -> None:
        """What was not given has its default label."""
        self.call()
        expected = {"mode": "1", "provider": "unknown", "model": "gpt-4", "operation": "chat", "outcome": "success"}
        assert metrics.value("genai_llm_calls_total", **expected) == 1
        assert metrics.value("genai_llm_input_tokens_total", **expected) == 1000
        assert metrics.value("genai_llm_output_tokens_total", **expected) == 500


# (arguments, {(metric, labels): value}); the first call goes the long way, the second the hot path.
ARGUMENTS: list[tuple[dict[str, Any], dict[tuple[str, tuple[tuple[str, str], ...]], float]]] = [
    ({"mode": "rag"}, {("genai_llm_calls_total", (("mode", "rag"),)): 1}),
    ({"model": "full"}, {("genai_llm_calls_total", (("model", "full"),)): 1}),
    ({"provider": "acme"}, {("genai_llm_calls_total", (("provider", "acme"),)): 1}),
    ({"operation": "embeddings"}, {("genai_llm_calls_total", (("operation", "embeddings"),)): 1}),
    (
        {"tenant": "acme", "mode": "rag", "input_tokens": 3, "output_tokens": 4},
        {
            ("genai_tenant_requests_total", (("tenant", "acme"), ("mode", "rag"))): 1,
            ("genai_tenant_tokens_total", (("direction", "input"),)): 3,
            ("genai_tenant_tokens_total", (("direction", "output"),)): 4,
        },
    ),
    ({"tenant": None}, {("genai_tenant_requests_total", ()): 0}),
    (
        {"input_tokens": 10, "cached_input_tokens": 4, "cache_write_tokens": 3},
        {
            ("genai_llm_input_tokens_total", ()): 10,
            ("genai_llm_cache_read_input_tokens_total", ()): 4,
            ("genai_llm_cache_write_input_tokens_total", ()): 3,
        },
    ),
    (
        {"output_tokens": 10, "reasoning_tokens": 6},
        {("genai_llm_output_tokens_total", ()): 10, ("genai_llm_reasoning_output_tokens_total", ()): 6},
    ),
    (
        {"duration": 1.5},
        {("genai_llm_call_duration_seconds_count", ()): 1, ("genai_llm_call_duration_seconds_sum", ()): 1.5},
    ),
    ({"duration": None}, {("genai_llm_call_duration_seconds_count", ()): 0}),
    (
        {"duration": 0},
        {("genai_llm_call_duration_seconds_count", ()): 1, ("genai_llm_call_duration_seconds_sum", ()): 0},
    ),
    (
        {"time_to_first_token": 0.5},
        {
            ("genai_llm_time_to_first_token_seconds_sum", ()): 0.5,
            ("genai_llm_time_per_output_token_seconds_count", ()): 0,
        },
    ),
    (
        {"time_to_first_token": 0.5, "duration": 2.5, "output_tokens": 5},
        {
            ("genai_llm_time_to_first_token_seconds_count", ()): 1,
            ("genai_llm_time_per_output_token_seconds_count", ()): 1,
            ("genai_llm_time_per_output_token_seconds_sum", ()): 0.5,
        },
    ),
    (
        {"time_to_first_token": 0.5, "duration": 2.5, "output_tokens": 1},
        {("genai_llm_time_per_output_token_seconds_count", ()): 0},
    ),
    (
        {"error_type": "TimeoutError", "tenant": "a", "input_tokens": 5},
        {
            ("genai_llm_calls_total", (("outcome", "error"),)): 1,
            ("genai_llm_calls_total", (("outcome", "success"),)): 0,
            ("genai_llm_errors_total", (("error_type", "TimeoutError"),)): 1,
            ("genai_tenant_errors_total", (("tenant", "a"),)): 1,
            ("genai_llm_input_tokens_total", (("outcome", "error"),)): 5,
        },
    ),
    (
        {"retries": 2, "retry_reason": "429"},
        {("genai_llm_retries_total", (("reason", "429"),)): 2, ("genai_llm_calls_total", ()): 1},
    ),
    ({"retries": 1}, {("genai_llm_retries_total", (("reason", "unspecified"),)): 1}),
    ({"retries": 0, "retry_reason": "429"}, {("genai_llm_retries_total", ()): 0}),
    (
        {"estimated": True, "model": "full", "provider": "acme"},
        {("genai_llm_estimated_usage_calls_total", (("model", "full"), ("provider", "acme"))): 1},
    ),
    (
        {"cached": True, "input_tokens": 10, "output_tokens": 10, "tenant": "a"},
        {
            ("genai_llm_calls_total", (("outcome", "cached"),)): 1,
            ("genai_llm_input_tokens_total", ()): 0,
            ("genai_llm_output_tokens_total", ()): 0,
            ("genai_tenant_requests_total", ()): 1,
            ("genai_tenant_tokens_total", ()): 0,
        },
    ),
    ({"input_tokens": 2.5}, {("genai_llm_input_tokens_total", ()): 2.5}),
    ({"input_tokens": None, "output_tokens": None}, {("genai_llm_calls_total", ()): 1}),
]


class TestArguments:
    """Every argument ends in the series that it should."""

    @pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
    @pytest.mark.parametrize(("arguments", "expected"), ARGUMENTS, ids=[str(a) for a, _ in ARGUMENTS])
    def test_recorded(self, metrics: "Metrics", arguments: dict[str, Any], expected: Any, files: bool) -> None:
        """Three calls, the first by the long way, count three times; nothing is counted as a fault."""
        if files:
            metrics.configure(files=True)
        read = metrics.stored if files else metrics.value
        for calls in (1, 2, 3):
            track_llm_call(**({"model": "gpt-4"} | arguments))
            for (name, labels), value in expected.items():
                assert read(name, **dict(labels)) == value * calls, (name, labels)
        assert metrics.faults() == {}

    @pytest.mark.parametrize("seconds", [0.0, 0.05, 0.0500001, 320.0, 321.0])
    def test_buckets(self, metrics: "Metrics", seconds: float) -> None:
        """A duration falls into the first bucket whose bound is not below it, else into +Inf."""
        for _ in range(2):
            track_llm_call(duration=seconds)
        block = next(b for b in runtime.recorder().blocks() if b.kind.name == "llm_call")
        first = block.kind.offset("genai_llm_call_duration_seconds")
        bounds = (*CALL_SECONDS, float("inf"))
        expected = [
            2.0 if i == next(j for j, b in enumerate(bounds) if seconds <= b) else 0.0 for i in range(len(bounds))
        ]
        assert block.read()[first : first + len(bounds)] == expected

    def test_text_enumerations_are_their_text(self, metrics: "Metrics") -> None:
        """Members of both kinds of text enumerations are recorded as their text, without a fault."""

        class Mode(StrEnum):
            RAG = "rag"

        class Model(str, Enum):  # noqa: UP042  # the older kind, whose str() is "Model.FULL"
            FULL = "full"

        for _ in range(3):
            track_llm_call(mode=Mode.RAG, model=Model.FULL, tenant=Mode.RAG, input_tokens=1)
        assert metrics.value("genai_llm_calls_total", mode="rag", model="full") == 3
        assert metrics.value("genai_tenant_requests_total", mode="rag", tenant="rag") == 3
        assert metrics.faults() == {}


class TestOtherRecords:
    """Fallbacks and calls in flight."""

    def test_fallback(self, metrics: "Metrics") -> None:
        """A fallback counts under both models and the reason."""
        for _ in range(2):
            track_llm_fallback(from_model="a", to_model="b", reason="429")
        assert metrics.value("genai_llm_fallbacks_total", from_model="a", to_model="b", reason="429") == 2

    def test_in_flight(self, metrics: "Metrics") -> None:
        """The gauge rises and falls with the block, also when that raises."""
        gauge = "genai_llm_calls_in_flight"
        with llm_call_in_flight(mode="m", model="gpt-4"):
            with suppress(KeyError), llm_call_in_flight(mode="m", model="gpt-4"):
                assert metrics.value(gauge, mode="m", model="gpt-4") == 2
                raise KeyError
            assert metrics.value(gauge) == 1
        assert metrics.value(gauge) == 0

    def test_tenants_add_up_to_models(self, metrics: "Metrics") -> None:
        """Calls, tokens, cost and savings of all tenants are those of all models."""
        for i in range(400):
            track_llm_call(
                mode=f"m{i % 3}",
                model=("gpt-4", "full", "tiered", "unheard-of")[i % 4],
                tenant=f"t{i % 7}",
                input_tokens=10 * i,
                cached_input_tokens=i,
                output_tokens=i,
                cached=i % 5 == 0,
                cost_usd=0.5 if i % 11 == 0 else None,
                error_type="500" if i % 13 == 0 else None,
            )
        for of_tenants, of_models in (
            ("genai_tenant_requests_total", "genai_llm_calls_total"),
            ("genai_tenant_cost_usd_total", COST),
            ("genai_tenant_cost_saved_usd_total", SAVED),
            ("genai_tenant_errors_total", "genai_llm_errors_total"),
        ):
            assert metrics.value(of_tenants) == pytest.approx(metrics.value(of_models), rel=1e-12) != 0
        assert metrics.value("genai_tenant_tokens_total", direction="input") == metrics.value(
            "genai_llm_input_tokens_total"
        )


def test_deep_recursion_is_survived(metrics: "Metrics") -> None:
    """At any distance from the recursion limit a call that can begin returns, and the application goes on."""
    reached: list[int] = []
    returned: list[int] = []
    depth = len(inspect.stack())

    def nothing() -> None:
        pass

    def descend(frames: int) -> None:
        if frames:
            descend(frames - 1)
            return
        nothing()
        reached.append(limit)
        track_llm_call(model=object(), tenant="t", duration=-1)  # type: ignore[arg-type]
        returned.append(limit)

    before = sys.getrecursionlimit()
    try:
        for limit in range(depth + 205, depth + 300):
            sys.setrecursionlimit(limit)
            with suppress(RecursionError):
                descend(200)
    finally:
        sys.setrecursionlimit(before)
    assert reached == returned
    assert 40 < len(reached) < 95, "the range of limits does not include the interesting ones"
