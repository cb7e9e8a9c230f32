"""Caches that the application has itself: what it says of lookups, writes, evictions and size.

``monitored`` says all this by itself for mappings and ``lru_cache`` functions, ``integrations.redis`` for Redis.
"""

import os
import time
from types import TracebackType
from typing import Self

from genai_metrics import runtime, sizes
from genai_metrics.catalog import (
    CACHE,
    CACHE_LOOKUP_DURATION,
    CACHE_LOOKUPS,
)
from genai_metrics.context import mode_or_current
from genai_metrics.labels import described
from genai_metrics.numbers import LARGEST_COUNT, checked_flag, checked_number
from genai_metrics.observations import count, observe, split_slot
from genai_metrics.workflows import current_run

CAPACITY = "capacity"
EXPIRED = "expired"
EXPLICIT = "explicit"

_HIT, _MISS = CACHE_LOOKUPS.metrics[0].split[1]  # type: ignore[index]  # it has a split
_OFFSETS = [offset for _, offset in CACHE.layout()]
_WRITES, _EVICTIONS, _INVALIDATIONS, _AGE, _LIFETIME = range(5)


class TrackedCache:
    """What ``track_cache`` gives: says of one cache what happens to it.

    No method raises. All may be called from any thread, and in forked children.
    """

    def __init__(self, name: str, *, capacity: float | None, shared: bool, answers: bool) -> None:
        self.name = name
        self._capacity = capacity
        self._shared = self._answers = False
        try:
            recorder = runtime.recorder()
            self._shared = checked_flag(recorder, "shared", shared)
            self._answers = checked_flag(recorder, "answers", answers)
        except Exception as error:
            runtime.internal_fault(error)
        self._told: object = None

    def lookup(self, *, mode: str | None = None) -> "Lookup":
        """Time one lookup: ``with cache.lookup() as found:`` and, inside, ``found.hit()`` or ``found.miss()``."""
        return Lookup(self, mode)

    def hit(self, seconds: float | None = None, *, age: float | None = None, mode: str | None = None) -> None:
        """Say that a lookup found an entry: after how many seconds, and how many seconds old the entry was."""
        try:
            self._looked_up(0, _HIT, seconds, mode)
            if age is not None:
                observe(CACHE, (self.name,), age, name="age", metric=_AGE)
            if self._answers and (run := current_run()) is not None:
                run.cache_hit()
        except Exception as error:
            runtime.internal_fault(error)

    def miss(self, seconds: float | None = None, *, mode: str | None = None) -> None:
        """Say that a lookup found nothing usable, and after how many seconds."""
        try:
            self._looked_up(1, _MISS, seconds, mode)
            if self._answers and (run := current_run()) is not None:
                run.cache_miss()
        except Exception as error:
            runtime.internal_fault(error)

    def lookups(self, *, hits: int = 0, misses: int = 0) -> None:
        """Say at once how several lookups ended that were not timed."""
        try:
            self._tell_capacity()
            for slot, argument, value in ((1, "misses", misses), (0, "hits", hits)):
                number = checked_number(runtime.recorder(), argument, value, LARGEST_COUNT)
                if number:
                    count(CACHE_LOOKUPS, (self.name, mode_or_current(None)), slot=slot, amount=number)
                    if self._answers and (run := current_run()) is not None:
                        (run.cache_hit, run.cache_miss)[slot]()
        except Exception as error:
            runtime.internal_fault(error)

    def write(self, n: int = 1) -> None:
        """Say that ``n`` entries were written, new or in place of old ones."""
        try:
            self._count(_WRITES, 0, n)
        except Exception as error:
            runtime.internal_fault(error)

    def evict(self, reason: str, *, age: float | None = None, n: int = 1) -> None:
        """Say that ``n`` entries left the cache, or that one did that was ``age`` seconds old.

        ``reason``: ``capacity`` (no room), ``expired`` or ``explicit`` (deleted); anything else is left out and counted
        as a fault.
        """
        try:
            slot = split_slot(CACHE.metrics[_EVICTIONS], reason)
            if slot is None:
                runtime.recorder().fault(
                    "bad_label", f"reason={described(reason)} is none of capacity, expired, explicit; left out"
                )
                return
            self._count(_EVICTIONS, slot, n)
            if age is not None:
                observe(CACHE, (self.name,), age, name="age", metric=_LIFETIME)
        except Exception as error:
            runtime.internal_fault(error)

    def invalidate(self) -> None:
        """Say that the whole cache was cleared. Its entries do not count as evicted."""
        try:
            self._count(_INVALIDATIONS, 0, 1)
        except Exception as error:
            runtime.internal_fault(error)

    def size(self, entries: float | None = None, bytes: float | None = None) -> None:
        """Say how many entries the cache holds, how many bytes they take, or both. What is left out stays."""
        try:
            self._tell_capacity()
            if entries is not None:
                sizes.set_size(sizes.ENTRIES, self.name, entries, shared=self._shared, argument="entries")
            if bytes is not None:
                sizes.set_size(sizes.BYTES, self.name, bytes, shared=self._shared, argument="bytes")
        except Exception as error:
            runtime.internal_fault(error)

    def _looked_up(self, slot: int, result: str, seconds: float | None, mode: str | None) -> None:
        self._tell_capacity()
        count(CACHE_LOOKUPS, (self.name, mode_or_current(mode)), slot=slot)
        if seconds is not None:
            observe(CACHE_LOOKUP_DURATION, (self.name, result), seconds, name="seconds")

    def _count(self, metric: int, slot: int, n: object) -> None:
        self._tell_capacity()
        number = checked_number(runtime.recorder(), "n", n, LARGEST_COUNT)
        if number is not None:
            count(CACHE, (self.name,), slot=_OFFSETS[metric] + slot, amount=number)

    def _tell_capacity(self) -> None:
        """Set the gauge of the capacity once, and again in a forked child, which begins with no gauges."""
        recorder = runtime.recorder()
        if self._told is not recorder and self._capacity is not None:
            sizes.set_size(sizes.CAPACITY, self.name, self._capacity, shared=self._shared, argument="capacity")
        self._told = recorder


