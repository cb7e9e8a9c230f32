"""Tests of what ``track_cache`` records, and of what it does with nonsense."""

import asyncio
import re
import threading
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest

from genai_metrics import runtime, snapshot, track_cache, workflow

if TYPE_CHECKING:
    from conftest import Metrics

LOOKUPS = "genai_cache_lookups_total"
SECONDS = "genai_cache_lookup_duration_seconds"
EVICTIONS = "genai_cache_evictions_total"


class TestLookups:
    """Hits and misses."""

    def test_are_counted_and_timed_by_result(self, metrics: "Metrics") -> None:
        """A timed lookup counts once, under its result, with its duration and the entry's age."""
        cache = track_cache("answers")
        with cache.lookup() as found:
            found.hit(age=30)
        with cache.lookup() as found:
            found.miss()
        cache.hit(0.25, age=5)
        cache.miss(0.5)
        cache.miss()
        assert metrics.value(LOOKUPS, cache="answers", result="hit", mode="default") == 2
        assert metrics.value(LOOKUPS, result="miss") == 3
        assert metrics.value(f"{SECONDS}_count", cache="answers", result="hit") == 2
        assert metrics.value(f"{SECONDS}_count", result="miss") == 2
        assert 0.25 < metrics.value(f"{SECONDS}_sum", result="hit") < 0.35
        assert metrics.value("genai_cache_entry_age_seconds_count", cache="answers") == 2
        assert metrics.value("genai_cache_entry_age_seconds_sum") == 35
        assert metrics.faults() == {}

    def test_time_ends_with_the_word(self, metrics: "Metrics") -> None:
        """What is done in the block after the miss, making the answer, is not the cache's time."""
        with track_cache("answers").lookup() as found:
            found.miss()
            threading.Event().wait(0.2)
        assert metrics.value(f"{SECONDS}_sum") < 0.2

    def test_first_word_holds(self, metrics: "Metrics") -> None:
        """A lookup has one result."""
        with track_cache("answers").lookup() as found:
            found.hit()
            found.miss()
            found.hit()
        assert metrics.value(LOOKUPS, result="hit") == metrics.value(LOOKUPS) == 1

    def test_exception_goes_on_and_is_no_lookup(self, metrics: "Metrics") -> None:
        """A cache that fails had neither a hit nor a miss."""
        error = ConnectionError("gone")
        with pytest.raises(ConnectionError) as caught, track_cache("answers").lookup():
            raise error
        assert caught.value is error
        assert metrics.value(LOOKUPS) == 0
        assert metrics.faults() == {}

    def test_nothing_said_is_a_fault(self, metrics: "Metrics") -> None:
        """A forgotten result is not guessed."""
        with track_cache("answers").lookup():
            pass
        assert metrics.value(LOOKUPS) == 0
        assert metrics.faults() == {"bad_label": 1}

    def test_async(self, metrics: "Metrics") -> None:
        """``async with`` does the same."""

        async def ask() -> None:
            async with track_cache("answers").lookup() as found:
                await asyncio.sleep(0)
                found.hit()

        asyncio.run(ask())
        assert metrics.value(LOOKUPS, result="hit") == 1

    def test_take_the_mode_of_the_workflow(self, metrics: "Metrics") -> None:
        """Inside a workflow lookups are its mode's, unless they say otherwise."""
        cache = track_cache("answers")
        with workflow(mode="rag"):
            cache.hit()
            cache.miss(mode="other")
            with cache.lookup(mode="third") as found:
                found.hit()
            cache.lookups(hits=3, misses=4)
        assert metrics.value(LOOKUPS, mode="rag", result="hit") == 4
        assert metrics.value(LOOKUPS, mode="rag", result="miss") == 4
        assert metrics.value(LOOKUPS, mode="other", result="miss") == 1
        assert metrics.value(LOOKUPS, mode="third", result="hit") == 1

    def test_response_cache_tells_the_run(self, metrics: "Metrics") -> None:
        """A hit of a response cache makes the run's outcome ``cached``; other caches do not."""
        answers, vectors = track_cache("answers", answers=True), track_cache("vectors")
        with workflow(mode="rag"):
            vectors.miss()
            answers.miss()
            answers.hit()
            vectors.miss()
        with workflow(mode="rag"):
            answers.miss()
        with workflow(mode="rag"):
            vectors.hit()
        answers.hit()
        name = "genai_workflow_duration_seconds_count"
        assert metrics.value(name, outcome="cached", cache="hit") == 1
        assert metrics.value(name, outcome="success", cache="miss") == 1
        assert metrics.value(name, outcome="success", cache="none") == 1


