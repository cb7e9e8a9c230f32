"""Tests of pools, queues and dependencies."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import track_dependency, track_pool, track_queue

if TYPE_CHECKING:
    from conftest import Metrics

ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.text(), st.floats(), st.integers(), st.booleans(), st.lists(st.integers()), st.just(10**400)
)


class TestPool:
    """Connections by state, and how many there may be."""

    def test_what_is_left_out_stays(self, metrics: "Metrics") -> None:
        """The last value of each."""
        track_pool("db", active=3, idle=2, size=10)
        track_pool("db", active=4)
        assert metrics.value("genai_pool_connections", pool="db", state="active") == 4
        assert metrics.value("genai_pool_connections", pool="db", state="idle") == 2
        assert metrics.value("genai_pool_size", pool="db") == 10

    def test_bad_numbers(self, metrics: "Metrics") -> None:
        """Left out one by one; what is beside them is kept."""
        track_pool("db", active=float("nan"), idle=2, size="ten")  # type: ignore[arg-type]
        assert metrics.value("genai_pool_connections") == 2
        assert metrics.value("genai_pool_size") == 0
        assert metrics.faults() == {"bad_number": 2}

    def test_share_in_use(self, metrics: "Metrics") -> None:
        """Follows what is told, together or one by one; a pool without connections has none in use."""
        track_pool("db", active=9, size=10)
        assert metrics.value("genai_pool_in_use_ratio", pool="db") == 0.9
        track_pool("db", active=4)
        assert metrics.value("genai_pool_in_use_ratio", pool="db") == 0.4
        track_pool("db", size=5)
        assert metrics.value("genai_pool_in_use_ratio", pool="db") == 0.8
        track_pool("db", size=0)
        assert metrics.value("genai_pool_in_use_ratio", pool="db") == 0

    @pytest.mark.parametrize("told", [{"active": 4}, {"size": 10}, {"active": 4, "size": float("inf")}])
    def test_no_share_of_what_is_not_known(self, metrics: "Metrics", told: dict[str, float]) -> None:
        """Either alone says nothing."""
        track_pool("db", **told)
        assert not [s for family in metrics.registry.collect() for s in family.samples if "in_use" in s.name]

    def test_share_in_use_after_configure(self, metrics: "Metrics") -> None:
        """What was told before is still known."""
        track_pool("db", active=1, size=10)
        metrics.configure(files=True)
        track_pool("db", active=5)
        assert metrics.value("genai_pool_in_use_ratio", pool="db") == 0.5


class TestQueue:
    """Items that wait."""

    def test_own_and_shared(self, metrics: "Metrics") -> None:
        """Under one name, by different kinds of block: they merge differently over processes."""
        track_queue("jobs", 5)
        track_queue("jobs", 4)
        track_queue("mail", 7, shared=True)
        assert metrics.value("genai_queue_length", queue="jobs") == 4
        assert metrics.value("genai_queue_length", queue="mail") == 7

    @pytest.mark.parametrize("shared_first", [False, True])
    def test_own_and_shared_under_one_name(self, metrics: "Metrics", shared_first: bool) -> None:
        """One series, their sum; what is said of the second one counts as a fault, and the log says it once."""
        for _ in range(3):
            track_queue("jobs", 5, shared=shared_first)
        assert metrics.faults() == {}
        for _ in range(2):
            track_queue("jobs", 7, shared=not shared_first)
        assert metrics.faults() == {"bad_label": 2}
        assert metrics.registry.get_sample_value("genai_queue_length", {"service": "tests", "queue": "jobs"}) == 12
        metrics.restart()
        metrics.configure()
        track_queue("jobs", 1, shared=not shared_first)
        assert metrics.faults() == {}


class TestDependency:
    """Whether it could be used."""

    @pytest.mark.parametrize("said", [[True], [False, True], [True, False], [False]])
    def test_the_last_word_counts(self, metrics: "Metrics", said: list[bool]) -> None:
        """1 or 0."""
        for up in said:
            track_dependency("redis", up)
        assert metrics.value("genai_dependency_up", dependency="redis") == float(said[-1])


class Broken:
    """Has no truth value."""

    def __bool__(self) -> bool:
        raise ValueError("no")


def test_a_truth_value_that_raises_does_not_reach_the_application(metrics: "Metrics") -> None:
    """It is counted."""
    track_dependency("redis", Broken())  # type: ignore[arg-type]
    assert sum(metrics.faults().values()) == 1


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=ANYTHING, one=ANYTHING, two=ANYTHING)
def test_bad_input_never_raises(metrics: "Metrics", name: Any, one: Any, two: Any) -> None:
    """Whatever is passed, nothing is an internal fault."""
    track_pool(name, active=one, idle=two, size=one)
    track_queue(name, one, shared=two)
    track_dependency(name, two)
    assert "internal" not in metrics.faults()
