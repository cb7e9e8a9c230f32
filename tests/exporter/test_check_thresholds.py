"""Tests of what is said of thresholds, budgets and floors; each edits the file that is shipped."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter import checks_thresholds
from genai_exporter.checks_findings import Findings
from genai_metrics import yamlfile
from genai_metrics.catalog.thresholds import BUDGETS, FLOORS, THRESHOLDS
from genai_rules.thresholds import LEVELS

RULES = Path(__file__).parents[2] / "prometheus" / "rules"
SHIPPED = (RULES / "thresholds.yml").read_text()
FIRST = SHIPPED.splitlines().index("groups:") + 1
LAST = len(SHIPPED.splitlines())

Judge = Callable[..., list[str]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    """A function that judges the shipped file with changes (old, new) and rules behind it; returns problems."""

    def edit(*changes: tuple[str, str], more: str = "") -> list[str]:
        text = SHIPPED
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "thresholds.yml"
        path.write_text(text + "".join(f"      - {line}\n" for line in more.splitlines()))
        findings = Findings()
        checks_thresholds.judge([yamlfile.read(path)], findings)
        return [f"{problem.line}: {problem.message}" for problem in findings.problems]

    return edit


def rule(name: str, number: object, **labels: str) -> str:
    """One rule, as the file has them."""
    given = ", ".join(f"{label}: {value}" for label, value in labels.items())
    return f'{{ record: "genai:{name}", expr: {number}, labels: {{ {given} }} }}'


def line_of(text: str) -> int:
    """Line of the shipped file on which a text stands."""
    return next(number for number, line in enumerate(SHIPPED.splitlines(), 1) if text in line)


class TestCatalogue:
    """The list is right."""

    def test_every_threshold_has_a_level(self) -> None:
        """No threshold is left without generated rules."""
        assert sorted(t.name for t in THRESHOLDS) == sorted(name for level in LEVELS for name in level.thresholds)

    def test_alerts_are_those_that_read_it(self) -> None:
        """The rules' alerts read these thresholds at these severities, and no others."""
        read: dict[str, dict[str, set[str]]] = {}
        for path in RULES.glob("*.yml"):
            for text in re.split(r"\n\s+- (?=alert:|record:)", path.read_text()):
                alert = re.match(r"alert: (\w+)", text)
                expression = re.search(r"expr:(.*?)\n\s+(?:for|labels|annotations|keep_firing_for):", text, re.DOTALL)
                if alert and expression:
                    pattern = r'genai_threshold_(\w+):effective\{[^}]*severity="(\w+)"'
                    for name, severity in re.findall(pattern, expression[1]):
                        read.setdefault(name, {}).setdefault(severity, set()).add(alert[1])
        listed = {t.name: {s: set(alerts) for s, alerts in t.alerts.items()} for t in THRESHOLDS if t.alerts}
        assert listed == read

    def test_every_floor_and_budget_is_read(self) -> None:
        """Rules mention each, and mention no others."""
        mentioned = set()
        for path in RULES.glob("*.yml"):
            mentioned |= set(re.findall(r"genai:(?:floor|budget):\w+", path.read_text()))
        assert mentioned == {setting.series for setting in (*FLOORS, *BUDGETS)}


def test_the_shipped_file_is_right(judge: Judge) -> None:
    """Nothing is found."""
    assert judge() == []


def test_overrides_are_right(judge: Judge) -> None:
    """One label, two, budgets of tenants, computed numbers, alerts and rules of the user's own."""
    more = "\n".join(
        (
            rule("threshold:workflow_latency_p95_seconds", 60, severity="warning", mode="batch"),
            rule("threshold:workflow_latency_p95_seconds", 90.5, severity="warning", mode='"2"', service="search"),
            rule("threshold:error_ratio", "1e-1", severity="critical", service="search"),
            rule("budget:daily_usd", 25, tenant="acme"),
            rule("budget:daily_usd", '"25"', tenant="acme", service="chat"),
            rule("threshold:cost_daily_usd", "'avg_over_time(my:spend[1d]) * 2'", severity="warning", service="chat"),
            '{ record: "my:spend", expr: my_spend }',
            "{ alert: Mine, expr: up == 0, for: 1m, labels: { severity: warning }, annotations: { summary: x } }",
        )
    )
    assert judge(more=more) == []


