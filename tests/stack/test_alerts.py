"""Every alert, proved by promtool: it fires at the right minute, and at no other time."""

import importlib
import pkgutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alert_cases
import pytest
import yaml
from alert_cases import KINDS, Case, Firing
from rule_files import ALERTS, RULES, needed, rule_file

from genai_stack import binaries

# What applications emit by OpenTelemetry's conventions only is recorded as the series that the cases begin with, by
# expressions that take most of the time; test_otel_rules.py tests them.
OURS = [rule for rule in RULES if rule.file.name != "otel.yml"]


def all_cases() -> Iterator[Case]:
    """Yield the cases of all categories."""
    for module in pkgutil.iter_modules(alert_cases.__path__):
        yield from importlib.import_module(f"alert_cases.{module.name}").CASES


CASES = tuple(all_cases())


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested_in_every_way(alert: str) -> None:
    """Each alert has a case of each kind, and no case is about an alert that does not exist."""
    assert {case.kind for case in CASES if case.alert == alert} == set(KINDS)
    assert {case.alert for case in CASES} <= set(ALERTS)


@pytest.mark.parametrize("alert", sorted({case.alert for case in CASES}))
def test_alert(alert: str, tmp_path: Path) -> None:
    """Promtool agrees with every case of the alert: labels, value and rendered texts."""
    cases = [case for case in CASES if case.alert == alert]
    rules, order = rule_file(needed(alert, OURS))
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False, width=10_000))
    for interval in sorted({case.interval for case in cases}):
        suite = tmp_path / f"{alert}-{interval}.yml"
        content = {
            "rule_files": ["rules.yml"],
            "group_eval_order": order,  # else the order, and with it the minute, is left to chance
            "evaluation_interval": interval,
            "fuzzy_compare": True,
            "tests": [promtool_test(case) for case in cases if case.interval == interval],
        }
        suite.write_text(yaml.safe_dump(content, sort_keys=False, width=1000))
        done = subprocess.run(
            [binaries.require("promtool"), "test", "rules", suite],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def promtool_test(case: Case) -> dict[str, Any]:
    """Return the case in the format of promtool."""
    checks: list[dict[str, Any]] = []
    if case.before is not None:
        checks.append({"eval_time": case.before, "alertname": case.alert, "exp_alerts": []})
    checks.append(
        {
            "eval_time": case.at,
            "alertname": case.alert,
            "exp_alerts": [expected(case.alert, one) for one in case.firing],
        }
    )
    return {
        "name": f"{case.alert}, {case.kind} {case.note}".strip(),
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": checks,
    }


def expected(alert: str, firing: Firing) -> dict[str, Any]:
    """Return a firing alert as promtool shall see it; what is static is taken from the rule."""
    rule = ALERTS[alert].content
    return {
        "exp_labels": {**rule["labels"], **firing.labels},
        "exp_annotations": {
            "summary": rule["annotations"]["summary"],
            "description": firing.description,
            "runbook_url": f"docs/alerts/{alert}.md",
            "dashboard_url": firing.dashboard,
        },
    }