class Lookup:
    """One lookup that is being timed; what ``with cache.lookup()`` gives.

    The time ends with ``hit()`` or ``miss()``, so that making the missing answer inside the block does not count. What
    is said first holds. A lookup that an exception ends before anything was said is not recorded; one that ends
    without having said anything is left out and counted as a fault. No method raises.
    """

    def __init__(self, cache: TrackedCache, mode: str | None) -> None:
        self._cache = cache
        self._mode = mode
        self._said = False
        self._process = 0
        self._began = 0.0

    def hit(self, *, age: float | None = None) -> None:
        """Say that the entry was found, and how many seconds old it was."""
        seconds = time.perf_counter() - self._began
        if self._first():
            self._cache.hit(seconds, age=age, mode=self._mode)

    def miss(self) -> None:
        """Say that nothing usable was found."""
        seconds = time.perf_counter() - self._began
        if self._first():
            self._cache.miss(seconds, mode=self._mode)

    def _first(self) -> bool:
        """Whether this is the first word, in the process that began the lookup."""
        first = not self._said and os.getpid() == self._process
        self._said = True
        return first

    def __enter__(self) -> Self:
        self._process = os.getpid()
        self._began = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None and self._first():
            try:
                name = described(self._cache.name)
                runtime.recorder().fault(
                    "bad_label", f"a lookup of cache {name} ended without hit() or miss(); left out"
                )
            except Exception as fault:
                runtime.internal_fault(fault)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)


def track_cache(
    name: str, *, capacity: float | None = None, shared: bool = False, answers: bool = False
) -> TrackedCache:
    """Return what tells the metrics of one cache. Make it once, beside the cache. Never raises.

    ``name``: the label ``cache``. ``capacity``: how many entries fit. ``shared``: all processes use one cache (in
    Redis, say), so that the last word on its size counts; sizes of caches that are not shared add up over processes.
    One process that has both under one name has made a mistake: they add up, and count as a fault.
    ``answers``: it is a response cache: a hit or a miss is also the current workflow run's ``cache_hit()`` or
    ``cache_miss()``; of several the last one counts.
    """
    cache = TrackedCache(name, capacity=capacity, shared=shared, answers=answers)
    try:
        cache._tell_capacity()
    except Exception as error:
        runtime.internal_fault(error)
    return cache
