"""Tests of label values: what they become, and how many there can be."""

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_metrics import track_llm_call
from genai_metrics.catalog import OVERFLOW
from genai_metrics.labels import MAX_LABEL_CHARS, LabelCaps, clean, described, is_unchanged

if TYPE_CHECKING:
    from conftest import Metrics

ANY = st.one_of(
    st.text(st.characters(exclude_categories=())), st.binary(), st.integers(), st.floats(), st.none(), st.booleans()
)


class TestClean:
    """One value; see test_bad_input for the table of bad ones."""

    @given(ANY)
    def test_always_usable(self, value: object) -> None:
        """Whatever goes in, short text without control characters and lone surrogates comes out."""
        text, was_clean = clean(value)
        assert type(text) is str
        assert 0 < len(text) <= MAX_LABEL_CHARS
        assert "\0" not in text
        assert "\n" not in text
        text.encode()
        assert was_clean == (text == value)

    @given(ANY)
    def test_clean_text_stays(self, value: object) -> None:
        """What was made clean is clean."""
        text, _ = clean(value)
        assert clean(text) == (text, True)

    @pytest.mark.parametrize("text", ["gpt-4", "модель", "模型", "a b", "a\u00a0b", "🙂", "x" * 128, "\u2028", '"\\{}'])
    def test_ordinary_text(self, text: str) -> None:
        """Text of any language is left alone."""
        assert clean(text) == (text, True)


class TestIsUnchanged:
    """Whether the user's values are the very text of the key."""

    @pytest.mark.parametrize(
        ("given", "expected"), [(("a", "b"), True), (("a", "c"), False), (("a", None), False), (("a", b"b"), False)]
    )
    def test_compares_text(self, given: tuple[object, ...], expected: bool) -> None:
        """Only equal text is unchanged."""
        assert is_unchanged(given, ("a", "b")) is expected

    def test_runs_no_foreign_comparison(self) -> None:
        """A subclass that claims to equal everything does not."""

        class Liar(str):
            def __eq__(self, _: object) -> bool:
                return True

            __hash__ = str.__hash__

        assert not is_unchanged((Liar("x"),), ("a",))
        assert is_unchanged((Liar("a"),), ("a",))


@given(ANY)
def test_descriptions_are_short(value: object) -> None:
    """A log line never holds more than the beginning of a value."""
    assert 0 < len(described(value)) < 1000


class TestCaps:
    """At most so many values for a label."""

    def test_first_come(self) -> None:
        """The first values are admitted for ever, later ones are reported and become one, once a record."""
        reported: list[str] = []
        caps = LabelCaps({"a": 2, "b": 1}, reported.append)
        assert [caps.admit("a", value) for value in "xyzxyz"] == ["x", "y", OVERFLOW, "x", "y", OVERFLOW]
        assert caps.admit("b", "z") == "z"
        assert reported == ["a", "a"]

    def test_label_without_a_cap(self) -> None:
        """Other labels are not limited."""
        caps = LabelCaps({}, pytest.fail)
        assert [caps.admit("a", str(i)) for i in range(100)] == [str(i) for i in range(100)]

    def test_overflow_itself(self) -> None:
        """The value for all others takes no place and is not reported."""
        caps = LabelCaps({"a": 1}, pytest.fail)
        assert caps.admit("a", OVERFLOW) == OVERFLOW
        assert caps.admit("a", "x") == "x"

    def test_threads(self) -> None:
        """However many threads come at once, no more values are admitted."""
        caps = LabelCaps({"a": 50}, lambda _: None)
        start = threading.Barrier(8)
        admitted: list[str] = []

        def work(number: int) -> None:
            start.wait()
            admitted.extend(caps.admit("a", f"{(i * 7 + number) % 400}") for i in range(2000))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(admitted) - {OVERFLOW}) == 50


class TestRecordsBeyondTheCap:
    """What the numbers are when a label has too many values."""

    @pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
    def test_five_thousand_tenants(self, metrics: "Metrics", files: bool) -> None:
        """With a cap of 100 there are 101 tenants, and their sums are those of the models, to the last call."""
        metrics.configure(files=files, label_caps={"tenant": 100})
        for i in range(10_000):
            track_llm_call(
                model="gpt-4", tenant=f"tenant {i % 5000}", input_tokens=i, output_tokens=1, cached=i % 10 == 0
            )
        read = metrics.stored if files else metrics.value
        assert read("genai_tenant_requests_total") == read("genai_llm_calls_total") == 10_000
        assert read("genai_tenant_requests_total", tenant=OVERFLOW) == 9_800
        assert read("genai_tenant_requests_total", tenant="tenant 99") == 2
        assert read("genai_tenant_requests_total", tenant="tenant 100") == 0
        assert read("genai_tenant_tokens_total", direction="input") == read("genai_llm_input_tokens_total")
        assert read("genai_tenant_cost_usd_total") == pytest.approx(read("genai_llm_cost_usd_total"), rel=1e-12)
        assert read("genai_tenant_cost_saved_usd_total") == pytest.approx(read("genai_llm_cost_saved_usd_total"))
        assert read("genai_label_overflow_total", label="tenant") == read("genai_label_overflow_total") == 9_800

    def test_counted_once_a_record(self, metrics: "Metrics") -> None:
        """A model and a mode beyond their caps count once each, however many series a call has."""
        metrics.configure(label_caps={"mode": 1, "model": 1})
        track_llm_call(mode="a", model="a", tenant="t", input_tokens=1)
        for calls in (1, 2, 3):
            track_llm_call(
                mode="b", model="b", tenant="t", input_tokens=1, time_to_first_token=1.0, error_type="429", retries=1
            )
            assert metrics.value("genai_label_overflow_total", label="model") == calls
            assert metrics.value("genai_label_overflow_total", label="mode") == calls
        assert metrics.value("genai_llm_calls_total", mode=OVERFLOW, model=OVERFLOW) == 3
        assert metrics.value("genai_llm_unpriced_calls_total", model=OVERFLOW) == 3
        assert metrics.value("genai_tenant_requests_total", mode=OVERFLOW) == 3

    def test_user_text_that_looks_like_the_overflow(self, metrics: "Metrics") -> None:
        """A tenant called __other__ shares the series of all others; that is no overflow."""
        metrics.configure(label_caps={"tenant": 1})
        for _ in range(2):
            track_llm_call(tenant=OVERFLOW)
        assert metrics.value("genai_tenant_requests_total", tenant=OVERFLOW) == 2
        assert metrics.value("genai_label_overflow_total") == 0
