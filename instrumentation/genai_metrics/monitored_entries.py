"""The entries of one monitored mapping: when each was written, and what to record when one is found, stored or gone.

Thread-safe where the mapping is; imports the standard library and ``caches``.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

from genai_metrics import runtime
from genai_metrics.caches import CAPACITY, EXPIRED, TrackedCache

SET, LOOK, TAKE, CLEAR = "set", "look", "take", "clear"
"""What an operation may be inside of: operations call each other."""

BUILT_IN = (dict, OrderedDict, defaultdict)
_MISSING = object()


class _Here(threading.local):
    """What the mapping is doing in this thread: inside of what, when it missed, how many writes so far."""

    inside: str | None = None
    missed_at = 0.0
    writes = 0


class Monitor:
    """Records what one mapping does; no method raises."""

    def __init__(
        self, cache: TrackedCache, mapping: Any, own: Any, sizes_are_bytes: bool, clock: Callable[[], float]
    ) -> None:
        self.cache = cache
        self.here = _Here()
        self.clock = clock
        # Below the classes that expire: looking at those would call the cache's timer, or have it expire entries.
        self._contains: Any = own.__contains__
        self._len: Any = own.__len__
        self._bytes: Any = own.currsize.fget if sizes_are_bytes and hasattr(own, "currsize") else None
        self._tells_all = own in BUILT_IN or own.__module__ == "cachetools"
        self._lost = 0
        self.births: dict[Any, float | None] = dict.fromkeys(own.__iter__(mapping))
        self.resize(mapping)

    def hit(self, key: object, seconds: float) -> None:
        """A value was found."""
        try:
            born = self.births.get(key)
            self.cache.hit(seconds, age=None if born is None else max(0.0, self.clock() - born))
        except Exception as error:
            runtime.internal_fault(error)

    def wrote(self, mapping: Any, key: object) -> None:
        """A value was given; a cache may decline it, and then has let go of the one before."""
        self.here.writes += 1
        try:
            if self._contains(mapping, key):
                self.births[key] = self.clock()
                self.cache.write()
            else:
                self._left(key, EXPIRED)
            if not self._tells_all:
                self._find_lost(mapping)
            self.resize(mapping)
        except Exception as error:
            runtime.internal_fault(error)

    def not_written(self, mapping: Any) -> None:
        """A value was refused, after entries may have made room for it."""
        try:
            self.resize(mapping)
        except Exception as error:
            runtime.internal_fault(error)

    def left(self, mapping: Any, key: object, reason: str) -> None:
        """An entry left, if that is not known yet."""
        try:
            self._left(key, reason)
            if self.here.inside != SET:
                self.resize(mapping)
        except Exception as error:
            runtime.internal_fault(error)

    def left_if_gone(self, mapping: Any, key: object, reason: str) -> None:
        """An entry may have left without the mapping's having said so."""
        try:
            if key in self.births and not self._contains(mapping, key):
                self.left(mapping, key, reason)
        except TypeError:  # a key without a hash is no entry: an empty dictionary says so without asking for it
            pass
        except Exception as error:
            runtime.internal_fault(error)

    def expired(self, mapping: Any, gone: Any) -> None:
        """Entries expired: pairs, or, in older versions of cachetools, nothing is said of which."""
        try:
            keys = [key for key in list(self.births) if not self._contains(mapping, key)] if gone is None else None
            before = len(self.births)
            for key in [key for key, _ in gone] if keys is None else keys:
                self._left(key, EXPIRED)
            if len(self.births) != before and self.here.inside != SET:
                self.resize(mapping)
        except Exception as error:
            runtime.internal_fault(error)

    def cleared(self, mapping: Any) -> None:
        """All entries were dropped."""
        try:
            self.births.clear()
            self._lost = 0
            self.cache.invalidate()
            self.resize(mapping)
        except Exception as error:
            runtime.internal_fault(error)

    def stored(self, mapping: Any, keys: list[Any]) -> None:
        """Values were stored in one go."""
        try:
            for key in keys:
                self.wrote(mapping, key)
            if len(self.births) < self._len(mapping):
                for key in list(mapping):
                    if key not in self.births:
                        self.wrote(mapping, key)
        except Exception as error:
            runtime.internal_fault(error)

    def had(self, mapping: Any, key: object) -> bool:
        """Whether there is an entry, or nobody can say."""
        try:
            return bool(self._contains(mapping, key))
        except Exception:  # a key that cannot be hashed
            return True

    def resize(self, mapping: Any) -> None:
        """Tell how many entries there are; may raise."""
        self.cache.size(entries=self._len(mapping), bytes=self._bytes(mapping) if self._bytes else None)

    def _left(self, key: object, reason: str) -> None:
        born = self.births.pop(key, _MISSING)
        if born is not _MISSING and self.here.inside != CLEAR:
            self.cache.evict(reason, age=max(0.0, self.clock() - born) if isinstance(born, float) else None)

    def _find_lost(self, mapping: Any) -> None:
        """Of mappings that nobody knows: count entries that left unseen while another was stored.

        Which ones they were is looked up only once there are many, for it takes looking at all.
        """
        lost = len(self.births) - self._len(mapping)
        if lost > self._lost:
            self.cache.evict(CAPACITY, n=lost - self._lost)
        self._lost = max(0, lost)
        if lost > 100 and 2 * lost > len(self.births):
            for key in [key for key in list(self.births) if not self._contains(mapping, key)]:
                del self.births[key]
            self._lost = 0
