"""Tests of the families in which the exporter describes itself."""

import platform
from collections.abc import Callable, Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_exporter.collectors.exporter import ExporterMetrics, Outcome, Totals, exporter_version
from genai_exporter.reload import ReloadState
from genai_metrics.catalog import EXPORTER_METRICS

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

ODD = 'odd "name"\n'
GOOD = Outcome(
    1e9,
    0.25,
    Totals(
        series=7,
        files={"live": 2, "rejected": 0},
        processes={"chat": 2, ODD: 1},
        started={"chat": 1_790_000_000.25, ODD: 1_780_000_000.5},
        merged={("chat", "tenant"): 12, (ODD, "model"): 3},
    ),
    None,
)
BAD = Outcome(1e9, 0.5, None, "gone")


def samples(outcome: Outcome, openmetrics: bool, age: float | None) -> dict[tuple[str, frozenset[str]], float]:
    """Render, parse, and return values by name and label values."""
    text = ExporterMetrics(lambda: age, lambda: ReloadState(True, 1.7e9)).render(outcome, openmetrics).decode()
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
        text = ExporterMetrics(lambda: 5.0, lambda: ReloadState(False, 1.7e9)).render(GOOD, openmetrics).decode()
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
        assert found["genai_processes", frozenset((ODD,))] == 1
        assert found["genai_process_start_time_seconds", frozenset(("chat",))] == 1_790_000_000.25
        assert found["genai_process_start_time_seconds", frozenset((ODD,))] == 1_780_000_000.5
        assert found["genai_exporter_merged_label_values", frozenset(("chat", "tenant"))] == 12
        assert found["genai_exporter_merged_label_values", frozenset((ODD, "model"))] == 3
        assert found["genai_price_data_age_seconds", frozenset()] == 5
        assert found["genai_exporter_config_last_reload_successful", frozenset()] == 1
        assert found["genai_exporter_config_last_reload_success_timestamp_seconds", frozenset()] == 1.7e9

    def test_a_failed_run_has_no_sizes(self, openmetrics: bool) -> None:
        """Success is 0, and what was not counted is absent instead of 0 or stale."""
        found = samples(BAD, openmetrics, 5.0)
        assert found["genai_exporter_collector_success", frozenset(("applications",))] == 0
        assert found["genai_exporter_collector_duration_seconds", frozenset(("applications",))] == 0.5
        names = {name for name, _ in found}
        of_a_good_run = {
            "genai_exporter_series",
            "genai_exporter_files",
            "genai_processes",
            "genai_process_start_time_seconds",
            "genai_exporter_merged_label_values",
        }
        assert not names & of_a_good_run

    def test_an_unknown_age_is_absent(self, openmetrics: bool) -> None:
        """Without genai-prices there is no age."""
        assert "genai_price_data_age_seconds" not in {name for name, _ in samples(GOOD, openmetrics, None)}

    def test_describes_its_own_process_and_no_creation_times(self, openmetrics: bool) -> None:
        """Memory and CPU of the exporter are served; ``_created`` series are not."""
        names = {name for name, _ in samples(GOOD, openmetrics, None)}
        assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= names
        assert not [name for name in names if name.endswith("_created")]
