"""What must come of each fault: its series on the tape, its alerts in a time-lapse of it."""

from collections.abc import Callable
from pathlib import Path

from fault_table import EFFECTS, Limits
from rule_files import needed
from tape import Tape
from timelapse import PER_MINUTE, SHIPPED, Fired, evaluate, fault_columns, inputs, play, quiet_columns

from rag_service.faults import CATALOGUE

Record = Callable[[str, object], None]

_SERIES = "What each fault changes, read back from Prometheus"
_ALERTS = "Which alerts each fault raises: minutes after it begins"

_BEFORE_MINUTES = {"cost_spike": 385}
"""Quiet minutes before a fault, where 45 do not fill all windows: GenAICostSpike compares with the 6 hours before."""
_AFTER_MINUTES = 75
"""Quiet minutes after a fault: the longest windows of its alerts are an hour."""
_SLACK_MINUTES = 3
"""How long a fault lasts beyond the time after which it shows: as `genai-exporter demo fault` has it."""
_WEEK_MINUTES = 7 * 24 * 60

WEEKLY = {"no_traffic": "GenAINoTraffic", "quality_drop": "GenAIQualityDrop"}
"""Faults and the alerts that nothing but a comparison with the week before can raise."""


def assert_shows_and_recovers(tape: Tape, fault: str, record: Record) -> None:
    """The fault's expression is within its limits before, with and after it."""
    (effect,) = (effect for effect in EFFECTS if effect.fault == fault)
    quiet, on, recovered = tape.measured[fault]
    figures = {"quiet": f"{quiet:.4g}", "on": f"{on:.4g}", "recovered": f"{recovered:.4g}"}
    record("row", (_SERIES, {"fault": fault, **figures, "expression": effect.expression}))
    assert _within(quiet, effect.quiet)
    assert _within(on, effect.on)
    assert _within(recovered, effect.quiet)


def assert_raises_its_alerts_only(tape: Tape, fault: str, folder: Path, record: Record) -> None:
    """All alerts that the catalogue names fire in time, nothing else but what follows from it, and all resolve.

    But for those that need a week of history: see ``assert_raises_what_last_week_was_not``.
    """
    (effect,) = (effect for effect in EFFECTS if effect.fault == fault)
    known = CATALOGUE[fault]
    expected = set(known.alerts) - set(WEEKLY.values())
    before = _BEFORE_MINUTES.get(fault, 45)
    minutes = known.shows_after_seconds // 60 + _SLACK_MINUTES
    passing = fault_columns(tape, fault, effect.settle_seconds, minutes)
    columns = quiet_columns(tape, before) + passing + quiet_columns(tape, _AFTER_MINUTES)
    fired = evaluate(folder, fault, play(tape, columns))
    for alert in sorted(fired, key=lambda alert: fired[alert].first) or ["none"]:
        record("row", (_ALERTS, _row(fault, minutes, alert, fired.get(alert), before)))
    assert {alert for alert, times in fired.items() if times.first < before} == set()
    assert set(fired) - set(known.follows) == expected
    if expected:
        assert min(fired[alert].first for alert in expected) - before <= minutes - 1
    end = (len(columns) - 1) / PER_MINUTE
    assert {alert for alert, times in fired.items() if times.last >= end} == set()


def assert_quiet_raises_nothing(tape: Tape, folder: Path, record: Record) -> None:
    """Two hours of the demo without any fault, but with the errors that it has by itself."""
    minutes = 120
    fired = evaluate(folder, "quiet", play(tape, quiet_columns(tape, minutes)))
    row = {"fault": "(none)", "lasts": str(minutes), "alert": ", ".join(fired) or "none", "fires": "", "resolves": ""}
    record("row", (_ALERTS, {**row, "because": ""}))
    assert fired == {}


def assert_raises_what_last_week_was_not(tape: Tape, folder: Path, record: Record) -> None:
    """After a quiet time and the rest of a week, each of ``WEEKLY`` raises its own alert only, and it resolves."""
    columns: list[int | None] = []
    begins: dict[str, int] = {}
    lasts = {fault: max(CATALOGUE[fault].shows_after_seconds // 60, 45) + _SLACK_MINUTES for fault in WEEKLY}
    for fault, minutes in lasts.items():
        (effect,) = (effect for effect in EFFECTS if effect.fault == fault)
        columns += quiet_columns(tape, 45)
        begins[fault] = _WEEK_MINUTES + len(columns) // PER_MINUTE
        columns += fault_columns(tape, fault, effect.settle_seconds, minutes) + quiet_columns(tape, 60)
    history = quiet_columns(tape, len(columns) // PER_MINUTE + 1)
    nothing = [None] * (_WEEK_MINUTES * PER_MINUTE - len(history))
    wanted = {id(rule) for alert in WEEKLY.values() for rule in needed(alert, SHIPPED)}
    rules = [rule for rule in SHIPPED if id(rule) in wanted]
    names = set(inputs(rules))
    played = play(tape, [*history, *nothing, *columns])
    series = {key: values for key, values in played.items() if dict(key)["__name__"] in names}
    fired = evaluate(folder, "week", series, rules)
    for fault, alert in WEEKLY.items():
        record("row", (_ALERTS, _row(fault, lasts[fault], alert, fired.get(alert), begins[fault])))
    assert set(fired) == set(WEEKLY.values())
    for fault, alert in WEEKLY.items():
        after = lasts[fault] + 60
        assert begins[fault] < fired[alert].first <= fired[alert].last < begins[fault] + after


def _row(fault: str, minutes: int, alert: str, times: Fired | None, before: int) -> dict[str, str]:
    known = CATALOGUE[fault]
    return {
        "fault": fault,
        "lasts": str(minutes),
        "alert": alert,
        "fires": "" if times is None else f"{times.first - before:.2f}",
        "resolves": "" if times is None else f"{times.last + 1 / PER_MINUTE - before:.2f}",
        "because": known.follows.get(alert, "it is meant to" if alert in known.alerts else ""),
    }


def _within(value: float, limits: Limits) -> bool:
    """Whether a value is within limits, but for rounding; one that is not a number is not."""
    return limits[0] - 1e-9 <= value <= limits[1] + 1e-9
