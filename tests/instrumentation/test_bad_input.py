"""Tests that bad arguments are counted, told once, and never harm the application or the rest of the call."""

import logging
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import llm_call_in_flight, track_llm_call, track_llm_fallback

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"


class HostileError(Exception):
    """Raised by everything that the objects below do."""


def _fail(*_: object, **__: object) -> Any:
    raise HostileError


def hostile(base: type, *methods: str) -> Any:
    """Return an instance of a subclass of ``base`` whose ``methods`` raise."""
    made = type(f"Hostile{base.__name__}", (base,), dict.fromkeys(methods, _fail))
    return made("7") if base is str else made(7) if base in (int, float) else made()


ARITHMETIC = ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__")
COMPARISON = ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__")
OTHER = ("__hash__", "__bool__", "__str__", "__repr__", "__format__", "__len__", "__iter__", "__getitem__", "__neg__")
EVERYTHING = (*ARITHMETIC, *COMPARISON, *OTHER, "__float__", "__int__", "__index__")

NUMBERS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "duration",
    "time_to_first_token",
    "cost_usd",
    "cost_per_1k_input",
    "cost_per_1k_output",
    "retries",
)
LABELS = ("mode", "model", "provider", "operation", "tenant", "error_type")
FLAGS = ("cached", "estimated")

BAD_NUMBERS: list[Any] = [
    -1,
    -1e-9,
    float("nan"),
    float("inf"),
    float("-inf"),
    10**13,
    10**400,
    10**5000,
    "12",
    "",
    b"12",
    bytearray(b"1"),
    [],
    [1],
    {},
    1j,
    Decimal("NaN"),
    Decimal("-1"),
    object(),
    hostile(object, *EVERYTHING),
    hostile(object, "__float__", "__repr__"),
    hostile(str, *EVERYTHING),
]
# Unusual, but numbers.
GOOD_NUMBERS: list[Any] = [
    True,
    Decimal(1),
    Fraction(1, 1),
    hostile(int, "__radd__", "__lt__", "__eq__", "__hash__", "__str__", "__repr__", "__bool__"),
    hostile(float, "__radd__", "__add__", "__bool__", "__rmul__"),
    hostile(float, "__lt__", "__ge__", "__str__", "__repr__", "__hash__", "__eq__"),
]
BAD_LABELS: list[tuple[Any, str]] = [
    ("", "unknown"),
    (b"gpt\xff", "gpt\ufffd"),
    ("x" * 129, "x" * 128),
    ("x" * 10_000_000, "x" * 128),
    ("a\x00b", "a\ufffdb"),
    ("a\nb\x7f\x85", "a\ufffdb\ufffd\ufffd"),
    ("\ud800", "\ufffd"),
    (3, "3"),
    (1.5, "1.5"),
    (True, "True"),
    ([], "[]"),
    (10**5000, "unknown"),
    (object(), "unknown"),
    (lambda: None, "unknown"),
    (hostile(object, *EVERYTHING), "unknown"),
    (hostile(object, "__str__"), "unknown"),
    (hostile(object, "__eq__", "__hash__"), "unknown"),
    (hostile(object, "__repr__"), "unknown"),
]


def ids(value: object) -> str:
    """Name of a parameter, also of one that has no ``repr``."""
    short = type(value) in (str, bytes, float) and len(repr(value)) < 20
    return repr(value) if short else type(value).__name__


def warned(caplog: pytest.LogCaptureFixture, reason: str) -> list[str]:
    """Messages that were logged for ``reason``."""
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    return [message for message in messages if f"({reason};" in message]


