"""A week that the demo might have had, as OpenMetrics text: what a real run recorded, along the hours of the day.

The profile, ``history_profile.json``, holds how fast each counter of a real run rose and where its ratios stood
(``genai_stack.profile`` writes it). Here that is stretched over a week. Counters follow one curve, so that sums by
model, by part and by mode agree as they do in life; failures and cache misses wander a little from it.
"""

import json
import re
import zlib
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from random import Random

from genai_metrics import catalog
from genai_metrics.catalog.sparse import SPARSE_SECONDS, sparse
from load_scenarios.traffic import HOUR_FACTORS

PROFILE = Path(__file__).parent / "history_profile.json"

_MINUTE, _HOUR, DAY = 60, 3600, 86400

SECONDS = 7 * DAY + 5400
"""A week, and what has to be known before the same hour of last week can be averaged."""

_FINE_SECONDS = 3 * DAY + _HOUR

_STEPS = {
    # A panel's rate needs two samples in four scrapes. Over three days and more panels read copies.
    "counters": ((6 * _HOUR, 30), (_FINE_SECONDS, 60)),
    # Many, and older quantiles are recorded.
    "buckets": ((6 * _HOUR, 30),),
    # Read over the whole time range of a dashboard only.
    "totals": ((_FINE_SECONDS, 300),),
    # As they are recorded.
    "copies": ((SECONDS, SPARSE_SECONDS),),
    # Prometheus looks back 5 minutes.
    "others": ((6 * _HOUR, 120), (SECONDS, 240)),
}
"""Time between samples of a kind of series: (age up to which it holds, step), youngest first."""

_TENANT_TOKENS, _, _TENANT_SAVED, _TENANT_ERRORS = (metric.name for metric in catalog.TENANT.metrics)
_TOTALS = {_TENANT_TOKENS, _TENANT_SAVED, _TENANT_ERRORS, catalog.TENANT_REQUESTS.metrics[0].name}

_WINDOW = re.compile(r"(rate|increase)(\d+)([mhd])$")
_UNIT = {"m": _MINUTE, "h": _HOUR, "d": DAY}


