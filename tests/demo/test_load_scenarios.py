"""The load: who asks what, what it refuses, how it ends, and what it writes."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_llm_process import FakeLlm
from rag_service_process import RagService, rag_service

from genai_metrics.catalog import WORKFLOW
from genai_stack import REPOSITORY
from load_scenarios.scenarios import SCENARIOS
from load_scenarios.seen import Seen, quantile
from load_scenarios.traffic import HOUR_FACTORS, MODES, Traffic

FIGURES = REPOSITORY.parent / "shared" / "data" / "reference-figures" / "params.json"


def load(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line."""
    command = [sys.executable, "-m", "load_scenarios", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


class TestTraffic:
    """Questions."""

    def test_the_same_seed_asks_the_same(self) -> None:
        """Another seed asks otherwise."""
        first, again, other = Traffic(1), Traffic(1), Traffic(2)
        asked = [first.question() for _ in range(50)]
        assert asked == [again.question() for _ in range(50)]
        assert asked != [other.question() for _ in range(50)]

    def test_tenants_and_modes_are_uneven(self) -> None:
        """The largest tenant asks far more than the smallest; modes have their shares; popular questions return."""
        traffic = Traffic(7)
        asked = [traffic.question() for _ in range(5000)]
        tenants = Counter(question.tenant for question in asked)
        assert len(tenants) == 20
        assert tenants["acme"] == max(tenants.values())
        assert max(tenants.values()) > 10 * min(tenants.values())
        for mode, share in MODES.items():
            assert sum(question.mode == mode for question in asked) == pytest.approx(5000 * share, rel=0.2)
        questions = Counter(question.text.strip().lower().rstrip("?") for question in asked if question.mode == "1")
        assert questions.most_common(1)[0][1] > 100

    @pytest.mark.parametrize("figures", [FIGURES] if FIGURES.exists() else [])
    def test_the_day_is_as_it_was_measured(self, figures: Path) -> None:
        """The factors of the hours are the source's own."""
        measured = json.loads(figures.read_text())["servegen"]["language/m-small"]["hour_of_day_factor"]
        assert list(HOUR_FACTORS) == measured


def workflows(*counts: float, mode: str = "1", outcome: str = "success") -> Seen:
    """Counters of workflows: at most 1 s long, at most 2 s, and all."""
    labels = {("mode", mode), ("outcome", outcome)}
    name = WORKFLOW.metrics[0].name
    buckets = zip(("1", "2", "+Inf"), counts, strict=True)
    series = {frozenset({("__name__", f"{name}_bucket"), ("le", bound), *labels}): count for bound, count in buckets}
    return Seen({**series, frozenset({("__name__", f"{name}_count"), *labels}): counts[-1]})


def both(one: Seen, other: Seen) -> Seen:
    """What both saw."""
    return Seen({**one.series, **other.series})


class TestSeen:
    """What Prometheus saw between two moments."""

    def test_interpolates_within_the_bucket(self) -> None:
        """What was there before does not count."""
        before, after = workflows(10, 10, 10), workflows(15, 20, 20)
        assert quantile(0.5, after.since(before)) == 1.0
        assert quantile(0.75, after.since(before)) == 1.5
        assert quantile(0.5, after.since(after)) is None

    def test_beyond_the_last_bound_is_the_last_bound(self) -> None:
        """Nothing is known of what is longer."""
        assert quantile(0.99, workflows(0, 0, 1).since(Seen({}))) == 2.0

    def test_counts_each_series_as_promql_does(self) -> None:
        """One that fell, as after the seeded history, began anew; one that is gone counts nothing, a new one all."""
        before = both(workflows(900, 900, 900), workflows(50, 60, 70, mode="4"))
        after = both(workflows(5, 6, 7), workflows(0, 2, 3, mode="2", outcome="error"))
        grown = after.since(before)
        assert (grown.workflows, grown.failed) == (10, 3)
        assert grown.buckets() == {1.0: 5, 2.0: 8, float("inf"): 10}


class TestRefusals:
    """What is refused before anybody asks."""

    @pytest.mark.parametrize("url", ["http://192.0.2.1:8200", "http://[2001:db8::1]:8200"])
    def test_other_machines(self, url: str) -> None:
        """The load is for the demo, never for somebody's service."""
        refused = load("baseline", "--host", url)
        assert refused.returncode == 2
        assert "is not on this machine" in refused.stderr

    def test_durations_that_are_none(self) -> None:
        """The message says how to write one."""
        refused = load("baseline", "--duration", "soon")
        assert refused.returncode == 2
        assert "'soon' is not a duration; give one such as 15s, 5m or 1h30m" in refused.stderr


@pytest.fixture(scope="module")
def service(shared_llm: FakeLlm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagService]:
    """Run the service."""
    with rag_service(shared_llm, tmp_path_factory.mktemp("loaded")) as running:
        yield running


class TestRuns:
    """Runs on the real service."""

    def test_each_ends_and_reports(self, service: RagService, tmp_path: Path) -> None:
        """The summary, report.json and report.md say the same."""
        done = load("batch", "--host", service.url, "--users", "4", "--duration", "4s", "--report", str(tmp_path))
        assert done.returncode == 0, done.stderr
        told = json.loads((tmp_path / "report.json").read_text())["load"]
        assert told["requests"] > 0
        assert told["lost"] == told["failed"] == 0
        answered = f"{told['requests']:,}"
        assert f"| requests answered | {answered} |" in (tmp_path / "report.md").read_text()
        assert answered in done.stdout
        assert service.scrape().sum("genai_workflow_duration_seconds_count") == told["requests"]

    def test_stress_ends_where_the_service_breaks(self, service: RagService, tmp_path: Path) -> None:
        """With every model call failing it breaks at once, and says at how many people."""
        service.llm.set_fault("error_burst", share=1)
        try:
            done = load("stress", "--host", service.url, "--duration", "60s", "--report", str(tmp_path))
        finally:
            service.llm.stop_faults()
        assert done.returncode == 0, done.stderr
        told = json.loads((tmp_path / "report.json").read_text())["load"]
        assert told["broke_at"] is not None
        assert told["seconds"] < 60

    def test_nobody_asks_during_no_traffic(self, service: RagService, tmp_path: Path) -> None:
        """The fault is for the load: people wait until it is over."""
        service.start_fault("no_traffic")
        try:
            done = load("baseline", "--host", service.url, "--duration", "3s", "--report", str(tmp_path))
        finally:
            service.stop_fault("no_traffic")
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "report.json").read_text())["load"]["requests"] == 0


def test_the_day_has_its_cycle() -> None:
    """People think longer by night; other scenarios know no hour."""
    program = (
        "import load_scenarios.__main__, sys; from datetime import *; from load_scenarios.running import think_seconds;"
        "from load_scenarios.scenarios import SCENARIOS as S; at = lambda h: datetime(2026, 1, 1, h, tzinfo=UTC);"
        "print(*[think_seconds(S[n], at(h)) for n in ('daily', 'baseline') for h in (5, 20)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    night, evening, *constant = map(float, done.stdout.split())
    assert night > 2 * evening
    assert constant == [SCENARIOS["baseline"].think_seconds] * 2
