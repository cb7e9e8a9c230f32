"""Tests of what users' own tests get: reading back, asserting, a store of their own."""

import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import REGISTRY, generate_latest

from genai_metrics import configure, llm_call_in_flight, operation, track_llm_call, track_queue, workflow
from genai_metrics.testing import assert_increment, isolated_store, sample, samples

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"


class TestSample:
    """What was recorded, by name and labels."""

    def test_sums_what_has_the_labels(self, metrics: "Metrics") -> None:
        """Labels that are left out may have any value; absent is 0."""
        for mode, model in (("1", "a"), ("1", "b"), ("2", "a")):
            track_llm_call(mode=mode, model=model, cost_usd=0.5)
        assert sample(CALLS) == 3
        assert sample(CALLS, mode="1") == 2
        assert sample(CALLS, mode="1", model="a") == 1
        assert sample(CALLS, mode="3") == 0.0
        assert sample("genai_llm_cost_usd_total", part="unattributed", model="a") == 1.0

    def test_histograms(self, metrics: "Metrics") -> None:
        """Count, sum and cumulative buckets, as Prometheus has them."""
        for duration in (0.2, 0.3, 30.0):
            track_llm_call(model="a", duration=duration)
        name = "genai_llm_call_duration_seconds"
        assert sample(f"{name}_count") == 3
        assert sample(f"{name}_sum") == 30.5
        assert [sample(f"{name}_bucket", le=le) for le in ("0.1", "0.25", "0.5", "40.0", "+Inf")] == [0, 1, 2, 3, 3]

    def test_gauges_of_two_kinds(self, metrics: "Metrics") -> None:
        """Shared or not, it is one metric."""
        track_queue("jobs", 3)
        track_queue("mail", 4, shared=True)
        assert sample("genai_queue_length") == 7
        with llm_call_in_flight(model="a"):
            assert sample("genai_llm_calls_in_flight", model="a") == 1

    def test_agrees_with_the_exposition(self, metrics: "Metrics") -> None:
        """Every sample that prometheus_client shows is read back with the same value."""
        with workflow(mode="1", agent="x"), operation("reranking"):
            track_llm_call(model="gpt-4", tenant="acme", input_tokens=7, duration=1.0, time_to_first_token=0.5)
        shown = [s for family in metrics.registry.collect() for s in family.samples]
        assert len(shown) > 100
        for found in shown:
            labels = {label: value for label, value in found.labels.items() if label != "service"}
            assert sample(found.name, **labels) == found.value

    def test_in_a_metrics_directory(self, metrics: "Metrics") -> None:
        """This process's part."""
        metrics.configure(files=True)
        track_llm_call(model="a")
        assert sample(CALLS) == 1

    def test_before_the_first_record(self, metrics: "Metrics") -> None:
        """Nothing is there."""
        metrics.restart()
        assert sample(CALLS) == 0.0
        assert samples(CALLS) == []

    @pytest.mark.parametrize(
        ("name", "labels", "message"),
        [
            ("genai_llm_call_total", {}, "there is no metric 'genai_llm_call_total'; did you mean genai_llm_calls_"),
            ("genai_llm_call_duration_seconds", {}, "did you mean genai_llm_call_duration_seconds_"),
            ("up", {}, "there is no metric 'up'"),
            (CALLS, {"modle": "a"}, "has no label 'modle'; it has mode, provider, model, operation, outcome"),
            (CALLS, {"le": "1.0"}, "has no label 'le'"),
            (CALLS, {"mode": 1}, "label values are text: mode=1"),
            ("genai_feedback_total", {"rating": "good"}, "rating of genai_feedback_total is one of up, down"),
        ],
    )
    def test_mistakes_are_told(self, metrics: "Metrics", name: str, labels: dict[str, Any], message: str) -> None:
        """A misspelt name would be 0 for ever."""
        with pytest.raises(ValueError, match=message):
            sample(name, **labels)


class TestAssertIncrement:
    """A context manager."""

    def test_passes(self, metrics: "Metrics") -> None:
        """By 1, by a number, not at all, and of dollars to the precision of floats."""
        track_llm_call(model="a")
        with assert_increment(CALLS, model="a"):
            track_llm_call(model="a")
        with assert_increment(CALLS, 2), assert_increment(CALLS, 0, model="b"):
            track_llm_call(model="a")
            track_llm_call(model="a")
        with assert_increment("genai_llm_cost_usd_total", 0.3):
            for _ in range(3):
                track_llm_call(model="a", cost_usd=0.1)
        with assert_increment("genai_llm_cost_saved_usd_total", 0.03, by="response_cache"):
            track_llm_call(model="gpt-4", input_tokens=1000, cached=True)

    def test_message(self, metrics: "Metrics") -> None:
        """Names what changed instead."""
        with pytest.raises(AssertionError) as caught, assert_increment(CALLS, model="b"):
            track_llm_call(model="a", mode="1")
        text = str(caught.value)
        assert text.startswith('genai_llm_calls_total{model="b"} rose by 0, not by 1; series that changed:')
        assert 'model="a"' in text
        assert text.endswith(": 0 -> 1")
        with pytest.raises(AssertionError, match="no series of genai_llm_calls_total changed"), assert_increment(CALLS):
            pass

    def test_exceptions_go_on(self, metrics: "Metrics") -> None:
        """The block's own failure is not hidden."""
        error = KeyError("x")
        with pytest.raises(KeyError) as caught, assert_increment(CALLS):
            raise error
        assert caught.value is error

    def test_mistakes_are_told_before_the_block(self, metrics: "Metrics") -> None:
        """And not after a slow test."""
        with pytest.raises(ValueError, match="there is no metric"), assert_increment("nothing"):
            pytest.fail("ran")


