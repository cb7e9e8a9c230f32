"""Judges rule files that set thresholds, budgets and floors: names, numbers, labels, order, and what is missing.

All rule files are judged together, as Prometheus reads them; the catalogue says what may be set. An expression that
computes is Prometheus's business: only numbers are compared.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genai_exporter.checks_findings import Findings, line_of
from genai_metrics import yamlvalues
from genai_metrics.catalog.thresholds import (
    BUDGETS,
    FLOORS,
    SEVERITIES,
    THRESHOLD_PREFIX,
    THRESHOLDS,
    Setting,
    Threshold,
)
from genai_metrics.yamlremedies import number_meant
from genai_metrics.yamlvalues import Scalar, Section, nearest

PREFIXES = (THRESHOLD_PREFIX, "genai:budget:", "genai:floor:")
"""What the series begin with that only these files record."""

_THRESHOLDS = {threshold.series: threshold for threshold in THRESHOLDS}
_SETTINGS = {setting.series: setting for setting in (*BUDGETS, *FLOORS)}
_RULE_KEYS = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_ANY_SEVERITY = f"{', '.join(SEVERITIES[:-1])} or {SEVERITIES[-1]}"
_COMPUTED = re.compile(r"[({\[]|\s[-+*/%^]\s")


@dataclass(frozen=True)
class Rule:
    """One rule that sets a number: where it stands, its series and labels, its value, None if it is computed."""

    path: Path
    line: int
    series: str
    labels: Mapping[str, str]
    value: float | None

    def __str__(self) -> str:
        labels = ", ".join(f'{name}="{value}"' for name, value in sorted(self.labels.items()))
        return f"{self.series}{{{labels}}}" if labels else self.series


def judge(files: Iterable[Section], findings: Findings) -> None:
    """Judge rule files that have been read; those that set nothing of this kind are passed over."""
    setting_files = [file for file in files if sets_thresholds(file)]
    rules = [rule for file in setting_files for rule in _rules(file, findings)]
    _report_duplicates(rules, findings)
    for threshold in THRESHOLDS:
        _judge_order(threshold, [rule for rule in rules if rule.series == threshold.series], findings)
    if setting_files:
        _report_missing(setting_files, findings)


def sets_thresholds(file: Section) -> bool:
    """Whether a file of rules sets a threshold, budget or floor, or tries to."""
    return any(_text(rule, "record").startswith(PREFIXES) for rule in rules_of(file))


def rules_of(file: Section) -> Iterator[Section]:
    """Yield the rules of all groups; what has another form than Prometheus's is passed over."""
    for group in _sections(file, "groups"):
        yield from _sections(group, "rules")


def _sections(section: Section, key: str) -> list[Section]:
    found = section.entries.get(key, (0, None))[1]
    if not isinstance(found, yamlvalues.Sequence):
        return []
    return [value for value in found.values if isinstance(value, Section)]


def _text(section: Section, key: str) -> str:
    """Return the text of a key, empty where it is missing or of another form."""
    value = section.entries.get(key, (0, None))[1]
    return value.text if isinstance(value, Scalar) else ""


def _rules(file: Section, findings: Findings) -> Iterator[Rule]:
    """Yield what a file sets; every rule that is wrong in itself is reported and left out."""
    for section in rules_of(file):
        with findings.collecting(file.path):
            section.check_keys(_RULE_KEYS)
            if not section.has("record"):
                continue
            series = section.text("record")
            if series in _THRESHOLDS:
                rule = _rule(section)
                _judge_threshold(_THRESHOLDS[series], rule, section)
                yield rule
            elif series in _SETTINGS:
                rule = _rule(section)
                _judge_setting(_SETTINGS[series], rule, section)
                yield rule
            else:
                _judge_name(series, section)


def _rule(section: Section) -> Rule:
    given = section.section("labels")
    labels = {name: given.text(name) for name in given.keys()}  # noqa: SIM118
    text = section.text("expr").strip()
    try:
        value: float | None = float(text)
    except ValueError:
        if not _COMPUTED.search(text):
            remedy = number_meant(text) or "write one without a unit, such as 0.05"
            raise section.error(f"expr: {text!r} is not a number; {remedy}", "expr") from None
        value = None
    if value is not None and not math.isfinite(value):
        raise section.error(f"expr: {text} is not a finite number; write one, or remove the rule", "expr")
    return Rule(section.path, line_of(section, "record"), section.text("record"), labels, value)


def _judge_name(series: str, section: Section) -> None:
    """Raise for what is meant to be one of ours; other series of users are their own business."""
    if series.startswith(("genai:", "genai_")):
        raise section.error(
            f"no alert or dashboard reads {series}; {nearest(series, (*_THRESHOLDS, *_SETTINGS))}", "record"
        )


def _judge_threshold(threshold: Threshold, rule: Rule, section: Section) -> None:
    labels = section.section("labels")
    if "severity" not in rule.labels:
        raise section.error(f"{threshold.series} has no severity; add severity: {_ANY_SEVERITY}", "labels")
    if rule.labels["severity"] not in SEVERITIES:
        raise labels.error(f"{rule.labels['severity']!r} is not a severity; write {_ANY_SEVERITY}", "severity")
    _judge_labels(threshold.series, ("severity", *threshold.labels), labels)
    _judge_range(rule, section, threshold.minimum, threshold.maximum)


