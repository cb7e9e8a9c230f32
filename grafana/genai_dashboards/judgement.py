"""What thresholds say of a value: lines in graphs, colours of numbers, states in tables; always from threshold series.

Thresholds that differ within the selection (between modes, say) are shown by the strictest of them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from grafana_foundation_sdk.builders import prometheus

from genai_dashboards import queries, targets
from genai_rules.thresholds import LEVELS

Worse = Literal["above", "below"]
"""On which side of a threshold the trouble is."""

_STRICTEST = {"above": "min", "below": "max"}
_PASSED = {"above": ">", "below": "<"}
_PASSED_BY_ALL = {"above": "-Inf", "below": "Inf"}
_WEIGHTS = {"target": 1.0, "warning": 2.0, "critical": 4.0}
# By so little a value is larger under a worse state, which `topk` then chooses; no panel shows that many decimals.
_NUDGE = 1e-9


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


def judged(value: str, kpi: str, worse: Worse, *matchers: str, complement: bool = False) -> str:
    """The value with a label ``state``, by which ``panels`` colours it: ok, warning or critical.

    ``value`` has no labels; ``complement`` shows 1 minus the value, successes for failures. Without thresholds
    everything is ok.
    """
    numbers = {"ok": 0.0, "warning": _NUDGE, "critical": 2 * _NUDGE}
    worst = f"topk(1, {_passed(value, kpi, worse, matchers, numbers)} + on (state) ({_numbers(numbers)}))"
    return f"1 - {worst}" if complement else worst


def state(value: str, kpi: str, worse: Worse, *matchers: str) -> str:
    """State of a value without labels as a number for ``tables.STATE``: the sum of weights of the thresholds passed."""
    weights = {"ok": 0.0, **_WEIGHTS}
    return f"sum(({_numbers(weights)}) and on (state) {_passed(value, kpi, worse, matchers, weights)})"


def _passed(value: str, kpi: str, worse: Worse, matchers: Sequence[str], severities: Mapping[str, float]) -> str:
    """The value under the name of each severity whose threshold it has passed, and as ``ok`` in any case.

    It stands here once: the value of a week is dear, and Prometheus computes it as often as it is written.
    """
    limits = {"ok": f"vector({_PASSED_BY_ALL[worse]})"}
    limits |= {name: strictest(kpi, worse, name, *matchers) for name in severities if name != "ok"}
    under_each = f"0 * ({_numbers(severities)}) + on () group_left () ({value})"
    return f"(({under_each}) {_PASSED[worse]} on (state) ({queries.named('state', limits)}))"


def _numbers(numbers: Mapping[str, float]) -> str:
    return queries.named("state", {name: f"vector({number:g})" for name, number in numbers.items()})