@pytest.mark.parametrize(
    ("added", "expected"),
    [
        (
            rule("threshold:eror_ratio", 0.1, severity="warning"),
            "no alert or dashboard reads genai:threshold:eror_ratio; did you mean 'genai:threshold:error_ratio'?",
        ),
        (
            rule("treshold:error_ratio", 0.1, severity="warning", mode="x"),
            "no alert or dashboard reads genai:treshold:error_ratio; did you mean 'genai:threshold:error_ratio'?",
        ),
        (
            rule("threshold:error_ratio", 3, severity="warning", mode="x"),
            "genai:threshold:error_ratio: 3 is out of range; it is a share or score of 0 to 1: for percent write 0.03",
        ),
        (
            rule("threshold:error_ratio", -0.1, severity="warning", mode="x"),
            "genai:threshold:error_ratio: -0.1 is out of range; write at least 0",
        ),
        (
            rule("threshold:workflow_latency_p95_seconds", 9000, severity="warning", mode="x"),
            "9000 is out of range; no measured value is above 600, so the alert could never fire; mind the unit",
        ),
        (
            rule("threshold:error_ratio", "5%", severity="warning", mode="x"),
            "expr: '5%' is not a number; write one without a unit, such as 0.05",
        ),
        (
            rule("threshold:error_ratio", ".inf", severity="warning", mode="x"),
            "expr: '.inf' is not a number",
        ),
        (
            rule("threshold:cost_daily_usd", "Inf", severity="warning", service="x"),
            "expr: Inf is not a finite number; write one, or remove the rule",
        ),
        (
            rule("threshold:error_ratio", 0.1, mode="x"),
            "genai:threshold:error_ratio has no severity; add severity: target, warning or critical",
        ),
        (
            rule("threshold:error_ratio", 0.1, severity="warn", mode="x"),
            "'warn' is not a severity; write target, warning or critical",
        ),
        (
            rule("threshold:error_ratio", 0.1, severity="page", mode="x"),
            "'page' is not a severity; write target, warning or critical",
        ),
        (
            rule("threshold:budget_monthly_usd", "3,000", severity="warning", service="x").replace("3,000", "'3,000'"),
            "expr: '3,000' is not a number; write 3000, without thousands separators",
        ),
        (
            rule("threshold:cost_daily_usd", "$30", severity="warning", service="x"),
            "expr: '$30' is not a number; write 30, without a currency",
        ),
        (
            rule("threshold:budget_monthly_usd", "3,000", severity="warning", service="x"),
            "unknown key '000' in groups[1].rules[5]; within { } a comma ends a value: write a number without it, "
            "such as 3000 or 0.5",
        ),
        (
            rule("threshold:budget_daily_usd", 0, severity="warning", service="x"),
            "genai:threshold:budget_daily_usd: 0 is no budget",
        ),
        (
            rule("budget:daily_usd", 0, tenant="x"),
            "genai:budget:daily_usd: 0 is no budget, its alert would fire at the first cent; write the dollars that "
            "may be spent, 0.01 if none may",
        ),
        (
            rule("threshold:error_ratio", 0.1, severity="warning", modus="x"),
            "genai:threshold:error_ratio cannot be set for a modus; did you mean 'mode'?",
        ),
        (
            rule("threshold:cost_daily_usd", 1, severity="warning", tenant="x"),
            "genai:threshold:cost_daily_usd cannot be set for a tenant; known: service, severity",
        ),
        (rule("budget:daily_usd", 3), "genai:budget:daily_usd names no tenant, so no alert reads it; add the label"),
        (rule("budget:daily_usd", -3, tenant="x"), "genai:budget:daily_usd: -3 is out of range; write at least 0"),
        (
            rule("floor:requests", 3, mode="x"),
            "genai:floor:requests cannot be set for a mode; it is one number for all",
        ),
        ('{ record: "genai:floor:requests", expr: 30 }', "genai:floor:requests is set twice (first on line "),
        (
            '{ record: "genai:floor:requests", epxr: 30 }',
            "unknown key 'epxr' in groups[1].rules[5]; did you mean 'expr'?",
        ),
        ('{ record: "genai:floor:requests" }', "missing key 'expr'"),
    ],
)
def test_a_wrong_rule_is_named(judge: Judge, added: str, expected: str) -> None:
    """One problem, on the rule's line, that says what to write."""
    [problem] = judge(more=added)
    assert problem.startswith(f"{LAST + 1}: ")
    assert expected in problem


