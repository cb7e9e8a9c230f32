"""Tests of ``genai-exporter check`` as a command: what it judges and prints, and the real promtool and amtool."""

import os
import re
import shutil
from pathlib import Path

import pytest
import trustme
from check_runs import check, run

from genai_exporter import checks_tools
from genai_stack import binaries

REPOSITORY = Path(__file__).parents[2]
PROMETHEUS = "scrape_configs:\n  - { job_name: genai-exporter, honor_labels: true, scrape_interval: 15s }\n"
NOT_ASKED = (
    "note: not asked, as not on PATH: {}; they find more: download them from prometheus.io/download, or run "
    "`make servers` in a clone and its .venv/bin/genai-exporter"
)
ALERTMANAGER = "route: { receiver: 'null' }\nreceivers: [{ name: 'null' }]\n"


@pytest.fixture(scope="module")
def tools() -> str:
    """PATH with the real promtool and amtool, and nothing else."""
    return os.pathsep.join(str(binaries.require(name).parent) for name in ("promtool", "amtool"))


class TestBundle:
    """The files of this repository."""

    def test_is_right(self, tools: str) -> None:
        """In the repository's root nothing is wrong, the programs included, and all kinds of files are found."""
        done = check(cwd=REPOSITORY, path=tools)
        assert (done.code, done.problems, done.told["missing_tools"]) == (0, [], [])
        found = {file["file"]: file["kind"] for file in done.told["files"]}
        assert found["prometheus/rules/thresholds.yml"] == "rules"
        assert found["prometheus/prometheus.yml"] == "prometheus"
        assert found["alertmanager/alertmanager.yml"] == "alertmanager"
        assert {Path(name).name for name in found} >= {
            path.name for path in (REPOSITORY / "prometheus/rules").iterdir()
        }

    def test_without_the_programs_it_is_right_too(self) -> None:
        """A line says which were not asked."""
        done = run(cwd=REPOSITORY)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{NOT_ASKED.format('promtool and amtool')}\n" in done.stdout
        assert re.search(r"^\d+ files checked, no problems\n\Z", done.stdout, re.MULTILINE)

    def test_an_edit_is_judged_where_it_is(self, tmp_path: Path) -> None:
        """A copy of the folder with a typing error in its thresholds, seen from that folder."""
        shutil.copytree(REPOSITORY / "prometheus", tmp_path / "prometheus")
        path = tmp_path / "prometheus" / "rules" / "thresholds.yml"
        lines = path.read_text().splitlines()
        line = next(number for number, text in enumerate(lines, 1) if "expr: 0.05" in text)
        lines[line - 1] = lines[line - 1].replace("expr: 0.05", "expr: 5")
        path.write_text("\n".join(lines))
        done = run(cwd=tmp_path)
        assert done.returncode == 1
        assert done.stdout.splitlines()[0] == (
            f"prometheus/rules/thresholds.yml:{line}: genai:threshold:error_ratio: 5 is out of range; it is a share or "
            "score of 0 to 1: for percent write 0.05"
        )
        assert done.stdout.splitlines()[-1].endswith(" files checked, 1 problem")


