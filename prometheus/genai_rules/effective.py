"""The recorded thresholds in force: for each subject the most specific threshold series that there is.

A threshold without labels holds for all; one with a label of its level overrides it for that value, one with both
labels for that pair, and where two overrides with one label each fit, the first label's wins.
"""

from collections.abc import Iterator
from textwrap import indent

from genai_metrics.catalog import MetricSpec
from genai_metrics.catalog.thresholds import SEVERITIES, THRESHOLD_PREFIX
from genai_rules.thresholds import LEVELS, Level

_HEAD = """\
# Written by `make generate` from prometheus/genai_rules; do not edit. Thresholds are set in thresholds.yml.
#
# For each subject that has data (a service and mode, a cache, a provider, ...) and each severity, the threshold in
# force: the most specific series of thresholds.yml. Alerts compare with these, dashboards draw them.

groups:
"""


def text() -> str:
    """Return the rule file."""
    return _HEAD + "\n".join(_group(level) for level in LEVELS)


def subjects(level: Level) -> str:
    """Name of the recorded series that is 0 for each subject of the level and each severity."""
    return f"{level.name}:genai_threshold_subjects:zero"


def effective(level: Level, threshold: str) -> str:
    """Name of the recorded series with the threshold in force."""
    return f"{level.name}:genai_threshold_{threshold}:effective"


def _group(level: Level) -> str:
    # Subjects first: the rules of a group are evaluated in order, so none of them lags behind.
    rules = [_rule(subjects(level), _crossed(level))]
    rules += [_rule(effective(level, name), " or\n".join(_alternatives(level, name))) for name in level.thresholds]
    return f"  - name: genai-thresholds-{level.name.replace('_', '-')}\n    rules:\n" + "\n".join(rules)


def _rule(record: str, expression: str) -> str:
    return f"      - record: {record}\n        expr: |\n{indent(expression, ' ' * 10)}\n"


def _crossed(level: Level) -> str:
    """Return the expression of every subject with every severity, 0 each."""
    by = ", ".join(level.labels)
    names = [_series(metric) for metric in level.metrics] or ['up{job="genai-exporter"}']
    known = " or ".join(f"group by ({by}) ({name})" for name in names)
    return " or\n".join(f'label_replace(0 * ({known}), "severity", "{severity}", "", "")' for severity in SEVERITIES)


def _series(metric: MetricSpec) -> str:
    return f"{metric.name}_count" if metric.type == "histogram" else metric.name


def _alternatives(level: Level, threshold: str) -> Iterator[str]:
    """Yield the expressions whose first that has a value for a subject wins."""
    series, base = f"{THRESHOLD_PREFIX}{threshold}", subjects(level)
    whole = ", ".join((*level.labels, "severity"))
    yield f"max by ({whole}) ({series}{{{_matchers(level, level.labels)}}})"
    overrides = [(label,) for label in level.labels] if len(level.labels) > 1 else []
    for given in (*overrides, ()):
        on = ", ".join((*given, "severity"))
        found = f"max by ({on}) ({series}{{{_matchers(level, given)}}})"
        yield f"on ({whole}) ({base} + on ({on}) group_left () {found})"


def _matchers(level: Level, given: tuple[str, ...]) -> str:
    """Select thresholds that name the ``given`` labels of the level and no other."""
    return ", ".join(f'{label}{"!=" if label in given else "="}""' for label in level.labels)