def _judge_setting(setting: Setting, rule: Rule, section: Section) -> None:
    labels = section.section("labels")
    _judge_labels(setting.series, setting.labels, labels)
    for name in setting.needed:
        if name not in rule.labels:
            raise section.error(
                f"{setting.series} names no {name}, so no alert reads it; add the label {name}, or for a whole service "
                f"set {THRESHOLD_PREFIX}budget_daily_usd",
                "labels",
            )
    _judge_range(rule, section, 0.0, math.inf)


def _judge_labels(series: str, allowed: tuple[str, ...], labels: Section) -> None:
    for name in labels.entries:
        if name not in allowed:
            remedy = nearest(name, allowed) if allowed else "it is one number for all; remove the label"
            raise labels.error(f"{series} cannot be set for a {name}; {remedy}", name)


def _judge_range(rule: Rule, section: Section, minimum: float, maximum: float) -> None:
    name = rule.series
    if rule.value == 0 and "budget" in name:
        raise section.error(
            f"{name}: 0 is no budget, its alert would fire at the first cent; write the dollars that may be spent, "
            "0.01 if none may",
            "expr",
        )
    if rule.value is None or minimum <= rule.value <= maximum:
        return
    if rule.value < minimum:
        remedy = f"write at least {minimum:g}"
    elif maximum == 1.0:
        remedy = "it is a share or score of 0 to 1" + f": for percent write {rule.value / 100:g}" * (rule.value <= 100)
    else:
        remedy = f"no measured value is above {maximum:g}, so the alert could never fire; mind the unit in the name"
    raise section.error(f"{name}: {rule.value:g} is out of range; {remedy}", "expr")


def _report_duplicates(rules: Iterable[Rule], findings: Findings) -> None:
    first: dict[tuple[str, frozenset[tuple[str, str]]], Rule] = {}
    for rule in rules:
        before = first.setdefault((rule.series, frozenset(rule.labels.items())), rule)
        if before is not rule:
            where = f"line {before.line}" if before.path == rule.path else f"{before.path}:{before.line}"
            findings.problem(rule.path, rule.line, f"{rule} is set twice (first on {where}); remove one")


def _judge_order(threshold: Threshold, rules: list[Rule], findings: Findings) -> None:
    """Compare the severities that are in force for each subject that the rules tell apart."""
    named = [sorted({rule.labels[name] for rule in rules if name in rule.labels}) for name in threshold.labels]
    # None stands for every value that no rule names.
    for values in itertools.product(*([None, *some] for some in named)):
        subject = dict(zip(threshold.labels, values, strict=True))
        in_force = [found for severity in SEVERITIES if (found := _in_force(threshold, rules, subject, severity))]
        for milder, graver in itertools.pairwise(in_force):
            if milder.value is None or graver.value is None:
                continue
            wrong = milder.value > graver.value if threshold.worse == "above" else milder.value < graver.value
            if wrong:
                _report_order(threshold, milder, graver, findings)


def _report_order(threshold: Threshold, milder: Rule, graver: Rule, findings: Findings) -> None:
    at, other = (graver, milder) if len(graver.labels) >= len(milder.labels) else (milder, graver)
    where = f"line {other.line}" if other.path == at.path else f"{other.path}:{other.line}"
    same = {**at.labels, "severity": ""} == {**other.labels, "severity": ""}
    remedy = "change one" if same else f"set {other.labels['severity']} for the same labels, too"
    findings.problem(
        at.path,
        at.line,
        f"{at} is {at.value:g} and {other} is {other.value:g} ({where}); as trouble is {threshold.worse} them, "
        f"{graver.labels['severity']} would come before {milder.labels['severity']}: {remedy}",
    )


def _in_force(
    threshold: Threshold, rules: Iterable[Rule], subject: Mapping[str, str | None], severity: str
) -> Rule | None:
    """Return the rule that counts for a subject: with all labels, else the first one, the second, none."""
    having: dict[frozenset[tuple[str, str | None]], Rule] = {
        frozenset(rule.labels.items()): rule for rule in rules if rule.labels["severity"] == severity
    }
    alone = [(name,) for name in threshold.labels] if len(threshold.labels) > 1 else []
    for names in (threshold.labels, *alone, ()):
        wanted = frozenset({("severity", severity), *((name, subject[name]) for name in names)})
        if wanted in having:
            return having[wanted]
    return None


def _report_missing(files: Sequence[Section], findings: Findings) -> None:
    """Report what alerts need and no file sets; overrides alone leave all others without a threshold."""
    # What is set wrongly is not missing as well.
    having = {(_text(rule, "record"), *_general(rule)) for file in files for rule in rules_of(file)}
    path, line = files[0].path, line_of(files[0], "groups")
    for threshold in THRESHOLDS:
        for severity, alerts in threshold.alerts.items():
            if (threshold.series, severity) not in having:
                findings.problem(
                    path,
                    line,
                    f"{threshold.series} with severity {severity} is missing, so {' and '.join(alerts)} cannot fire; "
                    f'add - {{ record: "{threshold.series}", expr: NUMBER, labels: {{ severity: {severity} }} }}',
                )
    for floor in FLOORS:
        if not any(floor.series == series for series, *_ in having):
            findings.problem(
                path,
                line,
                f"{floor.series} is missing, so no alert that needs it can fire; add "
                f'- {{ record: "{floor.series}", expr: NUMBER }}',
            )


def _general(rule: Section) -> tuple[str, ...]:
    """Return the severity of a rule that has no other label, as a tuple of one."""
    labels = rule.entries.get("labels", (0, None))[1]
    return (_text(labels, "severity"),) if isinstance(labels, Section) and set(labels.entries) == {"severity"} else ()
