"""Plays a tape to the shipped rules, a scrape every 15 seconds: promtool's clock lets hours pass in seconds."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, islice
from pathlib import Path
from typing import Any

import yaml
from rule_files import ALERTS, RULES, Rule, needed, rule_file
from tape import LAPSE, Key, Tape

from genai_stack.binaries import require

PER_MINUTE = 60 // LAPSE

# All alerts, and what is recorded for them; the rest is for dashboards. Nothing in the demo emits by OpenTelemetry's
# conventions: the rules for that record nothing, and take longest for it.
_NEEDED = {id(rule) for alert in ALERTS for rule in needed(alert) if rule.file.name != "otel.yml"}
SHIPPED = tuple(rule for rule in RULES if id(rule) in _NEEDED)

_COUNTERS = re.compile(r".+_(total|count|sum|bucket)")
_GOT = re.compile(r"\{([^{}]*)\} ([-+.\dEe]+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_FIRING = 'ALERTS{alertstate="firing", alertname!="Watchdog"}'


@dataclass(frozen=True)
class Fired:
    """When an alert fired, in minutes of the timeline: first, last, and for how many of them."""

    first: float
    last: float
    minutes: float


def inputs(rules: Sequence[Rule] = SHIPPED) -> list[str]:
    """Names of the series that rules read and do not record."""
    recorded = {rule.name for rule in rules if not rule.is_alert}
    return sorted({name for rule in rules for name in rule.reads} - recorded)


def quiet_columns(tape: Tape, minutes: int) -> list[int]:
    """Columns of a time without faults."""
    return list(islice(cycle(_usual(tape, tape.quiet)), minutes * PER_MINUTE))


def fault_columns(tape: Tape, fault: str, settle: int, minutes: int) -> list[int]:
    """Columns of a fault at its full effect for some minutes, and of its passing."""
    phase = tape.phases[fault]
    # Without its edges: a column is what came since the one before, and the fault may end before that is seen.
    full = _usual(tape, range(phase.began + settle + 1, phase.ended - 2))
    return [*islice(cycle(full), minutes * PER_MINUTE), *range(phase.ended, phase.over)]


def _usual(tape: Tape, columns: Sequence[int]) -> list[int]:
    """Of columns that are played again and again, those whose scrape went as most of them: a busy machine fails one."""
    scraped = tape.scraped
    succeeded = [column for column in columns if scraped[column]]
    failed = [column for column in columns if not scraped[column]]
    return max(succeeded, failed, key=len)


def play(tape: Tape, columns: Sequence[int | None]) -> dict[Key, list[float | None]]:
    """Return the values of all series when these columns are scraped one after the other; of ``None`` nothing is.

    Counters go on from column to column by as much as they grew on the tape; once there, they stay.
    """
    scraped = tape.scraped
    played: dict[Key, list[float | None]] = {}
    for key, values in tape.series.items():
        if _COUNTERS.fullmatch(dict(key)["__name__"]):
            found = list(_counted(_growth(values), values, scraped, columns))
        else:
            found = [None if column is None else values[column] for column in columns]
        if any(value is not None for value in found):
            played[key] = found
    return played


def _growth(values: Sequence[float | None]) -> list[float]:
    """How much a counter has grown at each column since it was last seen."""
    grown: list[float] = []
    last = values[0] or 0.0
    for value in values:
        grown.append(0.0 if value is None else value - last)
        last = last if value is None else value
    assert min(grown) >= 0, "a counter has fallen"
    return grown


def _counted(
    growth: Sequence[float], values: Sequence[float | None], scraped: Sequence[bool], columns: Sequence[int | None]
) -> Iterator[float | None]:
    total, born = 0.0, False
    for column in columns:
        if column is None:
            yield None
            continue
        born = born or values[column] is not None
        total += growth[column]
        # A series that this part of the tape does not have yet is there as soon as another part has had it.
        yield total if born and scraped[column] else None


def notation(values: Sequence[float | None]) -> str:
    """Return values as promtool reads them; a series that ends is marked stale, as Prometheus does."""
    parts: list[str] = []
    for value, group in groupby(values):
        number = sum(1 for _ in group)
        if value is not None:
            parts.append(f"{value:.12g}x{number - 1}" if number > 1 else f"{value:.12g}")
            continue
        if parts:
            parts.append("stale")
            number -= 1
        if number:
            parts.append(f"_x{number}")
    return " ".join(parts)


def evaluate(
    folder: Path, name: str, series: Mapping[Key, Sequence[float | None]], rules: Sequence[Rule] = SHIPPED
) -> dict[str, Fired]:
    """Have promtool evaluate the rules over a timeline; returns the alerts that fired."""
    steps = max(map(len, series.values()))
    whole = f"[{steps * LAPSE}s:{LAPSE}s]"
    asked = " or ".join(
        f'label_replace({function}({value}{whole}), "what", "{what}", "", "")'
        for what, function, value in (
            ("first", "min_over_time", f"timestamp({_FIRING})"),
            ("last", "max_over_time", f"timestamp({_FIRING})"),
            ("count", "count_over_time", _FIRING),
        )
    )
    content, order = rule_file(rules)
    (folder / f"{name}-rules.yml").write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, width=10_000))
    suite = {
        "rule_files": [f"{name}-rules.yml"],
        "group_eval_order": order,  # else the order, and with it the minute, is left to chance
        "evaluation_interval": f"{LAPSE}s",
        "tests": [
            {
                "interval": f"{LAPSE}s",
                "input_series": [{"series": _written(key), "values": notation(found)} for key, found in series.items()],
                "promql_expr_test": [{"expr": asked, "eval_time": f"{(steps - 1) * LAPSE}s", "exp_samples": []}],
            }
        ],
    }
    path = folder / f"{name}.yml"
    path.write_text(json.dumps(suite))
    done = subprocess.run(
        [require("promtool"), "test", "rules", path], capture_output=True, text=True, timeout=600, check=False
    )
    return _read(done.stdout + done.stderr, done.returncode)


def _read(report: str, status: int) -> dict[str, Fired]:
    """Read from promtool's report what it got instead of the nothing that it was told to expect."""
    if status == 0:
        return {}
    assert "exp: nil" in report, report[:2000]
    found: dict[str, dict[str, list[float]]] = {}
    for labels, value in _GOT.findall(report.partition("got:")[2]):
        named: dict[str, Any] = dict(_LABEL.findall(labels))
        found.setdefault(named["alertname"], {}).setdefault(named["what"], []).append(float(value))
    return {
        alert: Fired(min(times["first"]) / 60, max(times["last"]) / 60, max(times["count"]) / PER_MINUTE)
        for alert, times in found.items()
    }


def _written(key: Key) -> str:
    """Return a series in PromQL's notation."""
    labels = dict(key)
    name = labels.pop("__name__")
    return f"{name}{{{', '.join(f'{label}={json.dumps(value)}' for label, value in labels.items())}}}"