class TestEntries:
    """What goes in and out."""

    def test_writes_evictions_and_clears(self, metrics: "Metrics") -> None:
        """Each has its counter; ages at eviction are lifetimes."""
        cache = track_cache("answers")
        cache.write()
        cache.write(3)
        cache.evict("capacity", age=10)
        cache.evict("expired", age=600)
        cache.evict("explicit", n=2)
        cache.invalidate()
        assert metrics.value("genai_cache_writes_total", cache="answers") == 4
        assert metrics.value(EVICTIONS, reason="capacity") == 1
        assert metrics.value(EVICTIONS, reason="expired") == 1
        assert metrics.value(EVICTIONS, reason="explicit") == 2
        assert metrics.value("genai_cache_invalidations_total") == 1
        assert metrics.value("genai_cache_entry_lifetime_seconds_count") == 2
        assert metrics.value("genai_cache_entry_lifetime_seconds_sum") == 610
        assert metrics.value("genai_cache_entry_age_seconds_count") == 0
        assert metrics.faults() == {}

    def test_reason_may_be_a_member_of_an_enumeration(self, metrics: "Metrics") -> None:
        """Enumerations of text are their text."""
        track_cache("answers").evict(StrEnum("Reason", ["CAPACITY"]).CAPACITY)  # type: ignore[attr-defined]
        assert metrics.value(EVICTIONS, reason="capacity") == 1

    @pytest.mark.parametrize("shared", [False, True])
    def test_sizes(self, metrics: "Metrics", shared: bool) -> None:
        """Capacity is told when the cache is made, entries and bytes when they are said; what is left out stays."""
        cache = track_cache("answers", capacity=1000, shared=shared)
        assert metrics.value("genai_cache_capacity_entries", cache="answers") == 1000
        cache.size(entries=7, bytes=4096)
        cache.size(entries=8)
        assert metrics.value("genai_cache_entries", cache="answers") == 8
        assert metrics.value("genai_cache_bytes", cache="answers") == 4096
        kinds = {block.kind.name for block in runtime.recorder().blocks() if block.kind.name.startswith("cache_")}
        assert kinds == {f"cache_{what}{'_shared' * shared}" for what in ("entries", "bytes", "capacity")}

    def test_capacity_outlives_configure(self, metrics: "Metrics") -> None:
        """A cache made before ``configure()`` has its capacity in the file afterwards."""
        cache = track_cache("answers", capacity=5)
        metrics.configure(files=True)
        cache.hit()
        assert metrics.stored("genai_cache_capacity_entries") == 5


@pytest.mark.parametrize(
    ("method", "arguments", "reason"),
    [
        ("evict", ("boredom",), "bad_label"),
        ("evict", (None,), "bad_label"),
        ("evict", (["capacity"],), "bad_label"),
        ("write", (-1,), "bad_number"),
        ("write", ("3",), "bad_number"),
        ("write", (float("nan"),), "bad_number"),
        ("hit", (-1.0,), "bad_number"),
        ("miss", (float("inf"),), "bad_number"),
        ("size", (float("nan"),), "bad_number"),
        ("size", (object(),), "bad_number"),
        ("lookups", (), None),
    ],
)
def test_nonsense_is_a_fault(metrics: "Metrics", method: str, arguments: tuple[Any, ...], reason: str | None) -> None:
    """What cannot be recorded is left out and counted; nothing is raised."""
    getattr(track_cache("answers"), method)(*arguments)
    assert metrics.faults() == ({reason: 1} if reason else {})
    assert metrics.value(EVICTIONS) == 0
    assert metrics.value("genai_cache_writes_total") == 0


