"""What panels show of known series, by the real engine and the real recording rules: sums, shares, budgets, limits."""

import subprocess
from pathlib import Path

import yaml
from committed import filled, panels
from rule_files import RULES, Rule, rule_file, selected

from genai_stack import binaries

TARGET = 'job="genai-exporter",instance="a"'


def counter(name: str, per_minute: float, **labels: str) -> tuple[str, str]:
    """Seven hours of a counter of service ``shop``, unless labels name another."""
    text = ",".join(f'{label}="{value}"' for label, value in {"service": "shop", **labels}.items())
    return f"{name}{{{TARGET},{text}}}", f"0+{per_minute}x420"


def call(name: str, per_minute: float, **labels: str) -> tuple[str, str]:
    """A counter of LLM calls of one mode and model."""
    return counter(name, per_minute, **{"mode": "1", "provider": "p", "model": "m", "operation": "chat", **labels})


SERIES = dict(
    (
        # A minute: a call that costs three cents and takes two seconds, and a cached one that saves a cent.
        call("genai_llm_calls_total", 1, outcome="success"),
        call("genai_llm_calls_total", 1, outcome="cached"),
        call("genai_llm_call_duration_seconds_sum", 2, outcome="success"),
        call("genai_llm_call_duration_seconds_count", 1, outcome="success"),
        call("genai_llm_call_duration_seconds_sum", 0.5, outcome="cached"),
        call("genai_llm_call_duration_seconds_count", 1, outcome="cached"),
        call("genai_llm_cost_usd_total", 0.01, outcome="success", part="input"),
        call("genai_llm_cost_usd_total", 0.02, outcome="success", part="output"),
        call("genai_llm_cost_saved_usd_total", 0.01, outcome="cached", by="response_cache"),
        call("genai_llm_input_tokens_total", 1000, outcome="success"),
        call("genai_llm_cache_read_input_tokens_total", 250, outcome="success"),
        counter("genai_workflow_duration_seconds_count", 1, mode="1", outcome="success", cache="miss"),
        # Calls without a price, and a service that spends little.
        call("genai_llm_calls_total", 1, model="new", outcome="success"),
        counter("genai_llm_unpriced_calls_total", 1, provider="p", model="new"),
        call("genai_llm_calls_total", 1, service="search", mode="2", outcome="success"),
        call("genai_llm_cost_usd_total", 0.001, service="search", mode="2", outcome="success", part="output"),
        counter("genai_tenant_cost_usd_total", 0.02, tenant="acme"),
        counter("genai_tenant_cost_usd_total", 0.01, tenant="other"),
        ('genai:budget:daily_usd{tenant="acme"}', "25x420"),
        counter("genai_cache_lookups_total", 3, cache="answers", mode="1", result="hit"),
        counter("genai_cache_lookups_total", 5, cache="answers", mode="1", result="miss"),
        counter("genai_cache_entry_lifetime_seconds_sum", 600, cache="answers"),
        counter("genai_cache_entry_lifetime_seconds_count", 2, cache="answers"),
    )
)

ALL = ""
EXPECTED: dict[tuple[str, str, str], dict[str, float]] = {
    ("cost", "Cost", "A"): {ALL: 1.86},
    ("cost", "Saved", "A"): {ALL: 0.6},
    ("cost", "Saved, in percent", "A"): {ALL: 0.6 / 2.46},
    # One workflow a minute in one service, one call in the other.
    ("cost", "Cost per request", "A"): {ALL: 0.0155},
    ("cost", "LLM calls", "A"): {ALL: 240},
    ("cost", "Unpriced calls", "A"): {ALL: 60},
    # Midnight was seven hours ago, and seventeen hours are left of the day.
    ("cost", "Budgets at the present pace", "A"): {'{service="shop"}': 0.432, '{service="search"}': 0.0144},
    ("cost", "Cost by mode", "B"): {'{mode="1"}': 1.8 / 1.86, '{mode="2"}': 0.06 / 1.86},
    # Of the model without a price the cost is unknown, not 0.
    ("cost", "Cost by model, in figures", "A"): {'{provider="p",model="m"}': 1.86},
    ("cost", "Cost by model, in figures", "D"): {'{provider="p",model="new"}': 60},
    ("cost", "Most expensive tenants", "B"): {'{tenant="acme"}': 2 / 3, '{tenant="other"}': 1 / 3},
    ("cost", "Most expensive tenants", "G"): {'{tenant="acme"}': 25 - 0.02 * 420},
    ("cost", "Cost per hour by tenant", "A"): {'{tenant="acme"}': 1.2, '{tenant="other"}': 0.6},
    # Twice the usual $1.80 an hour; $1 more than the usual six cents.
    ("cost", "Cost per hour against usual", "B"): {'{service="shop"}': 3.6, '{service="search"}': 1.06},
    ("cost", "LLM calls cached against not", "B"): {ALL: 3 / 60},
    ("cost", "Saved, in percent of the cost without caches", "A"): {'{by="response_cache"}': 0.01 / 0.041},
    ("cost", "Cost per request by mode", "A"): {'{mode="1"}': 0.03, '{mode="2"}': 0.001},
    # Below the warning threshold of 40 %.
    ("cache", "Hit rate", "A"): {'{state="warning"}': 0.375},
    ("cache", "Lookups", "A"): {ALL: 480},
    ("cache", "Evicted for want of room", "A"): {ALL: 0},
    ("cache", "Caches by mode", "A"): {'{mode="1",cache="answers"}': 0.375},
    ("cache", "Input read from prompt caches", "A"): {ALL: 0.25},
    ("cache", "Money saved per hour", "A"): {'{by="response_cache"}': 0.6},
    # Each of 60 cached answers took half a second instead of two.
    ("cache", "Time saved", "A"): {ALL: 90},
    ("cache", "Time saved per hour", "A"): {ALL: 90},
    ("cache", "Average entry lifetime", "A"): {'{service="shop",cache="answers"}': 300},
}
QUERIES = {
    (panel.topic, panel.title, target["refId"]): target["expr"]
    for panel in panels()
    for target in panel.content["targets"]
}


def needed_rules() -> list[Rule]:
    """Recording rules that the queries read, directly or not."""
    names = set[str]().union(*(selected(filled(QUERIES[panel])) for panel in EXPECTED))
    found: list[Rule] = []
    while more := [rule for rule in RULES if rule.name in names and not rule.is_alert and rule not in found]:
        found += more
        names = names.union(*(rule.reads for rule in more))
    # Otel.yml reads series that are not here, and takes most of the time.
    return [rule for rule in RULES if rule in found and rule.file.name != "otel.yml"]


def test_panels_show_the_right_numbers(tmp_path: Path) -> None:
    """The query of each panel named, over the last hour of seven, gives exactly the values and labels above."""
    rules, order = rule_file(needed_rules())
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules, sort_keys=False, width=10_000))
    checks = [
        {
            "expr": f"round({filled(QUERIES[panel])}, 0.000001)",
            "eval_time": "7h",
            "exp_samples": [{"labels": labels or "{}", "value": round(value, 6)} for labels, value in expected.items()],
        }
        for panel, expected in EXPECTED.items()
    ]
    content = {
        "rule_files": ["rules.yml"],
        "group_eval_order": order,
        "evaluation_interval": "1m",
        "fuzzy_compare": True,
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in SERIES.items()],
                "promql_expr_test": checks,
            }
        ],
    }
    suite = tmp_path / "values.yml"
    suite.write_text(yaml.safe_dump(content, sort_keys=False, width=100_000))
    done = subprocess.run(
        [binaries.require("promtool"), "test", "rules", suite],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
