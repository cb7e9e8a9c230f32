"""Tests of the sums: exact, and independent of order."""

from array import array
from fractions import Fraction
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_exporter import totals as totals_module
from genai_exporter.totals import Total, Totals, exact_sum
from genai_metrics.catalog import DEPENDENCY, LLM_FALLBACK, OVERFLOW, TENANT, TENANT_REQUESTS
from genai_metrics.exposition import label_text

AMOUNTS = st.floats(min_value=0, max_value=1e12)
PAIRS = st.lists(st.tuples(AMOUNTS, AMOUNTS).map(lambda pair: array("d", pair)), min_size=1, max_size=12)


class TestExactSum:
    """What an archive keeps of many vectors."""

    @given(PAIRS)
    def test_loses_nothing(self, parts: list["array[float]"]) -> None:
        """The vectors have the sum of the parts to the last bit, in rational arithmetic, and there are few."""
        vectors = exact_sum(parts)
        for slot in range(2):
            expected = sum(Fraction(part[slot]) for part in parts)
            assert expected == sum(Fraction(vector[slot]) for vector in vectors)
        assert len(vectors) <= 3 or len(vectors) <= len(parts)

    @given(PAIRS)
    def test_begins_with_the_rounded_sum(self, parts: list["array[float]"]) -> None:
        """The first vector is the sum as nearly as a double can say it."""
        assert [fsum(column) for column in zip(*parts, strict=True)] == list(exact_sum(parts)[0])

    def test_whole_numbers_take_one_vector(self) -> None:
        """Counts of calls and tokens need no second vector, so archives do not grow for them."""
        assert exact_sum([array("d", [float(2**40 + i), 3.0]) for i in range(50)]) == [
            array("d", [50.0 * 2**40 + sum(range(50)), 150.0])
        ]


class TestTotal:
    """One series group."""

    def test_the_order_of_parts_does_not_matter(self) -> None:
        """0.1 + 0.2 + 0.3 is the same number from every side."""
        sums = set()
        for order in ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), (0.2, 0.3, 0.1)):
            total = Total(TENANT_REQUESTS, "s", b"t\0m")
            for value in order:
                total.add(array("d", [value]), 1)
            sums.add(total.values()[0])
        assert len(sums) == 1

    def test_a_new_round_starts_afresh(self) -> None:
        """What the last round added is gone, what a rendering took of it stays."""
        total = Total(TENANT_REQUESTS, "s", b"t\0m")
        for value in (1.0, 2.0):
            total.add(array("d", [value]), 1)
        taken = total.values()
        total.add(array("d", [5.0]), 2)
        assert list(total.values()) == [5.0]
        assert list(taken) == [3.0]
        assert total.was_added_in(2)
        assert not total.was_added_in(3)

    def test_the_last_word_is_no_sum(self) -> None:
        """Kinds that merge by time take what a living process said last."""
        total = Total(DEPENDENCY, "s", b"redis")
        for value, said_at in ((1.0, 20.0), (0.0, 30.0), (1.0, 10.0)):
            total.add(array("d", [value, said_at]), 1)
        assert list(total.values()) == [0.0, 30.0]

    def test_without_parts_it_is_zero(self) -> None:
        """A series known from the record alone has all its slots."""
        assert [0.0] * TENANT.slots == list(Total(TENANT, "s", b"t").values())


class TestTotals:
    """Keys, caps and order."""

    def test_same_key_same_total(self) -> None:
        """One total for each service, kind and key."""
        totals = Totals({})
        first = totals.find(TENANT, "s", b"acme")
        assert first is totals.find(TENANT, "s", b"acme")
        assert first is not totals.find(TENANT, "other", b"acme")
        assert len(totals.take_new()) == 2
        assert totals.take_new() == []

    def test_a_key_that_does_not_fit_is_not_guessed(self) -> None:
        """A key with too few or too many label values has no total."""
        totals = Totals({})
        assert totals.find(TENANT_REQUESTS, "s", b"acme") is None
        assert totals.find(TENANT, "s", b"acme\0chat") is None
        assert totals.take_new() == []

    def test_caps_hold_per_service_and_label(self) -> None:
        """The first values stay, later ones are merged and counted once each; another service has its own cap."""
        totals = Totals({"tenant": 2})
        for tenant in (b"a", b"b", b"c", b"d", b"c", b"a"):
            totals.find(TENANT, "s", tenant)
            totals.find(TENANT_REQUESTS, "s", tenant + b"\0chat")
        totals.find(TENANT, "other", b"c")
        assert totals.merged_values() == {("s", "tenant"): 2}
        names = [total.name for total in totals.take_new() if total.kind is TENANT]
        overflow = OVERFLOW.encode()
        assert names == [("s", "tenant", key) for key in (b"a", b"b", overflow)] + [("other", "tenant", b"c")]

    def test_what_is_merged_already_takes_no_place(self) -> None:
        """``__other__`` from a process's own cap is not a value of its own."""
        totals = Totals({"tenant": 1})
        totals.find(TENANT, "s", OVERFLOW.encode())
        first = totals.find(TENANT, "s", b"a")
        assert first is not None
        assert first.labels == label_text("s", ("tenant",), ("a",))
        assert totals.merged_values() == {}

    def test_in_order_of_labels(self) -> None:
        """Whatever the order of files, the output is sorted."""
        totals = Totals({})
        for key in (b"c\0d\0e", b"a\0x\0y", b"b\0b\0b"):
            totals.find(LLM_FALLBACK, "s", key)
            totals.take_new()
        ((kind, ordered),) = totals.by_kind()
        assert kind is LLM_FALLBACK
        assert [total.key for total in ordered] == [b"a\0x\0y", b"b\0b\0b", b"c\0d\0e"]

    def test_merged_values_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However many values are merged, only so many are remembered, and all are merged."""
        monkeypatch.setattr(totals_module, "MOST_MERGED_VALUES", 3)
        totals = Totals({"tenant": 1})
        keys = {totals.find(TENANT, "s", f"t{i}".encode()).key for i in range(10)}  # type: ignore[union-attr]
        assert keys == {b"t0", OVERFLOW.encode()}
        assert totals.merged_values() == {("s", "tenant"): 3}