@dataclass(frozen=True)
class Profile:
    """What a run recorded: name to series, each the labels and a number.

    ``counters``: how fast they rise per second at the mean of the day. ``flows``: the same of what recording rules
    derive from counters (rates, sums over windows). ``levels``: where ratios, means and quantiles stand.
    """

    counters: dict[str, list[tuple[dict[str, str], float]]]
    flows: dict[str, list[tuple[dict[str, str], float]]]
    levels: dict[str, list[tuple[dict[str, str], float]]]
    copies: list[str]
    """Counters that are recorded again every 20 minutes."""

    @classmethod
    def read(cls, path: Path = PROFILE) -> "Profile":
        """Read the file."""
        return cls(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Curve:
    """How much of something there is in each minute from ``start`` on, 1 on the mean of a day."""

    start: int
    minutes: list[float]
    _sums: list[float] = field(init=False)

    def __post_init__(self) -> None:
        """Add up once."""
        object.__setattr__(self, "_sums", [0.0, *accumulate(self.minutes)])

    def until(self, moment: float) -> float:
        """Return the integral from the start to ``moment``, in seconds."""
        minute, rest = divmod(moment - self.start, _MINUTE)
        return self._sums[int(minute)] * _MINUTE + self.minutes[int(minute)] * rest

    def over(self, seconds: float, moment: float) -> float:
        """Return the integral over the ``seconds`` before ``moment``."""
        return self.until(moment) - self.until(moment - seconds)


class History:
    """The week before ``end`` (Unix time) of an exporter that Prometheus knows as ``instance``; seeded."""

    def __init__(self, profile: Profile, instance: str, end: int, seed: int = 5) -> None:
        self.end, self.start = end, end - SECONDS
        self._profile, self._instance = profile, instance
        random = Random(seed)
        # A day earlier, for what is said of the last 24 hours.
        first = (self.start - DAY) // _MINUTE * _MINUTE
        count = (end - first) // _MINUTE + 1
        load = [
            HOUR_FACTORS[datetime.fromtimestamp(first + index * _MINUTE, UTC).hour] * near
            for index, near in enumerate(_wander(random, count, 0.12, 0.5))
        ]
        misses = [each * near for each, near in zip(load, _wander(random, count, 0.08, 0.97), strict=True)]
        errors = [each * random.choice((0.0, 0.0, 1.0, 3.0)) for each in load]
        self.load = Curve(first, load)
        self._curves = {"load": self.load, "misses": Curve(first, misses), "errors": Curve(first, errors)}
        self._near = _wander(random, count, 0.03, 0.9)

    def text(self, begin: int, end: int) -> Iterator[str]:
        """Yield OpenMetrics text of the samples from ``begin`` to before ``end``, a family at a time."""
        counters = [(name, _density(name), series) for name, series in self._profile.counters.items()]
        # Labels that rules sum away are left: nobody asks for them.
        counters += [(sparse(name), "copies", self._profile.counters[name]) for name in self._profile.copies]
        for name, density, series in counters:
            moments = self._moments(density, begin, end)
            risen = {
                kind: [curve.until(at) - curve.until(self.start) for at in moments]
                for kind, curve in self._curves.items()
            }
            whole = not ("usd" in name or name.split(":")[-1].endswith("_sum") or "_sum:" in name)
            yield f"# TYPE {name} unknown\n"
            for labels, rate in series:
                values = [rate * seconds for seconds in risen[_kind(name, labels)]]
                yield self._lines(name, labels, moments, [value // 1 for value in values] if whole else values)
        moments = self._moments("others", begin, end)
        for name, series in self._profile.flows.items():
            seconds = [self._flow(name.rpartition(":")[2], at) for at in moments]
            yield f"# TYPE {name} unknown\n"
            for labels, rate in series:
                yield self._lines(name, labels, moments, [rate * each for each in seconds])
        for name, series in self._profile.levels.items():
            yield f"# TYPE {name} unknown\n"
            for labels, level in series:
                # What is 1 at most stays so.
                most = 1.0 if level <= 1 else 2 * level
                near = self._near_of(labels)
                values = [min(level * near[(at - self.load.start) // _MINUTE], most) for at in moments]
                yield self._lines(name, labels, moments, values)
        yield "# EOF\n"

    def _near_of(self, labels: dict[str, str]) -> list[float]:
        """Return how a level wanders, minute by minute: each subject its own way, quantiles of one together."""
        shift = zlib.crc32(repr(sorted(labels.items())).encode()) % len(self._near)
        return self._near[shift:] + self._near[:shift]

    def _moments(self, kind: str, begin: int, end: int) -> list[int]:
        """Return when series of a kind have samples."""
        found: list[int] = []
        younger = 0
        for age, step in _STEPS[kind]:
            low, high = max(begin, self.end - age), min(end, self.end - younger)
            found[:0] = range(-(-low // step) * step, high, step)
            younger = age
        return found

    def _lines(self, name: str, labels: dict[str, str], moments: list[int], values: list[float]) -> str:
        all_labels = labels | {"instance": self._instance} if "job" in labels else labels
        listed = ",".join(f'{key}="{value}"' for key, value in all_labels.items())
        subject = f"{name}{{{listed}}}"
        return "".join([f"{subject} {value:.9g} {at}\n" for at, value in zip(moments, values, strict=True)])

    @cached_property
    def _midnights(self) -> list[int]:
        return list(range(-(-self.start // DAY) * DAY, self.end, DAY))

    def _flow(self, operation: str, at: int) -> float:
        """Return what becomes of one per second at the mean of the day under the last part of a recorded name."""
        window = _WINDOW.match(operation)
        if window:
            seconds = int(window[2]) * _UNIT[window[3]]
            risen = self.load.over(seconds, at)
            return risen if window[1] == "increase" else risen / seconds
        today = self.load.over(at % DAY, at)
        if operation == "today":
            return today
        if operation == "projected_day":
            return today + self.load.over(_HOUR, at) / _HOUR * (DAY - at % DAY)
        moment = datetime.fromtimestamp(at, UTC)
        month = today + sum(
            self.load.over(DAY, midnight)
            for midnight in self._midnights
            if midnight <= at and _is_in(midnight, moment) and datetime.fromtimestamp(midnight, UTC).day > 1
        )
        if operation == "month_to_date":
            return month
        if operation == "projected_month":
            left = monthrange(moment.year, moment.month)[1] - moment.day + 1 - at % DAY / DAY
            return month + self.load.over(DAY, at) * left
        raise ValueError(f"the history's profile has a flow whose window is not known: {operation}")


def _is_in(midnight: int, month: datetime) -> bool:
    moment = datetime.fromtimestamp(midnight, UTC)
    return (moment.year, moment.month) == (month.year, month.month)


def _density(name: str) -> str:
    if "_bucket" in name:
        return "buckets"
    return "totals" if name in _TOTALS else "counters"


def _kind(name: str, labels: dict[str, str]) -> str:
    """Return which curve a counter follows."""
    if labels.get("outcome") == "error" or "error" in name:
        return "errors"
    return "misses" if labels.get("result") == "miss" else "load"


def _wander(random: Random, count: int, spread: float, memory: float) -> list[float]:
    """Return numbers around 1 that stay near to the one before, the more so the nearer ``memory`` is to 1."""
    here, found = 0.0, []
    for _ in range(count):
        here = memory * here + (1 - memory**2) ** 0.5 * random.gauss(0, spread)
        found.append(max(1 + here, 0.1))
    return found
