"""What each alert must do, case by case; ``test_alerts.py`` has promtool judge them.

One module a category, each with ``CASES``.
"""

import json
from dataclasses import dataclass, field
from typing import Literal

from genai_metrics.catalog import MetricSpec

Kind = Literal["fires", "quiet", "low_traffic", "absent", "reset"]
"""Every alert has at least one case of each kind.

``fires``: at the right minute. ``quiet``: on usual values, near the threshold. ``low_traffic``: on too little to judge
by (a gauge: on no traffic at all). ``absent``: without its series. ``reset``: a restart in the middle changes nothing
(a gauge: a value that comes back after a restart).
"""

KINDS: tuple[Kind, ...] = ("fires", "quiet", "low_traffic", "absent", "reset")


@dataclass(frozen=True)
class Firing:
    """One alert that fires: all its labels but severity and category, and its rendered texts."""

    labels: dict[str, str]
    description: str
    dashboard: str


@dataclass(frozen=True)
class Case:
    """Series in, alerts out.

    ``series`` maps a series (see ``series``) to promtool's notation of its values, one each ``interval``. At ``at``
    exactly the alerts ``firing`` fire. ``before`` is a time at which none does yet: just before ``for`` has passed.
    """

    alert: str
    kind: Kind
    series: dict[str, str]
    at: str
    firing: tuple[Firing, ...] = ()
    before: str | None = None
    interval: str = "15s"
    note: str = field(default="", kw_only=True)
    """What this case adds to its kind, where an alert has several of one."""


def series(metric: MetricSpec, suffix: str = "", **labels: str) -> str:
    """Return a series of an application metric; labels not given get a usual value.

    ``suffix``: ``_bucket`` (give ``le``), ``_count`` or ``_sum`` of a histogram. Raises ``ValueError`` for a label that
    the metric does not have: a rule tested on such a series would be proved for nothing.
    """
    known = {name: _USUAL.get(name, "x") for name in metric.label_names}
    if suffix == "_bucket":
        known["le"] = "+Inf"
    unknown = set(labels) - set(known) - {"job", "instance", "service"}
    if unknown:
        raise ValueError(f"{metric.name} has no label {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    values = {"job": "genai-exporter", "instance": "a", "service": "chat", **known, **labels}
    inside = ",".join(f"{name}={json.dumps(value)}" for name, value in values.items())
    return f"{metric.name}{suffix}{{{inside}}}"


def histogram(metric: MetricSpec, at_most: dict[str, float], values: str = "0+Nx80", **labels: str) -> dict[str, str]:
    """Return the buckets and the count of a histogram.

    ``at_most``: for some bounds in ascending order (a number that `le` has), how many observations of each step are not
    larger; the last one is all of them. ``values`` has ``N`` where that number belongs.
    """
    found = {
        series(metric, "_bucket", le=bound, **labels): values.replace("N", str(number))
        for bound, number in at_most.items()
    }
    total = values.replace("N", str([*at_most.values()][-1]))
    return found | {series(metric, "_bucket", **labels): total, series(metric, "_count", **labels): total}


_USUAL = {"mode": "1", "provider": "p", "model": "m", "operation": "chat", "outcome": "success", "cache": "none"}