def test_a_repeated_override_is_named(judge: Judge) -> None:
    """Labels in another order are the same labels."""
    first = rule("threshold:error_ratio", 0.03, severity="warning", mode="x", service="y")
    again = rule("threshold:error_ratio", 0.04, service="y", mode="x", severity="warning")
    [problem] = judge(more=f"{first}\n{again}")
    assert problem.startswith(f"{LAST + 2}: ")
    assert f"is set twice (first on line {LAST + 1}); remove one" in problem


def test_the_order_of_general_thresholds(judge: Judge) -> None:
    """Critical must not be milder than warning, whether trouble is above or below."""
    errors = 'error_ratio", expr: 0.05'
    hits = 'cache_hit_ratio", expr: '
    [above] = judge(("expr: 0.02, labels: { severity: warning }", "expr: 0.06, labels: { severity: warning }"))
    assert above.startswith(f"{line_of(errors)}: ")
    assert "as trouble is above them, critical would come before warning: change one" in above
    [below] = judge((f"{hits}0.2", f"{hits}0.5"))
    assert below.startswith(f"{line_of(f'{hits}0.2')}: ")
    assert "as trouble is below them, critical would come before warning: change one" in below


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"mode": "batch"}, 'genai:threshold:error_ratio{mode="batch", severity="warning"} is 0.5'),
        (
            {"mode": "batch", "service": "search"},
            'genai:threshold:error_ratio{mode="batch", service="search", severity="warning"} is 0.5',
        ),
    ],
)
def test_the_order_with_an_override_of_one_severity(judge: Judge, labels: dict[str, str], said: str) -> None:
    """A warning raised above the general critical threshold is named with that threshold."""
    [problem] = judge(more=rule("threshold:error_ratio", 0.5, severity="warning", **labels))
    general = line_of('error_ratio", expr: 0.05')
    assert problem.startswith(f"{LAST + 1}: {said} and ")
    assert f"(line {general}); as trouble is above them" in problem
    assert problem.endswith("set critical for the same labels, too")


def test_the_more_specific_threshold_counts(judge: Judge) -> None:
    """Of overrides with one label the service's counts before the mode's, as in the generated rules."""
    more = "\n".join(
        (
            rule("threshold:error_ratio", 0.5, severity="critical", service="search"),
            rule("threshold:error_ratio", 0.3, severity="warning", service="search"),
            rule("threshold:error_ratio", 0.04, severity="critical", mode="batch"),
        )
    )
    assert judge(more=more) == []


def test_missing_thresholds_and_floors(judge: Judge) -> None:
    """Each is named with the alerts that cannot fire, and with what to add; an override does not stand in for it."""
    found = judge(
        (
            '{ record: "genai:threshold:quality_drop", expr: 0.1, labels: { severity: warning } }',
            '{ record: "my:a", expr: 1 }',
        ),
        ('{ record: "genai:floor:judgements", expr: 10 }', '{ record: "my:b", expr: 1 }'),
        more=rule("threshold:quality_drop", 0.2, severity="warning", service="x"),
    )
    assert found == [
        f"{FIRST}: genai:threshold:quality_drop with severity warning is missing, so GenAIQualityDrop cannot fire; add "
        '- { record: "genai:threshold:quality_drop", expr: NUMBER, labels: { severity: warning } }',
        f"{FIRST}: genai:floor:judgements is missing, so no alert that needs it can fire; add "
        '- { record: "genai:floor:judgements", expr: NUMBER }',
    ]


def test_files_are_judged_together(tmp_path: Path) -> None:
    """Thresholds may be spread over files; one that is set in two of them is named with both places."""
    head, _, floors = SHIPPED.partition("  - name: genai-floors\n")
    (tmp_path / "a.yml").write_text(head)
    extra = '      - { record: "genai:threshold:quality_drop", expr: 0.1, labels: { severity: warning } }\n'
    (tmp_path / "b.yml").write_text("groups:\n  - name: genai-floors\n" + floors + extra)
    (tmp_path / "c.yml").write_text("groups: [{ name: x, rules: [{ record: 'genai:mine', expr: 1 }] }]\n")
    findings = Findings()
    checks_thresholds.judge([yamlfile.read(tmp_path / f"{name}.yml") for name in "abc"], findings)
    [problem] = findings.problems
    assert problem.path == tmp_path / "b.yml"
    assert f"is set twice (first on {tmp_path / 'a.yml'}:{line_of('quality_drop')}); remove one" in problem.message
