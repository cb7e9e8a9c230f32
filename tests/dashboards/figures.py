"""Runs queries of panels over given series with the real engine and the real recording rules."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml
from committed import filled, panels
from rule_files import RULES, Rule, rule_file, selected

from genai_stack import binaries

Values = Mapping[str, float]
"""Expected values by their labels, written as in PromQL; without labels an empty string."""

TARGET = 'job="genai-exporter",instance="a"'
ALL = ""
MINUTES = 420
"""How long series are; panels are asked about the last of these seven hours."""

_QUERIES = {
    (panel.topic, panel.title, target["refId"]): target["expr"]
    for panel in panels()
    for target in panel.content["targets"]
}


def counter(name: str, per_minute: float, **labels: str) -> tuple[str, str]:
    """A counter of service ``shop``, unless labels name another."""
    text = ",".join(f'{label}="{value}"' for label, value in {"service": "shop", **labels}.items())
    return f"{name}{{{TARGET},{text}}}", f"0+{per_minute}x{MINUTES}"


def call(name: str, per_minute: float, **labels: str) -> tuple[str, str]:
    """A counter of LLM calls of one mode and model."""
    return counter(name, per_minute, **{"mode": "1", "provider": "p", "model": "m", "operation": "chat", **labels})


def gauge(series: str, value: float) -> tuple[str, str]:
    """A series that always has the value."""
    return series, f"{value}x{MINUTES}"


def judge(series: Mapping[str, str], expected: Mapping[tuple[str, str, str], Values], folder: Path) -> None:
    """Fail unless the query of each topic, panel and letter gives exactly these values and labels, rounded to 1e-6."""
    asked = {panel: f"round({filled(_QUERIES[panel])}, 0.000001)" for panel in expected}
    rules, order = rule_file(_needed(asked.values()))
    (folder / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False, width=10_000))
    checks = [
        {
            "expr": asked[panel],
            "eval_time": f"{MINUTES}m",
            "exp_samples": [{"labels": labels or "{}", "value": round(value, 6)} for labels, value in values.items()],
        }
        for panel, values in expected.items()
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": checks,
    }
    content = {
        "rule_files": ["rules.yml"],
        "group_eval_order": order,
        "evaluation_interval": "1m",
        "fuzzy_compare": True,
        "tests": [test],
    }
    suite = folder / "values.yml"
    suite.write_text(yaml.safe_dump(content, sort_keys=False, width=100_000))
    done = subprocess.run(
        [binaries.require("promtool"), "test", "rules", suite],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _needed(queries: Iterable[str]) -> list[Rule]:
    """Recording rules that the queries read, directly or not."""
    names = set[str]().union(*(selected(query) for query in queries))
    found: list[Rule] = []
    while more := [rule for rule in RULES if rule.name in names and not rule.is_alert and rule not in found]:
        found += more
        names = names.union(*(rule.reads for rule in more))
    # Otel.yml reads series that are not here, and takes most of the time.
    return [rule for rule in RULES if rule in found and rule.file.name != "otel.yml"]
