"""The pieces of the panels' benchmark: queries as Grafana fills them in, series, blocks, a run over little data."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import promql_parser
import pytest
from benchmarks import panels, panels_blocks, panels_data
from benchmarks.panels_organisation import exporters, organisation
from benchmarks.panels_queries import SPARSE, Query, filled, hidden, last_week, queries, step_seconds
from benchmarks.panels_server import prometheus
from benchmarks.results import Section, markdown
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from genai_metrics import track_llm_call, workflow
from genai_metrics.testing import isolated_store
from genai_stack.binaries import require


def quiet(_text: str) -> None:
    """Say nothing."""


class TestQueries:
    """What Grafana asks for over a week."""

    def test_variables_are_filled_in(self) -> None:
        """Windows are those of a week on 1 000 pixels; a chosen value is escaped, what is not chosen is everything."""
        expression = (
            'rate(${genai}_a{service=~"$service", mode=~"${mode}"}[$__rate_interval${more}]) + b[$__range] / $__range_s'
        )
        expected = 'rate(genai20m_a{service=~"a\\\\.b", mode=~".+"}[615s3600000ms]) + b[604800s] / 604800'
        assert filled(expression, {**SPARSE, "service": "a.b"}) == expected

    def test_each_query_is_asked_for_all_and_for_one_value_of_each_variable(self) -> None:
        """A query that knows services and modes is asked three times; nothing is left to fill in."""
        asked = list(queries({"service": "s", "mode": "m"}))
        found = [query for query in asked if query.title == "performance: Request rate A"]
        assert [query.selected for query in found] == ["All", "mode m", "service s"]
        assert [query for query in asked if "$" in query.expression] == []
        for query in queries(panels.ONE):
            promql_parser.parse(query.expression)
        assert {query.kind for query in asked} == {"range", "instant", "service", "mode", "tenant", "cache"}

    def test_steps_are_those_of_the_points_that_a_panel_sets(self) -> None:
        """Rounded as Grafana rounds; windows of rates follow the step."""
        assert {points: step_seconds(points) for points in (1000, 400, 160)} == {1000: 600, 400: 1800, 160: 3600}
        asked = {query.title: query for query in queries({})}
        assert asked["performance: Request rate A"].kind == "instant"
        by_model = asked["performance: p95 duration of LLM calls by model A"]
        assert (by_model.step_seconds, "[3615s3600000ms]" in by_model.expression) == (3600, True)

    def test_series_of_the_week_before_are_known(self) -> None:
        """Those with an offset of a week, and no others."""
        assert last_week('sum(a:b:c{x=~".+"} offset 1w) / d{} + e{y="1"} offset 10m') == {"a:b:c"}


class TestOrganisation:
    """Which series there are."""

    def test_there_are_more_than_200_000(self) -> None:
        """Each once; every exporter has its share of them."""
        labels = [series.labels for series in organisation()]
        assert len(labels) == len(set(labels)) > 200_000
        assert len({dict(each).get("instance") for each in labels} & {host for _, host in exporters()}) == 40

    def test_a_call_has_the_series_that_a_real_recorder_shows(self) -> None:
        """A streamed, priced call and a workflow: the same names and labels, bounds of buckets included."""
        with isolated_store() as registry:
            track_llm_call(
                model="openai-0", provider="openai", mode="1", duration=1.0, time_to_first_token=0.1, cost_usd=1.0
            )
            with workflow(mode="1") as run:
                run.cache_miss()
            shown = {
                (sample.name, frozenset(set(sample.labels.items()) - {("service", sample.labels["service"])}))
                for family in text_string_to_metric_families(generate_latest(registry).decode())
                for sample in family.samples
                if sample.name.startswith(("genai_llm_", "genai_workflow_duration")) and "in_flight" not in sample.name
            }
        names, chosen = {name for name, _ in shown}, {"mode": "1", "outcome": "success", "model": "openai-0"}
        made = set()
        for series in organisation(services=1):
            labels = dict(series.labels)
            name, host, _, _ = (labels.pop(label, "") for label in ("__name__", "instance", "job", "service"))
            of_the_call = all(labels.get(label, value) == value for label, value in chosen.items())
            if host == "host-00-0:9105" and name in names and of_the_call:
                made.add((name, frozenset(labels.items())))
        assert shown == made


class TestBlocks:
    """What promtool reads of a block is what was written."""

    def test_samples_come_back(self, tmp_path: Path) -> None:
        """Of every kind of course: constant, whole, fractional; over several chunks."""
        start, step = 1_760_000_000_000, 15_000
        courses = [[1.0] * 300, [float(i * i % 97) for i in range(300)], [0.1 * i**0.5 for i in range(300)]]
        written = {
            (("__name__", f"m{number}"), ("z", z)): course for number, course in enumerate(courses) for z in "ab"
        }
        runs = {id(course): panels_blocks.Run.of(course, start, step) for course in courses}
        rows = [(labels, runs[id(course)]) for labels, course in sorted(written.items())]
        block = panels_blocks.write(tmp_path, 1, rows, (start, start + 300 * step), copies=1)
        assert (block.series, block.samples) == (6, 1800)
        (tmp_path / "wal").mkdir()
        command = [require("promtool"), "tsdb", "dump", tmp_path]
        dumped = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        found: dict[str, list[tuple[float, int]]] = {}
        for line in dumped.splitlines():
            series, value, at = line.rsplit(" ", 2)
            found.setdefault(series, []).append((float(value), int(at)))
        assert found == {
            f'{{__name__="{name}", z="{z}"}}': [(value, start + i * step) for i, value in enumerate(course)]
            for ((_, name), (_, z)), course in written.items()
        }


@dataclass(frozen=True)
class Small:
    """A run over a day of one service."""

    folder: Path
    section: Section
    summary: panels_data.Summary


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Build the data and ask everything once."""
    folder = tmp_path_factory.mktemp("panels") / "data"
    (section,) = panels.measure(folder, rounds=1, say=quiet, services=1, days=4)
    return Small(folder, section, panels_data.Summary(**json.loads((folder / "summary.json").read_text())))