class TestNumbers:
    """Numbers that are none, or cannot be."""

    @pytest.mark.parametrize("bad", BAD_NUMBERS, ids=ids)
    @pytest.mark.parametrize("name", NUMBERS)
    def test_left_out(self, metrics: "Metrics", caplog: pytest.LogCaptureFixture, name: str, bad: Any) -> None:
        """Each time the fault is counted, the first is logged, and the rest of the call is recorded."""
        rest: dict[str, Any] = {"output_tokens": 5} if name != "output_tokens" else {"input_tokens": 5}
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", tenant="t", **{**rest, name: bad})
            assert metrics.value(CALLS) == calls
            assert metrics.value("genai_tenant_requests_total") == calls
            assert metrics.value("genai_tenant_tokens_total") == 5 * calls
            assert metrics.faults().pop("bad_number") == calls
        assert len(warned(caplog, "bad_number")) == 1
        assert name in warned(caplog, "bad_number")[0]
        assert len(warned(caplog, "bad_number")[0]) < 400

    @pytest.mark.parametrize("good", GOOD_NUMBERS, ids=ids)
    @pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "retries", "duration"])
    def test_foreign_numbers_count(self, metrics: "Metrics", name: str, good: Any) -> None:
        """Booleans, decimals, fractions and subclasses are the numbers that they stand for."""
        expected = float(good)
        metric = {
            "input_tokens": "genai_llm_input_tokens_total",
            "output_tokens": "genai_llm_output_tokens_total",
            "retries": "genai_llm_retries_total",
            "duration": "genai_llm_call_duration_seconds_sum",
        }[name]
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", **{name: good})
            assert metrics.value(metric) == expected * calls
            assert metrics.value(CALLS) == calls
        assert metrics.faults() == {}

    @pytest.mark.parametrize("good", GOOD_NUMBERS, ids=ids)
    @pytest.mark.parametrize("name", ["cached_input_tokens", "cache_write_tokens", "reasoning_tokens"])
    def test_foreign_parts_count(self, metrics: "Metrics", name: str, good: Any) -> None:
        """The same for parts of the tokens, which the hot path adds up under the lock: no call counts twice."""
        for calls in (1, 2, 3):
            track_llm_call(model="full", input_tokens=100, output_tokens=100, **{name: good})
            assert metrics.value(CALLS) == calls
            assert metrics.value("genai_llm_input_tokens_total") == 100 * calls
            assert metrics.value(f"genai_llm_{_of(name)}_total") == float(good) * calls
        assert metrics.faults() == {}

    @pytest.mark.parametrize(
        "arguments",
        [
            {"cached_input_tokens": 10, "input_tokens": 9},
            {"cache_write_tokens": 5, "cached_input_tokens": 5, "input_tokens": 9},
            {"reasoning_tokens": 2, "output_tokens": 1},
        ],
    )
    def test_inconsistent_tokens(self, metrics: "Metrics", arguments: dict[str, Any]) -> None:
        """Parts that exceed the whole are a fault; the parts are taken for the whole."""
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", **arguments)
            assert metrics.faults() == {"inconsistent_tokens": calls}
            assert metrics.value(CALLS) == calls
        whole = metrics.value("genai_llm_input_tokens_total") + metrics.value("genai_llm_output_tokens_total")
        assert whole == 3 * sum(v for k, v in arguments.items() if k not in ("input_tokens", "output_tokens"))

    def test_inconsistent_times(self, metrics: "Metrics") -> None:
        """A first token after the end is a fault; both times are recorded, none per token."""
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", duration=1.0, time_to_first_token=2.0, output_tokens=10)
            assert metrics.faults() == {"inconsistent_times": calls}
            assert metrics.value("genai_llm_time_to_first_token_seconds_count") == calls
            assert metrics.value("genai_llm_call_duration_seconds_count") == calls
            assert metrics.value("genai_llm_time_per_output_token_seconds_count") == 0

    @pytest.mark.parametrize("rates", [{"cost_per_1k_input": 1.0}, {"cost_per_1k_output": 1.0}])
    def test_incomplete_rates(self, metrics: "Metrics", rates: dict[str, Any]) -> None:
        """One rate of two is a fault, and the price table is used."""
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", input_tokens=1000, output_tokens=1000, **rates)
            assert metrics.faults() == {"incomplete_rates": calls}
            assert metrics.value("genai_llm_cost_usd_total") == pytest.approx(0.09 * calls)

    def test_one_rate_is_enough_for_one_kind_of_tokens(self, metrics: "Metrics") -> None:
        """Embeddings have no output: the input rate is all that is needed."""
        for calls in (1, 2):
            track_llm_call(model="gpt-4", input_tokens=1000, cost_per_1k_input=0.5)
            assert metrics.value("genai_llm_cost_usd_total") == 0.5 * calls
        assert metrics.faults() == {}


class TestLabels:
    """Label values that are not short, printable text."""

    @pytest.mark.parametrize(("bad", "expected"), BAD_LABELS, ids=ids)
    @pytest.mark.parametrize("name", LABELS)
    def test_made_usable(
        self, metrics: "Metrics", caplog: pytest.LogCaptureFixture, name: str, bad: Any, expected: str
    ) -> None:
        """Each call is recorded under a value made of the bad one, the fault counted once a call and logged once."""
        metric = {"tenant": "genai_tenant_requests_total", "error_type": "genai_llm_errors_total"}.get(name, CALLS)
        for calls in (1, 2, 3):
            track_llm_call(**{"model": "gpt-4", "tenant": "t", "input_tokens": 5, name: bad})
            assert metrics.value(metric, **{name: expected}) == calls
            assert metrics.value(CALLS) == calls
            assert metrics.value("genai_llm_input_tokens_total") == 5 * calls
            assert metrics.faults() == {"bad_label": calls}
        assert len(warned(caplog, "bad_label")) == 1
        assert len(warned(caplog, "bad_label")[0]) < 500

    @pytest.mark.parametrize("name", ["model", "provider", "operation"])
    def test_none_is_unknown(self, metrics: "Metrics", name: str) -> None:
        """``None`` where a label is required becomes ``unknown`` and counts as a fault."""
        nothing: dict[str, Any] = {name: None}
        track_llm_call(**nothing)
        assert metrics.value(CALLS, **{name: "unknown"}) == 1
        assert metrics.faults() == {"bad_label": 1}

    def test_hostile_subclass_of_text_is_its_text(self, metrics: "Metrics") -> None:
        """Whatever a subclass of ``str`` does, its characters count."""
        for calls in (1, 2, 3):
            track_llm_call(model=hostile(str, *EVERYTHING))
            assert metrics.value(CALLS, model="7") == calls
        assert metrics.faults() == {}

    def test_other_functions(self, metrics: "Metrics") -> None:
        """Fallbacks and calls in flight take hostile labels as well."""
        bad = hostile(object, *EVERYTHING)
        track_llm_fallback(from_model=bad, to_model=bad, reason=bad)
        with llm_call_in_flight(mode=bad, model=bad):
            assert metrics.value("genai_llm_calls_in_flight", mode="unknown") == 1
        assert metrics.value("genai_llm_fallbacks_total", reason="unknown") == 1
        assert metrics.value("genai_llm_calls_in_flight") == 0


