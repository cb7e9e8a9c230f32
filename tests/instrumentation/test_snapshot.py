"""Tests of local statistics: a workload with known numbers, and what is not there."""

import random
import statistics
import threading
from bisect import bisect_left
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from genai_metrics import (
    operation,
    reset,
    retrieval,
    snapshot,
    tool_call,
    track_dependency,
    track_llm_call,
    track_quality,
    workflow,
)
from genai_metrics.blocks import Block
from genai_metrics.catalog import (
    CACHE,
    CACHE_BYTES_SHARED,
    CACHE_ENTRIES,
    CACHE_LOOKUP_DURATION,
    CACHE_LOOKUPS,
    CALL_SECONDS,
)
from genai_metrics.observations import count, observe, set_gauge
from genai_metrics.runtime import existing_recorder

if TYPE_CHECKING:
    from conftest import Metrics


class TestModels:
    """LLM calls by provider and model."""

    def test_known_workload(self, metrics: "Metrics") -> None:
        """Counts, sums, mean, tokens and cost are exact; percentiles lie in the bucket of the exact ones."""
        generator = random.Random(3)
        durations = [generator.lognormvariate(0, 1) for _ in range(1000)]
        for number, duration in enumerate(durations):
            track_llm_call(
                model="gpt-4",
                provider="openai",
                mode=str(number % 3),
                input_tokens=1000,
                output_tokens=100,
                duration=duration,
                error_type="Timeout" if number % 50 == 0 else None,
            )
        found = snapshot().models["openai/gpt-4"]
        assert (found.calls, found.failures) == (1000, 20)
        assert (found.input_tokens, found.output_tokens) == (1_000_000, 100_000)
        assert found.cost_usd == pytest.approx(1000 * (0.03 + 0.006))
        assert found.seconds.count == 1000
        assert found.seconds.sum == pytest.approx(sum(durations))
        assert found.seconds.mean == pytest.approx(statistics.mean(durations))
        assert found.seconds.estimated is not None
        exact = statistics.quantiles(durations, n=100, method="inclusive")
        known = found.seconds.estimated
        for estimate, true in ((known.p50, exact[49]), (known.p95, exact[94]), (known.p99, exact[98])):
            assert abs(bisect_left(CALL_SECONDS, estimate) - bisect_left(CALL_SECONDS, true)) <= 1
        assert known.min <= min(durations) <= max(durations) <= known.max

    def test_unpriced_estimated_cached(self, metrics: "Metrics") -> None:
        """What is missing from the cost, what is estimated, and what a cached answer saved."""
        track_llm_call(model="nobodys", input_tokens=5, estimated=True)
        track_llm_call(model="gpt-4", input_tokens=1000, cached=True)
        track_llm_call(model="full", input_tokens=100, cached_input_tokens=40, duration=1.0, time_to_first_token=0.25)
        found = snapshot()
        assert (found.models["unknown/nobodys"].unpriced, found.models["unknown/nobodys"].estimated) == (1, 1)
        assert found.models["unknown/gpt-4"].saved_usd == pytest.approx(0.03)
        assert found.models["unknown/gpt-4"].cost_usd == 0
        assert found.models["unknown/full"].cached_input_tokens == 40
        assert found.models["unknown/full"].first_token_seconds.mean == 0.25
        assert (found.llm.calls, found.llm.unpriced, found.llm.input_tokens) == (3, 1, 105)

    def test_tenants(self, metrics: "Metrics") -> None:
        """Calls of a tenant over all modes."""
        for mode in "ab":
            track_llm_call(model="gpt-4", tenant="acme", mode=mode, input_tokens=1000, output_tokens=500)
        track_llm_call(model="gpt-4", tenant="acme", error_type="500")
        found = snapshot().tenants
        assert list(found) == ["acme"]
        acme = found["acme"]
        assert (acme.calls, acme.failures, acme.input_tokens, acme.output_tokens) == (3, 1, 2000, 1000)
        assert acme.cost_usd == pytest.approx(0.12)


class TestStages:
    """Workflows, operations, tools, retrievals, quality."""

    def test_counts_and_failures(self, metrics: "Metrics") -> None:
        """Each kind of stage under its name."""
        for span in (lambda: operation("reranking"), lambda: tool_call("search"), lambda: retrieval("docs")):
            for fails in (False, False, True):
                with suppress(KeyError), span():
                    if fails:
                        raise KeyError
        found = snapshot()
        for stage in (found.operations["reranking"], found.tools["search"], found.retrievals["docs"]):
            assert (stage.seconds.count, stage.failures) == (3, 1)
            assert stage.seconds.estimated is not None

    def test_results_of_retrievals(self, metrics: "Metrics") -> None:
        """How many there were on average."""
        for number in (0, 10):
            with retrieval("docs") as found:
                found.results(number)
        results = snapshot().retrievals["docs"].results
        assert results is not None
        assert (results.count, results.mean) == (2, 5.0)

    def test_workflows(self, metrics: "Metrics") -> None:
        """By mode: ended ones by outcome, and those that still run."""
        with suppress(KeyError), workflow(mode="1"):
            raise KeyError
        with workflow(mode="1") as run:
            run.cache_hit()
            run.first_content()
        with workflow(mode="2"):
            found = snapshot().workflows
        one, two = found["1"], found["2"]
        assert (one.seconds.count, one.failures, one.from_cache, one.in_flight) == (2, 1, 1, 0)
        assert one.first_content_seconds.count == 1
        assert (two.seconds.count, two.in_flight) == (0, 1)

    def test_quality_and_dependencies(self, metrics: "Metrics") -> None:
        """Scores by evaluator over all modes; what could be used."""
        track_quality(9, scale=10, mode="1", evaluator="judge")
        track_quality(1, scale=10, mode="2", evaluator="judge")
        track_dependency("redis", False)
        track_dependency("qdrant", True)
        found = snapshot()
        assert found.quality["judge"].scores.mean == pytest.approx(0.5)
        assert found.quality["judge"].below_threshold == 1
        assert found.dependencies == {"qdrant": True, "redis": False}


