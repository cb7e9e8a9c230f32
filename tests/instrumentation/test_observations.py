"""Tests of single records: finding blocks, histograms, gauges, and what threads and configure() do to them."""

import threading
import time
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import observations
from genai_metrics.catalog import (
    BLOCK_KINDS,
    CACHE,
    DEPENDENCY,
    FEEDBACK,
    OPERATION,
    OPERATION_SECONDS,
    QUEUE_LENGTH,
    WARNING,
    BlockKind,
)
from genai_metrics.observations import count, find, observe, set_gauge, split_slot

if TYPE_CHECKING:
    from conftest import Metrics


class TestFind:
    """From labels to the block."""

    def test_same_block_each_time(self, metrics: "Metrics") -> None:
        """Clean labels take the fast way from the second time on."""
        block = find(WARNING, ("1", "slow"))
        assert find(WARNING, ("1", "slow")) is block
        assert (WARNING, ("1", "slow")) in observations._found

    def test_labels_that_had_to_be_changed_are_counted_each_time(self, metrics: "Metrics") -> None:
        """They never get into the fast way, where nobody would count them."""
        for _ in range(3):
            assert find(WARNING, ("1", "a\nb")).key == ("1", "a\ufffdb")
        assert metrics.faults() == {"bad_label": 3}

    def test_labels_over_the_cap_are_counted_each_time(self, metrics: "Metrics") -> None:
        """So that the overflow is a number of records."""
        metrics.configure(label_caps={"kind": 1})
        for kind in ("a", "b", "c", "b"):
            count(WARNING, ("1", kind))
        assert metrics.value("genai_warnings_total", kind="__other__") == 3
        assert metrics.value("genai_label_overflow_total", label="kind") == 3

    @pytest.mark.parametrize("labels", [({}, "x"), ([1], "x"), (None, "x"), (b"1", "x"), (1, "x")])
    def test_labels_of_any_type(self, metrics: "Metrics", labels: tuple[Any, ...]) -> None:
        """Unhashable ones too."""
        count(WARNING, labels)
        assert metrics.value("genai_warnings_total", kind="x") == 1
        assert metrics.faults() == {"bad_label": 1}

    def test_configure_forgets(self, metrics: "Metrics") -> None:
        """What is recorded afterwards goes where configure() said, and nothing is lost."""
        count(WARNING, ("1", "slow"))
        metrics.configure(files=True)
        count(WARNING, ("1", "slow"))
        assert metrics.stored("genai_warnings_total", kind="slow") == 2

    def test_configure_beside_threads(self, metrics: "Metrics") -> None:
        """Blocks found while the recorder changes are not kept: every addition arrives."""
        stop = threading.Event()
        made = [0] * 4

        def work(index: int) -> None:
            while not stop.is_set():
                count(WARNING, ("1", "slow"))
                made[index] += 1

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(100):
                metrics.configure(label_caps={"kind": 100 + number})
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert metrics.value("genai_warnings_total") == sum(made)


class TestObserve:
    """Into the right bucket."""

    @given(value=st.floats(0, 1e11))
    @settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_bucket_and_sum(self, metrics: "Metrics", value: float) -> None:
        """Upper bounds belong to their bucket, as Prometheus wants it."""
        metrics.restart()
        metrics.configure()
        observe(OPERATION, ("x", "success"), value, name="duration")
        values = find(OPERATION, ("x", "success")).read()
        expected = [0.0] * (len(OPERATION_SECONDS) + 2)
        expected[bisect_left(OPERATION_SECONDS, value)] = 1.0
        expected[-1] = value
        assert values == expected

    def test_every_histogram_of_every_kind(self, metrics: "Metrics") -> None:
        """Each metric of a kind has slots of its own, also after counters."""
        for kind in BLOCK_KINDS:
            key = ("x",) * len(kind.labels)
            for number, metric in enumerate(kind.metrics):
                if metric.type == "histogram":
                    observe(kind, key, 0.5, name="x", metric=number)
                    assert metrics.value(f"{metric.name}_count") == 1
                    assert metrics.value(f"{metric.name}_sum") == 0.5
                    assert sum(find(kind, key).read()) == pytest.approx(
                        1.5 * sum(m.type == "histogram" for m in kind.metrics[: number + 1])
                    )

    @pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e12, "1", None, object(), [], 10**400])
    def test_what_is_no_number_is_left_out(self, metrics: "Metrics", value: object) -> None:
        """Counted as a bad number, but for what was not given."""
        observe(OPERATION, ("x", "success"), value, name="duration")
        assert metrics.value("genai_operation_duration_seconds_count") == 0
        assert metrics.faults() == ({} if value is None else {"bad_number": 1})

    @pytest.mark.parametrize("value", [True, 1, 1.0])
    def test_other_numbers(self, metrics: "Metrics", value: object) -> None:
        """Ints and booleans become floats."""
        observe(OPERATION, ("x", "success"), value, name="duration")
        assert metrics.value("genai_operation_duration_seconds_sum") == 1.0
        assert metrics.faults() == {}


class TestGauges:
    """Set, and with the time of it where the last word counts."""

    def test_plain(self, metrics: "Metrics") -> None:
        """The last value, negative ones too."""
        set_gauge(QUEUE_LENGTH, ("q",), 5, name="length")
        set_gauge(QUEUE_LENGTH, ("q",), -2.5, name="length")
        assert find(QUEUE_LENGTH, ("q",)).read() == [-2.5]

    def test_latest(self, metrics: "Metrics") -> None:
        """Its last slot is the Unix time of the change, which never falls."""
        times = []
        before = time.time()
        for value in (1.0, 0.0, 1.0):
            set_gauge(DEPENDENCY, ("redis",), value, name="up")
            found = find(DEPENDENCY, ("redis",)).read()
            assert found[0] == value
            times.append(found[1])
        assert before <= times[0]
        assert times[-1] <= time.time()
        assert all(a <= b for a, b in pairwise(times))

    @pytest.mark.parametrize("value", [float("nan"), float("-inf"), 1e18, "5", None])
    def test_what_is_no_number_is_left_out(self, metrics: "Metrics", value: object) -> None:
        """The earlier value stays."""
        set_gauge(QUEUE_LENGTH, ("q",), 5, name="length")
        set_gauge(QUEUE_LENGTH, ("q",), value, name="length")
        assert find(QUEUE_LENGTH, ("q",)).read() == [5.0]


class TestSplitSlot:
    """Slots of labels with listed values."""

    def test_values(self) -> None:
        """In the order of the catalogue; unknown ones have none."""
        assert [split_slot(FEEDBACK.metrics[0], value) for value in ("up", "down", "sideways")] == [0, 1, None]


@pytest.mark.parametrize("kind", [WARNING, CACHE])
def test_32_threads_count_exactly(metrics: "Metrics", kind: BlockKind) -> None:
    """No addition is lost, on old and on new label tuples."""
    key = ("x",) * len(kind.labels)
    barrier = threading.Barrier(32)

    def work(number: int) -> None:
        barrier.wait()
        for i in range(500):
            count(kind, key)
            count(WARNING, ("1", f"kind {i % 50}"))
            observe(OPERATION, ("x", str(number % 3)), 0.5, name="duration")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert find(kind, key).read()[0] == 16_000
    assert metrics.value("genai_warnings_total", mode="1") == 16_000
    assert metrics.value("genai_operation_duration_seconds_count") == 16_000
    assert metrics.value("genai_operation_duration_seconds_sum") == 8_000
