"""Tests of what is said of Prometheus's configuration, alone and beside the exporter's."""

from collections.abc import Callable
from pathlib import Path

import pytest
from check_runs import check

from genai_exporter import checks_prometheus, checks_targets
from genai_exporter.checks_findings import Findings
from genai_metrics import yamlfile

RIGHT = """\
scrape_configs:
  - job_name: genai-exporter
    honor_labels: true
    scrape_interval: 15s
"""

Judge = Callable[[str], tuple[list[str], float | None]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """A function that judges a text; returns problems and the interval."""

    def run(text: str) -> tuple[list[str], float | None]:
        path = tmp_path / "prometheus.yml"
        path.write_text(text)
        findings = Findings()
        interval = checks_prometheus.judge(yamlfile.read(path), findings)
        return [f"{f.line}: {f.message}" for f in findings.problems], None if interval is None else interval.seconds

    return run


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (RIGHT, 15),
        (RIGHT.replace("15s", "1m30s"), 90),
        (RIGHT.replace("15s", "500ms"), 0.5),
        (RIGHT.replace("    scrape_interval: 15s\n", ""), 60),
        ("global: { scrape_interval: 30s }\n" + RIGHT, 15),
        ("global: { scrape_interval: 30s }\n" + RIGHT.replace("    scrape_interval: 15s\n", ""), 30),
    ],
)
def test_the_interval_of_exporters(judge: Judge, text: str, seconds: float) -> None:
    """The job's own, else the global one, else Prometheus's default."""
    assert judge(text) == ([], seconds)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (RIGHT.replace("15s", "15"), "4: scrape_interval: '15' is not a duration; give one such as 15s"),
        (RIGHT.replace("genai-exporter", "genai_exporter"), "2: no job is called genai-exporter, by which rules and"),
        (RIGHT.replace("    honor_labels: true\n", ""), "2: genai-exporter: without honor_labels a target's label"),
        (RIGHT.replace("true", "false"), "3: genai-exporter: without honor_labels"),
        (RIGHT + "rule_files:\n  - rules/*.yml\n", "5: rule_files: no file is called rules/*.yml; correct the name"),
        (
            RIGHT + "    file_sd_configs:\n      - files: [targets/x.yml]\n",
            "6: no target file is called targets/x.yml; create it ([] for no targets), or correct the name",
        ),
        (
            RIGHT + "    basic_auth: { username: a, password: '${PASSWORD}' }\n",
            "5: scrape_configs.basic_auth.password: Prometheus expands ${PASSWORD} in external_labels only; write",
        ),
    ],
)
def test_a_fault_is_named(judge: Judge, text: str, expected: str) -> None:
    """One problem at the line."""
    problems, _ = judge(text)
    assert len(problems) == 1
    assert problems[0].startswith(expected)


def test_placeholders_where_they_work(judge: Judge) -> None:
    """In external labels, and the groups of relabelling."""
    text = RIGHT + "    relabel_configs: [{ target_label: a, replacement: '${name}-${1}' }]\n"
    assert judge(text + "global: { external_labels: { site: '${SITE}' } }\n") == ([], 15)


def test_a_container_s_folder_is_the_file_s(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a container mounts the folder, rule files are looked for beside the configuration."""
    monkeypatch.setattr(checks_targets, "MOUNTED", "/no/such/folder")
    (tmp_path / "rules.yml").write_text("")
    assert judge(RIGHT + "rule_files: [/no/such/folder/rules.yml]\n") == ([], 15)


class TestBirth:
    """How long new series are shown as 0."""

    def test_a_scrape_that_comes_too_late_is_named(self, tmp_path: Path) -> None:
        """With both files and the least number."""
        (tmp_path / "prometheus.yml").write_text(RIGHT.replace("15s", "1m"))
        exporter = tmp_path / "exporter.yml"
        exporter.write_text("born_at_zero_seconds: 59\n")
        assert check(tmp_path).problems == [
            "prometheus.yml:4: genai-exporter is scraped each 60 s, so first increments are lost: exporters show a new "
            f"series as 0 for 59 s only; set born_at_zero_seconds to 60 or more in {exporter}"
        ]
        exporter.write_text("born_at_zero_seconds: 60\n")
        assert check(tmp_path).code == 0

    def test_without_the_exporter_s_file_the_default_counts(self, tmp_path: Path) -> None:
        """The remedy is at the one end or at the other."""
        path = tmp_path / "prometheus.yml"
        path.write_text(RIGHT.replace("15s", "1m"))
        done = check(path)
        assert (done.code, done.notes) == (1, [])
        assert done.problems == [
            "prometheus.yml:4: genai-exporter is scraped each 60 s, so first increments are lost: exporters show a new "
            "series as 0 for 20 s only; scrape each 20 s or more often, or set born_at_zero_seconds to 60 in the "
            "exporters' configuration and have it checked, too"
        ]


def test_without_exporters(tmp_path: Path) -> None:
    """Who scrapes applications only is told of the job, and nothing is wrong."""
    path = tmp_path / "prometheus.yml"
    path.write_text("scrape_configs:\n  - job_name: applications\n")
    done = check(path)
    assert (done.code, done.problems) == (0, [])
    assert done.notes == [
        "prometheus.yml:1: no job is called genai-exporter, by which rules and dashboards know exporters"
    ]