class TestFiles:
    """What is judged."""

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            ("groups: []\n", "rules"),
            (PROMETHEUS, "prometheus"),
            (ALERTMANAGER, "alertmanager"),
            ("metrics_dir: x\n", "exporter"),
            ("label_caps: { tenant: 3 }\n", "exporter"),
            ("basic_auth_users: {}\n", "web"),
            ("prices: []\n", "prices"),
            ("- targets: ['app:9840']\n", "targets"),
            ("[]\n", "targets"),
        ],
    )
    def test_the_kind_is_told_by_content(self, tmp_path: Path, text: str, kind: str) -> None:
        """Whatever the file's name."""
        path = tmp_path / "mine.conf"
        path.write_text(text)
        done = check(path)
        assert (done.code, done.problems) == (0, [])
        assert done.told["files"] == [{"file": str(path), "kind": kind}]

    def test_else_by_name(self, tmp_path: Path) -> None:
        """An empty file, one whose only key is misspelt, one that is no YAML."""
        (tmp_path / "exporter.yml").write_text("metric_dir: x\n")
        assert check(tmp_path / "exporter.yml").problems == [
            "exporter.yml:1: unknown key 'metric_dir'; did you mean 'metrics_dir'?"
        ]
        (tmp_path / "web.yml").write_text("")
        assert check(tmp_path / "web.yml").code == 0
        (tmp_path / "thresholds.yml").write_text("a: [\n")
        [problem] = check(tmp_path / "thresholds.yml").problems
        assert problem.startswith("thresholds.yml:2: not valid YAML")

    def test_a_file_of_no_kind_is_a_problem(self, tmp_path: Path) -> None:
        """With its line, and the key that was meant if one is near."""
        path = tmp_path / "x.yml"
        path.write_text("# mine\na: 1\n")
        assert check(path).problems == [
            "x.yml:2: cannot tell what this file configures; check takes rules and thresholds (groups), the "
            "configurations of Prometheus (scrape_configs), Alertmanager (route), exporter and its web side, prices "
            "(prices), and lists of targets"
        ]
        path.write_text("# mine\nprice:\n  - model: x\n")
        done = check(path)
        assert (done.code, done.problems) == (
            1,
            ["x.yml:2: cannot tell what this file configures; did you mean 'prices' instead of 'price'?"],
        )

    def test_a_path_that_does_not_exist_is_a_usage_error(self, tmp_path: Path) -> None:
        """Exit code 2, beside paths that exist, too."""
        (tmp_path / "prices.yml").write_text("prices: []\n")
        done = run(tmp_path / "prices.yml", tmp_path / "none.yml")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines()[-1] == (
            f"Error: {tmp_path / 'none.yml'}: no such file or folder; correct the path"
        )

    def test_a_file_that_is_given_twice_is_judged_once(self, tmp_path: Path) -> None:
        """By itself, in its folder, by another way to it."""
        shutil.copy(REPOSITORY / "prometheus" / "rules" / "thresholds.yml", tmp_path)
        (tmp_path / "link.yml").symlink_to("thresholds.yml")
        done = check(tmp_path / "thresholds.yml", tmp_path, tmp_path / "link.yml")
        assert (done.problems, len(done.told["files"])) == ([], 1)

    def test_nothing_to_check_is_a_usage_error(self, tmp_path: Path) -> None:
        """Exit code 2, and where it looked."""
        done = run(cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"nothing to check in {tmp_path}; looked for prometheus/rules/*.yml" in done.stderr

    def test_files_that_files_name_are_judged(self, tmp_path: Path) -> None:
        """The rule files of Prometheus, the web configuration of the exporter; each once."""
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / "mine.rules").write_text(
            "groups: [{ name: a, rules: [{ record: 'genai:threshold:x', expr: 1 }] }]"
        )
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS + "rule_files: ['r/*.rules']\n")
        (tmp_path / "web.yml").write_text("basic_auth_users: { alice: secret }\n")
        (tmp_path / "exporter.yml").write_text("web: { config_file: web.yml }\n")
        done = check(tmp_path / "prometheus.yml", tmp_path / "exporter.yml", tmp_path / "r" / "mine.rules")
        assert sorted(Path(file["file"]).name for file in done.told["files"]) == [
            "exporter.yml",
            "mine.rules",
            "prometheus.yml",
            "web.yml",
        ]
        assert any(
            problem.startswith("mine.rules:1: no alert or dashboard reads genai:threshold:x")
            for problem in done.problems
        )
        assert any(
            problem.startswith("web.yml:1: basic_auth_users.alice is not a bcrypt hash") for problem in done.problems
        )