class TestCaches:
    """Caches by name."""

    def test_numbers(self, metrics: "Metrics") -> None:
        """Hits and misses over all modes, hit rate, changes, size of own and of shared caches."""
        for mode, slot, number in (("1", 0, 3), ("2", 0, 3), ("2", 1, 2)):
            for _ in range(number):
                count(CACHE_LOOKUPS, ("answers", mode), slot=slot)
        observe(CACHE_LOOKUP_DURATION, ("answers", "hit"), 0.002, name="duration")
        count(CACHE, ("answers",))
        set_gauge(CACHE_ENTRIES, ("answers",), 17, name="entries")
        set_gauge(CACHE_BYTES_SHARED, ("answers",), 1000, name="bytes")
        found = snapshot().caches["answers"]
        assert (found.hits, found.misses, found.hit_rate) == (6, 2, 0.75)
        assert (found.writes, found.evictions, found.entries, found.bytes) == (1, 0, 17, 1000)
        assert found.lookup_seconds.mean == 0.002

    def test_unknown_is_none(self, metrics: "Metrics") -> None:
        """No lookups, no rate; no size told, none shown."""
        count(CACHE, ("answers",))
        found = snapshot().caches["answers"]
        assert (found.hit_rate, found.entries, found.bytes) == (None, None, None)


class TestSnapshot:
    """Whose numbers, and when there are none."""

    def test_before_the_first_record(self, run_python: Callable[..., str]) -> None:
        """Nothing is made and nothing found."""
        run_python(
            """
            import genai_metrics
            from genai_metrics import runtime
            found = genai_metrics.snapshot()
            assert runtime.existing_recorder() is None
            assert found.llm.calls == 0 and not found.workflows and not found.faults
            assert found.memory.resident_bytes > 1_000_000 and found.memory.peak_bytes >= found.memory.resident_bytes
            """
        )

    def test_statistics_are_loaded_when_asked_for(self, run_python: Callable[..., str]) -> None:
        """An application that only records does not pay for them."""
        run_python(
            """
            import sys
            import genai_metrics
            genai_metrics.track_llm_call(model="m", cost_usd=1.0)
            late = ("summaries", "snapshots", "reports", "healthchecks", "testing")
            assert not {"genai_metrics." + name for name in late} & set(sys.modules)
            """
        )

    def test_faults(self, metrics: "Metrics") -> None:
        """Those that happened, by reason."""
        track_quality(-1)
        assert snapshot().faults == {"bad_number": 1}

    def test_in_a_metrics_directory_it_is_this_process_alone(self, metrics: "Metrics") -> None:
        """And the scope says so."""
        assert "one of those" not in snapshot().scope
        metrics.configure(files=True)
        track_llm_call(model="gpt-4", input_tokens=1)
        assert snapshot().llm.calls == 1
        assert f"one of those that record into {metrics.directory}" in snapshot().scope

    def test_beside_threads_that_record(self, metrics: "Metrics") -> None:
        """What is read in the middle is never half a call, and what is read at the end is everything."""
        stop = threading.Event()
        made = [0] * 4

        def record(index: int) -> None:
            while not stop.is_set():
                track_llm_call(model="gpt-4", input_tokens=2, output_tokens=1, duration=0.5)
                made[index] += 1

        threads = [threading.Thread(target=record, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(200):
                found = snapshot().llm
                assert found.input_tokens == 2 * found.calls == 2 * found.output_tokens
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert snapshot().llm.calls == sum(made)


class TestReset:
    """Numbers go, settings stay."""

    def test_private_memory(self, metrics: "Metrics") -> None:
        """Counts begin at 0 again, on the long way and on the hot path."""
        for _ in range(3):
            track_llm_call(model="gpt-4", input_tokens=1000)
            with operation("x"):
                pass
        reset()
        assert snapshot().llm.calls == 0
        assert snapshot().operations == {}
        track_llm_call(model="gpt-4", input_tokens=1000)
        with operation("x"):
            pass
        assert (snapshot().llm.calls, snapshot().operations["x"].seconds.count) == (1, 1)
        assert snapshot().llm.cost_usd == pytest.approx(0.03)

    def test_directory(self, metrics: "Metrics") -> None:
        """The earlier file stays for the exporter, as an ended process's; the process goes on in a new one."""
        metrics.configure(files=True)
        track_llm_call(model="gpt-4", input_tokens=1000)
        reset()
        track_llm_call(model="gpt-4", input_tokens=1000)
        assert len(metrics.files()) == 2
        assert metrics.stored("genai_llm_calls_total") == 2
        assert metrics.value("genai_llm_calls_total") == 1

    def test_before_the_first_record(self, metrics: "Metrics") -> None:
        """Nothing to forget."""
        metrics.restart()
        reset()
        assert existing_recorder() is None

    def test_blocks_are_new(self, metrics: "Metrics") -> None:
        """A block that somebody still holds does not count any more."""
        track_llm_call(model="gpt-4")
        recorder = existing_recorder()
        assert recorder is not None
        held: list[Block] = recorder.blocks()
        reset()
        for block in held:
            block.add(0, 100.0)
        assert snapshot().llm.calls == 0
