"""Tests of what is said of target files, and of the jobs that scrape exporters."""

from pathlib import Path

import pytest
from check_runs import check

from genai_stack import binaries

JOB = """\
scrape_configs:
  - job_name: NAME
    honor_labels: true
    scrape_interval: 15s
"""
FROM_FILE = f"{JOB}    file_sd_configs: [{{ files: [targets.yml] }}]\n"


@pytest.fixture(scope="module")
def promtool() -> str:
    """PATH with the real promtool."""
    return str(binaries.require("promtool").parent)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- target: ['a:1']\n", ":1: unknown key 'target' in a group of targets; did you mean 'targets'?"),
        ("# none\n- labels: { a: b }\n", ':2: a group without targets; add targets: ["HOST:PORT"]'),
        (
            "- targets:\n    - http://a:1/metrics\n",
            ":1: 'http://a:1/metrics' is not an address; write HOST:PORT, without http:// and path: a path goes to the "
            "label __metrics_path__",
        ),
        ("- targets: ['a b']\n", ":1: 'a b' is not an address; write HOST:PORT"),
        ("- targets: a:1\n", ":1: [0].targets must be a list ('- ' lines), not 'a:1'"),
        (
            "- targets: ['a:1']\n  labels:\n    my-name: x\n",
            ":3: 'my-name' is not a label's name; use letters, digits and _",
        ),
        ("- targets: ['a:1']\n  labels: { a: [x] }\n", ":2: [0].labels.a must be text, not a list"),
        ("- a:1\n", ':1: must be a group of targets; write - targets: ["HOST:PORT"]'),
        ("targets: ['a:1']\n", ':1: must be a list; begin a group of targets with - targets: ["HOST:PORT"]'),
        ("# none\n", ": is empty; write [] for no targets"),
        (
            "- targets: ['a:1'\n",
            ":2: not valid YAML: expected ',' or ']', but got '<stream end>' in what begins on line 1; "
            "check indentation, colons and quotes",
        ),
    ],
)
def test_a_wrong_target_file_is_named(tmp_path: Path, promtool: str, text: str, expected: str) -> None:
    """One problem at the file and line, also where promtool finds it, too."""
    (tmp_path / "prometheus.yml").write_text(FROM_FILE.replace("NAME", "genai-exporter"))
    (tmp_path / "targets.yml").write_text(text)
    assert check(tmp_path, path=promtool).problems == [f"targets.yml{expected}"]


@pytest.mark.parametrize(
    "text",
    [
        "[]\n",
        "- targets: []\n",
        "- targets: ['a:1', '[::1]:9840', a]\n  labels: { service: chat, n: 1, empty: '', none: }\n",
        '[{"targets": ["a:1"], "labels": {"__metrics_path__": "/m"}}]',
    ],
)
def test_a_right_one_is_right(tmp_path: Path, promtool: str, text: str) -> None:
    """By promtool, too; no targets, labels of any text, JSON."""
    (tmp_path / "prometheus.yml").write_text(FROM_FILE.replace("NAME", "genai-exporter"))
    (tmp_path / "targets.yml").write_text(text)
    assert check(tmp_path, path=promtool).problems == []


def test_what_only_promtool_finds_is_placed(tmp_path: Path, promtool: str) -> None:
    """In the target file, not in the configuration that names it: YAML in a file that is called JSON."""
    (tmp_path / "prometheus.yml").write_text(FROM_FILE.replace("NAME", "genai-exporter").replace(".yml", ".json"))
    (tmp_path / "targets.json").write_text("- targets: ['a:1']\n")
    [problem] = check(tmp_path, path=promtool).problems
    assert problem.startswith("targets.json: promtool: invalid ")


def test_targets_of_alertmanager_and_in_the_configuration(tmp_path: Path) -> None:
    """Those are judged as well."""
    (tmp_path / "prometheus.yml").write_text(
        "alerting: { alertmanagers: [{ file_sd_configs: [{ files: [am.yml] }] }] }\n"
        "scrape_configs: [{ job_name: x, static_configs: [{ target: ['a:1'] }] }]\n"
    )
    (tmp_path / "am.yml").write_text("- targets: ['https://a:1']\n")
    assert [problem.partition(";")[0] for problem in check(tmp_path).problems] == [
        "am.yml:1: 'https://a:1' is not an address",
        "prometheus.yml:2: unknown key 'target' in a group of targets",
    ]


class TestJobs:
    """Exporters are known by their job."""

    @pytest.mark.parametrize("targets", ["static_configs: [{ targets: ['app-1:9840'] }]", "file"])
    def test_another_name_is_named(self, tmp_path: Path, targets: str) -> None:
        """Whether targets stand in the configuration or in a file."""
        text = FROM_FILE if targets == "file" else f"{JOB}    {targets}\n"
        (tmp_path / "prometheus.yml").write_text(text.replace("NAME", "llm"))
        (tmp_path / "targets.yml").write_text("- targets: ['app-1:9840']\n")
        done = check(tmp_path)
        assert (done.problems, done.notes) == (
            [
                "prometheus.yml:2: llm scrapes the exporter app-1:9840, but rules and dashboards know exporters by the "
                "job genai-exporter: alerts on a lost exporter never fire; rename the job to genai-exporter"
            ],
            [],
        )

    def test_a_second_job_is_named(self, tmp_path: Path) -> None:
        """Beside the one of the right name."""
        second = "  - { job_name: eu, static_configs: [{ targets: ['b:9840'] }] }\n"
        (tmp_path / "prometheus.yml").write_text(JOB.replace("NAME", "genai-exporter") + second)
        [problem] = check(tmp_path).problems
        assert problem.startswith("prometheus.yml:5: eu scrapes the exporter b:9840")
        assert problem.endswith("; move the target to genai-exporter")

    @pytest.mark.parametrize(
        "job",
        [
            "job_name: applications, static_configs: [{ targets: ['b:9840'] }]",
            "job_name: eu, static_configs: [{ targets: ['b:9100', 'b:19840'] }]",
            "job_name: eu, static_configs: [{ targets: ['b:9840'], labels: { job: genai-exporter } }]",
            "job_name: eu, relabel_configs: [{ target_label: job, replacement: genai-exporter }], "
            "static_configs: [{ targets: ['b:9840'] }]",
        ],
    )
    def test_others_are_not(self, tmp_path: Path, job: str) -> None:
        """Applications, other ports, jobs whose targets get the right name."""
        (tmp_path / "prometheus.yml").write_text(JOB.replace("NAME", "genai-exporter") + f"  - {{ {job} }}\n")
        assert check(tmp_path).problems == []
