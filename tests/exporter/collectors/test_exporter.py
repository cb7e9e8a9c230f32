"""Tests of the families in which the exporter describes itself."""

import platform
from collections.abc import Callable, Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_exporter.collectors.exporter import ExporterMetrics, Outcome, Totals, exporter_version
from genai_metrics.catalog import EXPORTER_METRICS

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

GOOD = Outcome(1e9, 0.25, Totals(7, {"live": 2, "rejected": 0}, {"chat": 2, 'odd "name"\n': 1}), None)
BAD = Outcome(1e9, 0.5, None, "gone")


def samples(outcome: Outcome, openmetrics: bool, age: float | None) -> dict[tuple[str, frozenset[str]], float]:
    """Render, parse, and return values by name and label values."""
    text = ExporterMetrics(lambda: age).render(outcome, openmetrics).decode()
    families = list(parse_openmetrics(text)) if openmetrics else list(parse_text(text))
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize("openmetrics", [False, True])
class TestExporterMetrics:
    """Both formats say the same."""

    def test_serves_the_whole_catalogue(self, openmetrics: bool) -> None:
        """After a good run every family of the catalogue is there, with its help text, and no other of ours."""
        text = ExporterMetrics(lambda: 5.0).render(GOOD, openmetrics).decode()
        helps = {line for line in text.splitlines() if line.startswith("# HELP genai_")}
        assert helps == {f"# HELP {spec.name} {spec.help}" for spec in EXPORTER_METRICS}

    def test_values(self, openmetrics: bool) -> None:
        """Each value of the outcome is at its place."""
        found = samples(GOOD, openmetrics, 5.0)
        assert found["genai_build_info", frozenset((exporter_version(), platform.python_version()))] == 1
        assert found["genai_exporter_collector_duration_seconds", frozenset(("applications",))] == 0.25
        assert found["genai_exporter_collector_success", frozenset(("applications",))] == 1
        assert found["genai_exporter_series", frozenset()] == 7
        assert found["genai_exporter_files", frozenset(("live",))] == 2
        assert found["genai_exporter_files", frozenset(("rejected",))] == 0
        assert found["genai_processes", frozenset(("chat",))] == 2
        assert found["genai_processes", frozenset(('odd "name"\n',))] == 1
        assert found["genai_price_data_age_seconds", frozenset()] == 5

    def test_a_failed_run_has_no_sizes(self, openmetrics: bool) -> None:
        """Success is 0, and what was not counted is absent instead of 0 or stale."""
        found = samples(BAD, openmetrics, 5.0)
        assert found["genai_exporter_collector_success", frozenset(("applications",))] == 0
        assert found["genai_exporter_collector_duration_seconds", frozenset(("applications",))] == 0.5
        names = {name for name, _ in found}
        assert not names & {"genai_exporter_series", "genai_exporter_files", "genai_processes"}

    def test_an_unknown_age_is_absent(self, openmetrics: bool) -> None:
        """Without genai-prices there is no age."""
        assert "genai_price_data_age_seconds" not in {name for name, _ in samples(GOOD, openmetrics, None)}

    def test_describes_its_own_process_and_no_creation_times(self, openmetrics: bool) -> None:
        """Memory and CPU of the exporter are served; ``_created`` series are not."""
        names = {name for name, _ in samples(GOOD, openmetrics, None)}
        assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
        assert not [name for name in names if name.endswith("_created")]