class TestIsolatedStore:
    """Records of its own, and everything as before afterwards."""

    def test_keeps_apart(self, metrics: "Metrics") -> None:
        """Neither sees the other's records, on the long way or on the hot path."""
        for _ in range(2):
            track_llm_call(model="a")
        with isolated_store() as registry:
            assert sample(CALLS) == 0
            for _ in range(3):
                track_llm_call(model="a")
            assert sample(CALLS) == 3
            assert b"genai_llm_calls_total{" in generate_latest(registry)
        assert sample(CALLS) == 2
        track_llm_call(model="a")
        assert sample(CALLS) == 3

    def test_nested_and_after_an_exception(self, metrics: "Metrics") -> None:
        """The store around is back, whatever ended the block."""
        with isolated_store():
            track_llm_call(model="a")
            with pytest.raises(KeyError), isolated_store():
                raise KeyError
            assert sample(CALLS) == 1
        assert sample(CALLS) == 0

    def test_writes_no_file(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Whatever the environment says."""
        monkeypatch.setenv("GENAI_METRICS_DIR", str(tmp_path / "production"))
        metrics.restart()
        with isolated_store():
            track_llm_call(model="a")
        assert not (tmp_path / "production").exists()

    def test_in_front_of_a_metrics_directory(self, metrics: "Metrics") -> None:
        """The file of the process is neither touched nor given up."""
        metrics.configure(files=True)
        track_llm_call(model="a")
        with isolated_store():
            track_llm_call(model="a")
        track_llm_call(model="a")
        assert len(metrics.files()) == 1
        assert metrics.stored(CALLS) == 2

    def test_configure_inside_ends_with_it(self, metrics: "Metrics") -> None:
        """Settings too are the test's own."""
        with isolated_store():
            configure(label_caps={"model": 1}, registry=metrics.registry)
            for model in "abc":
                track_llm_call(model=model)
            assert sample(CALLS, model="__other__") == 2
        for model in "abc":
            track_llm_call(model=model)
        assert sample(CALLS, model="__other__") == 0

    def test_other_threads(self, metrics: "Metrics") -> None:
        """All threads of the process are meant."""
        with isolated_store():
            thread = threading.Thread(target=lambda: track_llm_call(model="a"))
            thread.start()
            thread.join()
            assert sample(CALLS) == 1

    def test_leaves_the_default_registry_alone(self, metrics: "Metrics") -> None:
        """Nothing is registered there."""
        metrics.restart()
        before = set(REGISTRY._collector_to_names)
        with isolated_store():
            track_llm_call(model="a")
        assert set(REGISTRY._collector_to_names) == before


class TestFrameworks:
    """pytest and unittest, as a user runs them."""

    def test_pytest_fixture(self, tmp_path: Path, run_python: Callable[..., str]) -> None:
        """What the documentation says."""
        (tmp_path / "conftest.py").write_text('pytest_plugins = ["genai_metrics.pytest_plugin"]\n')
        (tmp_path / "test_app.py").write_text(
            "from genai_metrics import track_llm_call\n"
            "from genai_metrics.testing import sample\n"
            "def test_one(genai_metrics_store):\n"
            "    track_llm_call(model='a')\n"
            "    assert sample('genai_llm_calls_total') == 1\n"
            "    assert genai_metrics_store.get_sample_value('genai_recorder_faults_total') is None\n"
            "test_two = test_one\n"
        )
        out = run_python("import pytest, sys; sys.exit(pytest.main(['-q', sys.argv[1]]))", str(tmp_path))
        assert "2 passed" in out

    def test_unittest(self) -> None:
        """With ``enterContext``."""

        class Case(unittest.TestCase):
            def setUp(self) -> None:
                self.enterContext(isolated_store())

            def runTest(self) -> None:
                with assert_increment(CALLS):
                    track_llm_call(model="a")
                assert sample(CALLS) == 1

        result = unittest.TestResult()
        unittest.TestSuite([Case(), Case()]).run(result)
        assert (result.testsRun, result.errors, result.failures) == (2, [], [])

    def test_needs_no_pytest(self, run_python: Callable[..., str]) -> None:
        """Only the plugin does."""
        run_python("import sys, genai_metrics.testing; assert 'pytest' not in sys.modules")
