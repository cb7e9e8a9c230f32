"""What the buckets of a histogram tell about its observations. Imports the standard library only."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is known from buckets only.

    ``min``: no observation was smaller; ``max``: none was larger. ``p50``, ``p95``, ``p99``: in the right bucket, as
    Prometheus' ``histogram_quantile`` interpolates there (in the last, open one: the bucket's lower bound), but never
    outside ``min`` and ``max``.
    """

    min: float
    max: float
    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Distribution:
    """Observations of one histogram: ``count``, ``sum`` and ``mean`` are exact, the rest is estimated from buckets.

    ``mean`` and ``estimated`` are ``None`` when there were none.
    """

    count: int = 0
    sum: float = 0.0
    mean: float | None = None
    estimated: Estimates | None = None


def distribution(bounds: Sequence[float], values: Sequence[float]) -> Distribution:
    """Return what a histogram's slots say: one count for each of the upper ``bounds``, one above them, and the sum."""
    counts, total = values[:-1], values[-1]
    number = sum(counts)
    if number <= 0:
        return Distribution()
    least, most = _extremes(bounds, counts, total)
    p50, p95, p99 = (min(max(quantile(share, bounds, counts), least), most) for share in (0.5, 0.95, 0.99))
    return Distribution(int(number), total, total / number, Estimates(least, most, p50, p95, p99))


def quantile(share: float, bounds: Sequence[float], counts: Sequence[float]) -> float:
    """Return the value below which ``share`` (above 0, to 1) of the observations lie, as ``histogram_quantile`` does.

    ``counts``: of each bucket by itself, the one above the last bound included; not all 0. Observations are taken to
    lie evenly in their bucket, the first of which begins at 0.
    """
    cumulative = list(accumulate(counts))
    rank = share * cumulative[-1]
    index = bisect_left(cumulative, rank)
    if index >= len(bounds):
        return bounds[-1]
    if index == 0 and bounds[0] <= 0:
        return bounds[0]
    lower = bounds[index - 1] if index else 0.0
    below = cumulative[index - 1] if index else 0.0
    return lower + (bounds[index] - lower) * (rank - below) / counts[index]


def _extremes(bounds: Sequence[float], counts: Sequence[float], total: float) -> tuple[float, float]:
    """Return the narrowest limits that buckets and the sum of observations from 0 on allow."""
    lower, upper = (0.0, *bounds), (*bounds, math.inf)
    used = [i for i, number in enumerate(counts) if number > 0]
    first, last = used[0], used[-1]
    # The others were at least their buckets' lower bounds, which leaves so much for the largest one; and vice versa.
    # A single observation is the sum itself, to the last bit.
    left = total - sum(lower[i] * counts[i] for i in used if i != last)
    left -= lower[last] * (counts[last] - 1) if counts[last] > 1 else 0.0
    most = max(min(upper[last], left), lower[last])
    right = total - sum(upper[i] * counts[i] for i in used if i != first)
    right -= upper[first] * (counts[first] - 1) if counts[first] > 1 else 0.0
    least = min(max(lower[first], right), upper[first])
    return min(least, most), most  # which rounding may have exchanged