@pytest.mark.parametrize("name", [None, 7, "", "x" * 500, ["list"]])
def test_odd_names_still_count(metrics: "Metrics", name: Any) -> None:
    """A bad name is made a label value; the lookup counts."""
    track_cache(name).hit()
    assert metrics.value(LOOKUPS) == 1
    assert set(metrics.faults()) == {"bad_label"}


def test_flags_without_a_truth_value(metrics: "Metrics") -> None:
    """Count as false, and as faults; the application hears nothing."""

    class Broken:
        def __bool__(self) -> bool:
            raise ValueError("no")

    track_cache("answers", shared=Broken(), answers="no").size(entries=3)  # type: ignore[arg-type]
    assert metrics.value("genai_cache_entries", cache="answers") == 3
    assert metrics.faults() == {"bad_flag": 2}


def test_a_private_and_a_shared_cache_of_one_name(metrics: "Metrics") -> None:
    """Are one series: the sizes are added up, and each one said of the second cache counts as a fault."""
    track_cache("answers", capacity=100).size(entries=10, bytes=1000)
    for _ in range(2):
        track_cache("answers", shared=True, capacity=500).size(entries=40)
    track_cache("others", shared=True, capacity=7)
    assert metrics.faults() == {"bad_label": 4}
    text = generate_latest(metrics.registry).decode()
    ours = [line for line in text.splitlines() if line.startswith("genai_cache_")]
    labels = '{cache="answers",service="tests"}'
    assert [line for line in ours if "answers" in line and "_total" not in line] == [
        f"genai_cache_entries{labels} 50.0",
        f"genai_cache_capacity_entries{labels} 600.0",
        f"genai_cache_bytes{labels} 1000.0",
    ]
    caches = snapshot().caches
    assert (caches["answers"].entries, caches["answers"].bytes) == (50, 1000)


def test_threads_are_exact(metrics: "Metrics") -> None:
    """32 threads on one cache lose nothing."""
    cache = track_cache("answers", capacity=10)

    def work() -> None:
        for _ in range(200):
            cache.hit(0.5, age=2)
            cache.write()

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.value(LOOKUPS) == metrics.value(f"{SECONDS}_count") == 32 * 200
    assert metrics.value("genai_cache_writes_total") == 32 * 200
    assert metrics.value("genai_cache_entry_age_seconds_sum") == 32 * 400


def test_forked_children_have_their_own_cache(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """A child tells its capacity again, and a lookup that its parent began is not recorded twice."""
    run_python(
        """
        import os, sys
        from genai_metrics import configure, track_cache
        configure(metrics_dir=sys.argv[1])
        cache = track_cache("answers", capacity=10)
        with cache.lookup() as found:
            child = os.fork()
            found.hit()
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            cache.miss()
            os._exit(0)
        """,
        str(metrics.directory),
    )
    assert metrics.stored(LOOKUPS, result="hit") == 1
    assert metrics.stored(LOOKUPS, result="miss") == 1
    assert metrics.stored("genai_cache_capacity_entries") == 20


GUIDE = (Path(__file__).parents[2] / "docs" / "caches.md").read_text()
EXAMPLES = [code for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL) if "redis" not in code]


@pytest.mark.parametrize("number", range(4))
def test_guide(run_python: Callable[..., str], number: int) -> None:
    """The code in the guide runs as it stands, without a fault; Redis's has its own test."""
    assert len(EXAMPLES) == 4
    run_python(
        EXAMPLES[number]
        + """
from genai_metrics import runtime
assert not [b.key for b in runtime.recorder().blocks() if b.kind.name == "recorder_fault" and any(b.read())]
"""
    )
