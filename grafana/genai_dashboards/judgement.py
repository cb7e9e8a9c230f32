"""What thresholds say of a value: lines in graphs, colours of numbers, states in tables; always from threshold series.

Thresholds that differ within the selection (between modes, say) are shown by the strictest of them.
"""

from typing import Literal

from grafana_foundation_sdk.builders import prometheus

from genai_dashboards import queries, targets
from genai_rules.thresholds import LEVELS

Worse = Literal["above", "below"]
"""On which side of a threshold the trouble is."""

_STRICTEST = {"above": "min", "below": "max"}
_PASSED = {"above": ">", "below": "<"}
_WEIGHTS = {"target": 1, "warning": 2, "critical": 4}


def effective(kpi: str, *matchers: str) -> str:
    """Selector of the thresholds in force for a KPI of thresholds.yml; ``KeyError`` when there is none of that name."""
    level = {name: level.name for level in LEVELS for name in level.thresholds}[kpi]
    return queries.selector(f"{level}:genai_threshold_{kpi}:effective", *matchers)


def strictest(kpi: str, worse: Worse, severity: str, *matchers: str) -> str:
    """The strictest threshold of that severity in the selection, as one value without labels."""
    of_severity = f'severity="{severity}"'
    return f"{_STRICTEST[worse]}({effective(kpi, of_severity, *matchers)})"


def threshold_lines(
    kpi: str, worse: Worse, ref: str = "T", *matchers: str, complement: bool = False
) -> prometheus.Dataquery:
    """Query for a graph made by ``panels.graph``, which draws the result as dashed lines.

    ``complement``: of a graph that shows 1 minus the KPI, successes for failures.
    """
    lines = f"{_STRICTEST[worse]} by (severity) ({effective(kpi, *matchers)})"
    return targets.over_time(f"1 - {lines}" if complement else lines, "{{severity}} threshold", ref)


def judged(value: str, kpi: str, worse: Worse, *matchers: str, because: str = "") -> str:
    """The value with a label ``state``, by which ``panels`` colours it: ok, warning or critical.

    ``value`` has no labels; ``because`` is what is compared with the thresholds, if not the value itself. Without
    thresholds everything is ok.
    """

    def passed(severity: str) -> str:
        limit = f"scalar({strictest(kpi, worse, severity, *matchers)})"
        condition = f"({because or value}) {_PASSED[worse]} {limit}"
        shown = f"({value}) and on () ({condition})" if because else condition
        return f'label_replace({shown}, "state", "{severity}", "", "")'

    fine = f'label_replace(({value}), "state", "ok", "", "")'
    return f"{passed('critical')} or on () {passed('warning')} or on () {fine}"


def state(value: str, kpi: str, worse: Worse, *matchers: str) -> str:
    """State of a value without labels as a number for ``tables.STATE``: the sum of weights of the thresholds passed."""
    return " + ".join(
        f"{weight} * (({value}) {_PASSED[worse]} bool scalar({strictest(kpi, worse, severity, *matchers)}))"
        for severity, weight in _WEIGHTS.items()
    )
