"""Durations as options and configuration files write them, such as 15s or 1h30m. Imports the standard library only."""

import re

_UNIT_SECONDS = {
    "y": 31_536_000.0,
    "w": 604_800.0,
    "d": 86_400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_GO = re.compile(r"0|(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+", re.ASCII)
_PROMETHEUS = re.compile(r"(?=\d)(?:\d+y)?(?:\d+w)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?(?:\d+ms)?", re.ASCII)
_PART = re.compile(r"([\d.]+)(\D+)")
_SUCH_AS = "give one such as 15s, 5m or 1h30m"


def seconds(text: str) -> float:
    """Return the seconds of a duration of at least 0, in the notation of Go's ``time.ParseDuration``: without days.

    Raises ``ValueError`` that says what to write instead.
    """
    return _read(text, _GO)


def positive_seconds(text: str) -> float:
    """Return the seconds of a duration as ``seconds`` reads it; refuses 0 as well."""
    found = seconds(text)
    if found == 0:
        raise ValueError(f"{text!r} is no time at all; {_SUCH_AS}")
    return found


def prometheus_seconds(text: str) -> float:
    """Return the seconds of a duration in Prometheus's notation: whole numbers, the largest unit first, up to years.

    Raises ``ValueError`` that says what to write instead.
    """
    return _read(text, _PROMETHEUS)


def _read(text: str, notation: re.Pattern[str]) -> float:
    if not notation.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; {_SUCH_AS}")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _PART.findall(text))