class TestExporter:
    """Files that the exporter and applications read."""

    def test_the_configuration(self, tmp_path: Path) -> None:
        """As the exporter itself reads it."""
        (tmp_path / "exporter.yml").write_text("label_caps: { tenant: 0 }\n")
        assert check(tmp_path).problems == ["exporter.yml:1: label_caps.tenant must be at least 1, not 0"]

    def test_certificates(self, tmp_path: Path) -> None:
        """Those that the web configuration names are read, too."""
        certificate = trustme.CA().issue_cert("localhost")
        certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
        certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
        (tmp_path / "web.yml").write_text("tls_server_config: { cert_file: cert.pem, key_file: key.pem }\n")
        assert check(tmp_path).code == 0
        (tmp_path / "key.pem").unlink()
        [problem] = check(tmp_path).problems
        assert problem.startswith("web.yml:1: tls_server_config.key_file: ")

    def test_prices(self, tmp_path: Path) -> None:
        """From the environment without paths, else by option or path."""
        path = tmp_path / "mine.yaml"
        path.write_text("prices:\n  - { model: x, input_per_1m_usd: -1, output_per_1m_usd: 1 }\n")
        expected = ["mine.yaml:2: prices[0].input_per_1m_usd must be at least 0, not -1"]
        assert check(cwd=tmp_path, GENAI_PRICE_FILE=str(path)).problems == expected
        assert check(path).problems == expected
        (tmp_path / "exporter.yml").write_text("metrics_dir: x\n")
        assert check("--price-file", path, tmp_path).problems == expected
        assert check(tmp_path, GENAI_PRICE_FILE=str(path)).problems == []


