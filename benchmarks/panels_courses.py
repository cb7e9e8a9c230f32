"""How values go over the weeks: some dozens of courses, one for each kind of series and how busy it is."""

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from random import Random

from benchmarks.panels_blocks import Run
from benchmarks.panels_organisation import Series
from genai_metrics.catalog.sparse import SPARSE_PREFIX, SPARSE_SECONDS

STEP_MS = 15_000
SPARSE_STEP_MS = SPARSE_SECONDS * 1000
"""Of the copies that recording_sparse.yml records."""

_RUNGS = 16
_BUSY = (0.02, 0.3, 3.0)  # events a scrape
_ALIKE = 6
_CONSTANT = re.compile(
    r"threshold|budget|capacity|_size$|_info$|_limit|_total_bytes|start_time|boot_time|^up$|_success"
)
_COUNTER = re.compile(r"_total(:sum)?$|_(bucket|count|sum)(:sum)?$")
_FLOATING = re.compile(r"usd|_sum(:sum)?$|_seconds_total$")

_Source = Callable[[], Iterator[float]]


class _Ladder:
    """A histogram: each rung is a bucket with what is at most that slow; the top one counts everything."""

    def __init__(self, rate: float) -> None:
        self._rate, self._random = rate, Random(rate)
        self._rows: list[list[float]] = []
        self._steps = self._climb()

    def _climb(self) -> Iterator[list[float]]:
        counts = [0.0] * _RUNGS
        while True:
            for _ in range(int(self._rate + self._random.random())):
                lowest = round(self._random.triangular(0, _RUNGS - 1, _RUNGS / 2))
                for rung in range(lowest, _RUNGS):
                    counts[rung] += 1
            yield counts[:]

    def rung(self, number: int) -> Iterator[float]:
        """Yield the count of one rung; all rungs are of the same observations."""
        at = 0
        while True:
            while at >= len(self._rows):
                self._rows.append(next(self._steps))
            yield self._rows[at][number]
            at += 1


def _events(rate: float, seed: int, size: Callable[[Random], float]) -> Iterator[float]:
    """Yield a counter that rises by ``size`` at each event."""
    random, value = Random(seed), 0.0
    while True:
        for _ in range(int(rate + random.random())):
            value += size(random)
        yield value


def _level(seed: int) -> Iterator[float]:
    """Yield what a ratio, a quantile or a gauge says: something else each time."""
    random, here = Random(seed), 0.5
    while True:
        here = min(max(here + random.gauss(0, 0.01), 0.01), 0.99)
        yield here


def _constant() -> Iterator[float]:
    while True:
        yield 1.0


@dataclass
class Courses:
    """The courses over consecutive blocks: ``next_block`` goes on to the next one, ``run`` tells what a series does."""

    _sources: dict[str, Iterator[float]] = field(default_factory=dict)
    _values: dict[str, list[float]] = field(default_factory=dict)
    _runs: dict[tuple[str, int], Run] = field(default_factory=dict)
    _start: int = 0

    def __post_init__(self) -> None:
        """Begin all of them."""
        for rate in _BUSY:
            ladder = _Ladder(rate)
            self._sources |= {f"bucket {rate} {rung}": ladder.rung(rung) for rung in range(_RUNGS)}
            for seed in range(_ALIKE):
                self._sources[f"count {rate} {seed}"] = _events(rate, seed, lambda random: random.randint(1, 9))
                self._sources[f"amount {rate} {seed}"] = _events(rate, seed, partial(Random.uniform, a=0.001, b=0.2))
        self._sources |= {f"level {seed}": _level(seed) for seed in range(_ALIKE)}
        self._sources["constant"] = _constant()

    def next_block(self, start: int, samples: int) -> None:
        """Go on: the block begins at ``start`` (Unix time in ms)."""
        self._start, self._runs = start, {}
        self._values = {name: list(islice(source, samples)) for name, source in self._sources.items()}

    def run(self, series: Series) -> Run:
        """The samples of a series in this block."""
        name = _course(series)
        step = SPARSE_STEP_MS if SPARSE_PREFIX in series.name else STEP_MS
        if (name, step) not in self._runs:
            self._runs[name, step] = Run.of(self._values[name][:: step // STEP_MS], self._start, step)
        return self._runs[name, step]


def _course(series: Series) -> str:
    """Name of the course of a series; buckets of one histogram are rungs of one ladder."""
    labels = dict(series.labels)
    name = labels.pop("__name__")
    labels.pop("le", None)
    chance = zlib.crc32(repr((name.replace("_bucket", "_count"), sorted(labels.items()))).encode())
    rate = _BUSY[chance % len(_BUSY)]
    if "_bucket" in name:
        return f"bucket {rate} {round(series.rank * _RUNGS) - 1 if series.rank * _RUNGS >= 1 else 0}"
    if _CONSTANT.search(name):
        return "constant"
    seed = chance // 8 % _ALIKE
    if not _COUNTER.search(name):
        return f"level {seed}"
    return f"{'amount' if _FLOATING.search(name) else 'count'} {rate} {seed}"