class TestData:
    """What is built for a run, on a small scale."""

    def test_is_what_its_summary_says(self, small: Small) -> None:
        """Prometheus finds as many series; those of the rules are among them, and all are there at the end."""
        summary = small.summary
        assert summary.scraped == len(list(organisation(1)))
        assert summary.recorded > 1000
        everything = 'count(last_over_time({__name__=~".+", __name__!~"ALERTS.*"}[20m]))'
        with prometheus(small.folder / "data") as server:
            # What is recorded every 20 minutes is older than Prometheus looks back.
            (found,) = server.ask("query", query=everything, time=str(panels_data.END - 15))["result"]
        assert int(found["value"][1]) == summary.scraped + summary.recorded

    def test_has_everything_that_panels_read(self, small: Small) -> None:
        """No query is measured over nothing because a name is missing."""
        with prometheus(small.folder / "data") as server:
            known = set(server.ask("label/__name__/values"))
        names = r"genai_\w+|\w+:[\w:]+"
        asked = {name for query in queries({}) for name in re.findall(names, re.sub(r'"[^"]*"', "", query.expression))}
        # As shipped no tenant has a budget.
        assert asked - known == {"service_tenant:genai_budget_daily_usd:effective"}

    def test_is_read_as_grafana_reads_a_week(self, small: Small) -> None:
        """The hidden variables, asked of Prometheus, are those that the data was made for."""
        with prometheus(small.folder / "data") as server:
            assert hidden(server, panels_data.END) == SPARSE

    def test_copies_lie_20_minutes_apart(self, small: Small) -> None:
        """What is recorded every 20 minutes has 72 samples a day, where others have 5 760."""
        names = "instance_service_mode:genai{}_workflow_duration_seconds_count:sum"
        counts = {}
        with prometheus(small.folder / "data") as server:
            for prefix in ("", "20m"):
                query = f"max(count_over_time({names.format(prefix)}[1h]))"
                (found,) = server.ask("query", query=query, time=str(panels_data.END - 15))["result"]
                counts[prefix] = int(found["value"][1])
        assert counts == {"": 240, "20m": 3}

    def test_is_kept_until_its_content_is_another(self, small: Small) -> None:
        """A second run finds what the first one built."""
        said: list[str] = []
        content = small.summary.content
        assert panels_data.build(small.folder, content, said.append, services=1, days=4) == small.summary
        assert said == []


class TestRun:
    """From the data to the table."""

    def test_ends_with_the_slowest_ten(self, small: Small) -> None:
        """Sorted, each with what it read; and how many took too long."""
        found = small.section
        medians = [figure.median for figure in found.figures]
        assert len(medians) == panels.SHOWN
        assert medians == sorted(medians, reverse=True)
        assert [figure.name for figure in found.figures if "samples read" not in figure.note] == []
        (target,) = found.targets
        assert target.value >= sum(seconds > panels.LIMIT_SECONDS for seconds in medians)
        assert "the slowest of" in markdown([found])

    def test_a_refused_query_counts_as_too_slow(self, small: Small) -> None:
        """Its reason is shown."""
        wrong = Query("board", "panel", "A", "instant", "All", "rate(", 600)
        with prometheus(small.folder / "data") as server:
            asked = panels.ask(server, wrong, 1)
        assert "parse error" in asked.refused
        found = panels.section([asked], small.summary)
        assert found.figures[0].note.startswith("refused: ")
        assert found.targets[0].value == 1
