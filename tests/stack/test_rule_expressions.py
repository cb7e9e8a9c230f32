"""Every expression in the rules: what it names exists, what it matches can match, what it records is used."""

import json
import re
from collections.abc import Iterator

import pytest
from known_series import known_series, labels_of
from rule_files import RULES, Rule, selected
from rule_labels import WrongLabelsError, result_labels

from genai_stack import REPOSITORY

OURS = [rule for rule in RULES if rule.file.name != "otel.yml"]  # which test_otel_rules.py judges
RECORDED = {rule.name for rule in OURS if not rule.is_alert}
DASHBOARDS = sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json"))
# Series that neither a rule nor an alert reads are for the panels of these.
FOR_DASHBOARDS = {"genai-performance", "genai-cache", "genai-cost", "genai-health"}


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: f"{rule.name}-{rule.content.get('labels', {})}")
class TestRule:
    """Each rule but those of otel.yml."""

    def test_names_and_labels_exist(self, rule: Rule) -> None:
        """Selected series, matched, grouped and joined labels exist; operands have labels by which they can match."""
        labels_of(rule, known_series())

    def test_annotations_name_labels_that_the_alert_has(self, rule: Rule) -> None:
        """A text never says "service <no value>", and what it looks up exists."""
        text = " ".join(rule.content.get("annotations", {}).values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels_of(rule, known_series())
        for query in looked_up(text):
            result_labels(query, known_series())

    def test_level_in_the_name_is_what_is_left(self, rule: Rule) -> None:
        """A recorded series has the labels that its name begins with, but for what follows from one of them."""
        level, colon, _ = rule.name.partition(":")
        if not rule.is_alert and level != "genai" and colon:
            implied = {"job", "provider", "severity", "le", "device", "index", "name"}
            assert labels_of(rule, known_series()) - implied == set(level.split("_")) - implied


def looked_up(text: str) -> Iterator[str]:
    """Queries in a template, with a value for each verb."""
    for query in re.findall(r'(?:query|printf) "([^"]*:[^"]*)"', text):
        yield re.sub("%[qsv]", '"x"', query.replace("'%s'", "%s"))


def test_every_recorded_series_is_used() -> None:
    """By another rule, an alert's expression or text, or a panel; while a dashboard is to come, some wait for it."""
    contents = [json.loads(path.read_text()) for path in DASHBOARDS]
    used = {name for rule in OURS for name in rule.reads}
    for query in (query for content in contents for query in queries(content)):
        for prefix in ("genai", "genai20m"):
            used |= {name for name in RECORDED if name in query.replace("${genai}", prefix)}
    unused = sorted(RECORDED - used)
    to_come = FOR_DASHBOARDS - {content["uid"] for content in contents}
    assert bool(unused) == bool(to_come), unused


def queries(node: object) -> Iterator[str]:
    """PromQL of a dashboard: of panels, variables and annotations."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "query", "definition") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from queries(value)


KNOWN = {
    "a_total": frozenset("xy"),
    "b_total": frozenset("xz"),
    "c_bucket": frozenset({"x", "le"}),
    "d": frozenset("x"),
}


@pytest.mark.parametrize(
    ("expression", "labels"),
    [
        ("a_total", "xy"),
        ("sum by (x) (rate(a_total[5m] offset 1w))", "x"),
        ("sum without (x) (a_total)", "y"),
        ("sum(a_total)", ""),
        ("topk(3, a_total)", "xy"),
        ("histogram_quantile(0.9, sum by (le) (rate(c_bucket[5m])))", ""),
        ('label_replace(d, "w", "$1", "x", "(.*)")', "xw"),
        ("a_total * on (x) group_left (z) b_total", "xyz"),
        ("a_total > on (x) d", "x"),
        ("a_total and on (x) b_total", "xy"),
        ("a_total or on (x) b_total", "xyz"),
        ("sum by (x) (a_total) / sum by (x) (b_total)", "x"),
        ("a_total * 2 > 1", "xy"),
        ("max_over_time(d[1h:5m])", "x"),
        ('absent(a_total{x="1", y=~"2"})', "x"),
    ],
)
def test_labels_of_results(expression: str, labels: str) -> None:
    """The labels that Prometheus would leave."""
    assert result_labels(expression, KNOWN) == frozenset(labels)


@pytest.mark.parametrize(
    "expression",
    [
        "e_total",
        'a_total{z="1"}',
        "sum by (z) (a_total)",
        "sum without (z) (a_total)",
        "a_total / b_total",
        "a_total > on (z) b_total",
        "a_total * on (x) group_left (y) b_total",
        "a_total and ignoring (y) b_total",
        'label_replace(d, "w", "$1", "y", "(.*)")',
        "histogram_quantile(0.9, rate(a_total[5m]))",
        'c_bucket{le="1"}',
        "rate(d[5m])",
    ],
)
def test_wrong_expressions_are_found(expression: str) -> None:
    """Prometheus accepts each of these, and none of them ever does what it seems to."""
    with pytest.raises(WrongLabelsError):
        result_labels(expression, KNOWN)


def test_selected_series_of_an_expression() -> None:
    """Those with a range, an offset or within a subquery included."""
    assert selected("rate(a[5m] offset 1w) > b and max_over_time(c[1h:5m])") == {"a", "b", "c"}
