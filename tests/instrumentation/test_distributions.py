"""Tests of what is read out of buckets, against the observations that went in."""

import math
from bisect import bisect_left

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genai_metrics.catalog import BLOCK_KINDS
from genai_metrics.distributions import Distribution, distribution, quantile

BOUNDS = (0.1, 0.5, 1.0, 2.5, 10.0)
BUCKET_LISTS = sorted({m.buckets for kind in BLOCK_KINDS for m in kind.metrics if m.buckets})
OBSERVATIONS = st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=1, max_size=50)


def slots(bounds: tuple[float, ...], observations: list[float]) -> list[float]:
    """Return what a block holds of the observations."""
    values = [0.0] * (len(bounds) + 2)
    for observation in observations:
        values[bisect_left(bounds, observation)] += 1.0
        values[-1] += observation
    return values


class TestQuantile:
    """As Prometheus' histogram_quantile."""

    @pytest.mark.parametrize(
        ("share", "counts", "expected"),
        [
            (0.5, (10, 0, 0, 0, 0, 0), 0.05),  # the first bucket begins at 0
            (0.5, (0, 10, 0, 0, 0, 0), 0.3),
            (0.95, (50, 40, 10, 0, 0, 0), 0.75),
            (0.5, (5, 0, 5, 0, 0, 0), 0.1),  # exactly at the end of a bucket
            (0.99, (1, 1, 1, 1, 1, 95), 10.0),  # open bucket: its lower bound
            (1.0, (0, 0, 4, 4, 0, 0), 2.5),
        ],
    )
    def test_interpolates_in_the_bucket(self, share: float, counts: tuple[int, ...], expected: float) -> None:
        """Worked out by hand after the documentation of histogram_quantile."""
        assert quantile(share, BOUNDS, counts) == pytest.approx(expected)

    def test_a_first_bound_of_zero_is_its_own_value(self) -> None:
        """A bucket up to 0 holds zeros."""
        assert quantile(0.5, (0.0, 1.0), (3, 1, 0)) == 0.0


class TestDistribution:
    """Exact numbers are exact, limits hold, percentiles lie in the right bucket."""

    def test_nothing(self) -> None:
        """Without observations there is no mean and no percentile."""
        assert distribution(BOUNDS, [0.0] * 7) == Distribution(0, 0.0, None, None)

    @pytest.mark.parametrize("bounds", BUCKET_LISTS)
    @settings(max_examples=40)
    @given(observations=OBSERVATIONS)
    @example(observations=[0.0])
    @example(observations=[999.0, 999.0])
    @example(observations=[0.45])
    @example(observations=[0.3] * 3)
    def test_against_the_observations(self, bounds: tuple[float, ...], observations: list[float]) -> None:
        """For every bucket list of the catalogue."""
        found = distribution(bounds, slots(bounds, observations))
        assert found.count == len(observations)
        assert found.sum == pytest.approx(math.fsum(observations))
        assert found.mean == pytest.approx(math.fsum(observations) / len(observations))
        known = found.estimated
        assert known is not None
        slack = 1e-9 * (1 + math.fsum(observations))
        assert known.min <= min(observations) + slack
        assert known.max >= max(observations) - slack
        ordered = sorted(observations)
        edges = (0.0, *bounds, math.inf)
        for share, estimate in ((0.5, known.p50), (0.95, known.p95), (0.99, known.p99)):
            exact = ordered[math.ceil(share * len(ordered)) - 1]
            bucket = bisect_left(bounds, exact)
            assert edges[bucket] - slack <= estimate <= edges[bucket + 1] + slack
            assert known.min <= estimate <= known.max

    @given(observation=st.floats(0, 1e6, allow_subnormal=False))
    @example(observation=0.45)
    def test_one_observation_is_known_exactly(self, observation: float) -> None:
        """Least and largest of one are the sum, to the last bit."""
        known = distribution(BOUNDS, slots(BOUNDS, [observation])).estimated
        assert known is not None
        assert known.min == known.max == known.p50 == known.p99 == observation