class TestPrograms:
    """The real promtool and amtool."""

    def test_a_wrong_expression(self, tmp_path: Path, tools: str) -> None:
        """promtool's message, with the rule's file and line, once, whether Prometheus's file names it or not."""
        (tmp_path / "rules").mkdir()
        path = tmp_path / "rules" / "mine.yml"
        path.write_text(
            "groups:\n- name: a\n  rules:\n  - record: a:b\n    expr: sum(\n  - record: a:c\n    expr: up +\n"
        )
        expected = [
            'mine.yml:5: promtool: group "a", rule 1, "a:b": could not parse expression: 1:5: parse error: unclosed '
            "left parenthesis; mend it as promtool says",
            'mine.yml:7: promtool: group "a", rule 2, "a:c": could not parse expression: 1:5: parse error: unexpected '
            "end of input; mend it as promtool says",
        ]
        assert check(path, path=tools).problems == expected
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS + "rule_files: [rules/*.yml]\n")
        done = check(tmp_path, path=tools)
        assert (done.code, done.problems) == (1, expected)
        assert {problem["file"] for problem in done.told["problems"]} == {str(path)}
        assert check(tmp_path).problems == []
        relative = check(cwd=tmp_path, path=tools).told["problems"]
        assert [problem["file"] for problem in relative] == ["rules/mine.yml"] * 2

    def test_a_key_that_prometheus_does_not_know(self, tmp_path: Path, tools: str) -> None:
        """In a configuration and in a rule file."""
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS + "global:\n  scrape_intervall: 3s\n")
        (tmp_path / "thresholds.yml").write_text(
            "groups:\n- name: a\n  rules:\n  - alert: A\n    exprr: up\n    expr: up\n"
        )
        found = check(tmp_path, path=tools).problems
        assert found == [
            "prometheus.yml:4: promtool: field scrape_intervall not found in type config.plain; mend it as promtool "
            "says",
            "thresholds.yml:5: promtool: field exprr not found in type rulefmt.Rule; mend it as promtool says",
        ]

    def test_a_wrong_alertmanager_configuration(self, tmp_path: Path, tools: str) -> None:
        """amtool's message, with the line where it gives one, and a template that cannot be parsed."""
        path = tmp_path / "alertmanager.yml"
        path.write_text(ALERTMANAGER + "globul: {}\n")
        assert check(path, path=tools).problems == [
            "alertmanager.yml:3: amtool: field globul not found in type config.plain; mend it as amtool says"
        ]
        path.write_text(ALERTMANAGER.replace("'null' }", "'null', matchers: ['a=~\"(\"'] }", 1))
        [problem] = check(path, path=tools).problems
        assert problem.startswith("alertmanager.yml: amtool: ")
        (tmp_path / "my.tmpl").write_text('{{ define "x" }}{{ bogus }}{{ end }}')
        path.write_text(ALERTMANAGER + "templates: [my.tmpl]\n")
        [problem] = check(path, path=tools).problems
        assert 'amtool: template: my.tmpl:1: function "bogus" not defined; mend it as amtool says' in problem

    def test_what_is_known_is_not_said_again(self, tmp_path: Path, tools: str) -> None:
        """A number that is none stops promtool, too; the line has one problem."""
        text = (REPOSITORY / "prometheus" / "rules" / "thresholds.yml").read_text()
        (tmp_path / "thresholds.yml").write_text(text.replace("expr: 87,", "expr: 87C,"))
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS + "rule_files: [thresholds.yml]\n")
        [problem] = check(tmp_path, path=tools).problems
        assert "expr: '87C' is not a number" in problem

    def test_a_broken_rule_file_is_told_once(self, tmp_path: Path, tools: str) -> None:
        """promtool reads it for Prometheus's configuration, and names another line."""
        (tmp_path / "mine.yml").write_text(
            "groups:\n- name: a\n  rules:\n  - { record: b, expr: 1\n  - { record: c }\n"
        )
        path = tmp_path / "prometheus.yml"
        path.write_text(PROMETHEUS + "rule_files: [mine.yml]\n")
        expected = (
            "mine.yml:5: not valid YAML: expected ',' or '}', but got '{' in what begins on line 4; check indentation, "
            "colons and quotes"
        )
        assert check(path, path=tools).problems == [expected]
        path.write_text(path.read_text() + "globul: {}\n")
        assert check(path, path=tools).problems == [
            expected,
            "prometheus.yml:4: promtool: field globul not found in type config.plain; mend it as promtool says",
        ]

    def test_those_that_a_clone_has_fetched(self, tmp_path: Path) -> None:
        """They need not be on PATH; a clone's folder is where this repository fetches them to."""
        folder = tmp_path / "cache" / "package" / "usr" / "bin"
        folder.mkdir(parents=True)
        for name in ("promtool", "amtool"):
            (folder / name).symlink_to(binaries.require(name))
        (tmp_path / "mine.yml").write_text("groups:\n- { name: a, rules: [{ record: 'a:b', expr: sum( }] }\n")
        (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER + "globul: {}\n")
        files = (tmp_path / "mine.yml", tmp_path / "alertmanager.yml")
        assert check(*files).problems == []
        done = check(*files, cache=str(tmp_path / "cache"))
        assert done.told["missing_tools"] == []
        assert [re.findall("amtool|promtool", problem)[0] for problem in done.problems] == ["amtool", "promtool"]
        assert checks_tools.CACHE == binaries.CACHE

    def test_one_that_would_read_nothing_is_not_missed(self, tmp_path: Path) -> None:
        """Prices are none of their business."""
        (tmp_path / "prices.yml").write_text("prices: []\n")
        assert run(cwd=tmp_path).stdout == "1 file checked, no problems\n"
        (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER)
        assert run(cwd=tmp_path).stdout == f"{NOT_ASKED.format('amtool')}\n2 files checked, no problems\n"

    def test_a_program_that_cannot_run(self, tmp_path: Path) -> None:
        """It is a problem, and no traceback."""
        folder = tmp_path / "bin"
        folder.mkdir()
        (tmp_path / "alertmanager.yml").write_text(ALERTMANAGER)
        (folder / "promtool").write_text("#!/no/such/interpreter\n")
        (folder / "promtool").chmod(0o755)
        (tmp_path / "prometheus.yml").write_text(PROMETHEUS)
        done = check(tmp_path, path=str(folder))
        assert done.code == 1
        assert done.problems[-1].startswith("prometheus.yml: promtool cannot be run: ")
        assert done.told["missing_tools"] == ["amtool"]


def test_problems_are_lines_that_editors_understand(tmp_path: Path) -> None:
    """``file:line: message`` in the order of files and lines, then notes, then a summary."""
    (tmp_path / "alertmanager.yml").write_text(
        "route: { receiver: b }\nreceivers:\n  - name: a\n    slack_configs: [{ api_url: x }]\n"
    )
    done = run(cwd=tmp_path)
    assert done.stdout.splitlines() == [
        "alertmanager.yml:1: no receiver is called 'b'; known: a",
        "alertmanager.yml:4: api_url shows a secret to all who read this file; put it into a file of its own, named by "
        "api_url_file",
        "note: alertmanager.yml:3: no route leads to the receiver 'a'",
        NOT_ASKED.format("amtool"),
        "1 file checked, 2 problems",
    ]