class TestFlags:
    """``cached`` and ``estimated``."""

    @pytest.mark.parametrize("bad", ["true", "false", b"no", hostile(object, *EVERYTHING)], ids=ids)
    @pytest.mark.parametrize("name", FLAGS)
    def test_taken_for_false(self, metrics: "Metrics", name: str, bad: Any) -> None:
        """Text and what has no truth value is a fault and false: a cost must not vanish by mistake."""
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", input_tokens=1000, **{name: bad})
            assert metrics.value(CALLS, outcome="success") == calls
            assert metrics.value("genai_llm_estimated_usage_calls_total") == 0
            assert metrics.faults() == {"bad_flag": calls}

    @pytest.mark.parametrize("flag", [1, 1.0, True, 0, 0.0, None, "", b""])
    def test_truth(self, metrics: "Metrics", flag: Any) -> None:
        """Other values are as true as Python takes them."""
        for calls in (1, 2, 3):
            track_llm_call(model="gpt-4", cached=flag, estimated=flag)
            assert metrics.value(CALLS, outcome="cached") == (calls if flag else 0)
            assert metrics.value("genai_llm_estimated_usage_calls_total") == (calls if flag else 0)
        assert metrics.faults() == {}


class TestApplication:
    """What the application notices: nothing."""

    def test_log_handler_that_raises(self, metrics: "Metrics") -> None:
        """An application's log filter that fails neither reaches the caller nor costs the call."""
        logger = logging.getLogger("genai_metrics")
        logger.addFilter(_fail)
        try:
            track_llm_call(model=None, duration=-1)  # type: ignore[arg-type]
        finally:
            logger.removeFilter(_fail)
        assert metrics.value(CALLS) == 1
        assert metrics.faults() == {"bad_label": 1, "bad_number": 1}

    def test_internal_fault_is_counted(
        self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A bug of our own is counted and logged, not raised."""
        monkeypatch.setattr("genai_metrics.tracking.record_unusual", _fail)
        track_llm_call(model="gpt-4")
        track_llm_call(model="gpt-4")
        assert metrics.faults() == {"internal": 2}
        assert len(warned(caplog, "internal")) == 1


def _of(argument: str) -> str:
    """Middle of the name of the metric that a part of the tokens ends in."""
    return {
        "cached_input_tokens": "cache_read_input_tokens",
        "cache_write_tokens": "cache_write_input_tokens",
        "reasoning_tokens": "reasoning_output_tokens",
    }[argument]


SPECIAL = BAD_NUMBERS + GOOD_NUMBERS + [value for value, _ in BAD_LABELS]


@dataclass(frozen=True)
class Special:
    """Stands for one of ``SPECIAL``, which hypothesis could not print."""

    index: int


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.decimals(),
    st.integers(0, len(SPECIAL) - 1).map(Special),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arguments=st.dictionaries(st.sampled_from((*NUMBERS, *LABELS, *FLAGS, "retry_reason")), ANYTHING))
def test_one_call_whatever_the_arguments(metrics: "Metrics", arguments: dict[str, Any]) -> None:
    """No argument makes the function raise, and every call counts exactly once, first or repeated."""
    arguments = {name: SPECIAL[v.index] if type(v) is Special else v for name, v in arguments.items()}
    for _ in range(2):
        before = metrics.value(CALLS), metrics.value("genai_tenant_requests_total")
        track_llm_call(**arguments)
        assert metrics.value(CALLS) == before[0] + 1
        tenants = 0 if arguments.get("tenant") is None else 1
        assert metrics.value("genai_tenant_requests_total") == before[1] + tenants
    assert "internal" not in metrics.faults()
