"""Born at zero: a new series is shown as 0 before it is shown with its value.

Prometheus cannot see the first increment of a series that appears with a value of 50: ``increase()`` says 0. Imports
the standard library only.
"""

import time
from collections.abc import Callable, Hashable

BORN_AT_ZERO_SECONDS = 20.0
"""Default time for which a new series stays at 0: more than the usual scrape interval of 15 s."""


class Births:
    """Which series have been shown as 0 for long enough. Not thread-safe.

    ``seconds``: 0 switches it off; may be changed at any time. ``clock``: monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._first_shown: dict[Hashable, float] = {}

    def may_show(self, series: Hashable) -> bool:
        """Whether ``series`` may be shown with its value; the first call for it starts its time at 0."""
        now = self._clock()
        return now - self._first_shown.setdefault(series, now) >= self.seconds

    def has_begun(self, series: Hashable) -> bool:
        """Whether the time of ``series`` at 0 runs."""
        return series in self._first_shown

    def forget(self, series: Hashable) -> None:
        """Drop what is known of ``series``."""
        self._first_shown.pop(series, None)
