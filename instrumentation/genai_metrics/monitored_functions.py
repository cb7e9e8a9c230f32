"""Functions that remember their results: ``functools.lru_cache`` and what behaves like it.

What they count themselves, in ``cache_info()``, is taken over after each call. The function inside is called as before:
whether a call was a hit is known to it alone.
"""

import functools
import os
import threading
import types
from typing import Any

from genai_metrics import runtime
from genai_metrics.caches import TrackedCache


def monitored_function(function: Any, name: str, answers: bool) -> Any:
    """Return a function that does what ``function`` does, whose hits, misses and size are recorded after each call."""
    return _Function(function, name, answers)


class _Function:
    """A memoized function with the attributes of the one inside; binds like a method where it is one.

    Thread-safe without making calls wait for each other: who finds another thread taking over the counts leaves it to
    that one to take its own too.
    """

    def __init__(self, function: Any, name: str, answers: bool) -> None:
        functools.update_wrapper(self, function)
        self.__wrapped__ = getattr(function, "__wrapped__", function)
        info = function.cache_info()
        self._function = function
        self._cache = TrackedCache(name, capacity=info.maxsize, shared=False, answers=answers)
        self._cache.size(entries=info.currsize)
        self._unseen = False
        self._begin()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._process != os.getpid():
            self._begin()  # what was counted before the fork is the parent's
        try:
            return self._function(*args, **kwargs)
        finally:
            self._settle()

    def cache_info(self) -> Any:
        """Return what the function inside counts."""
        return self._function.cache_info()

    def cache_clear(self) -> None:
        """Clear the cache of the function inside, and its counts."""
        self._settle()
        self._function.cache_clear()
        self._cache.invalidate()
        self._settle()

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> str:
        return self.__qualname__  # type: ignore[no-any-return]  # as functools does

    def __copy__(self) -> "_Function":
        return self

    def __deepcopy__(self, memo: object) -> "_Function":
        return self

    def __getattr__(self, name: str) -> Any:
        if name == "_function":  # not there yet
            raise AttributeError(name)
        return getattr(self._function, name)

    def _begin(self) -> None:
        """Count from now on."""
        info = self._function.cache_info()
        self._seen = (info.hits, info.misses)
        self._taking = threading.Lock()
        self._process = os.getpid()

    def _settle(self) -> None:
        """Record what was counted inside since the last time."""
        self._unseen = True
        try:
            # Who comes while another thread is in here sets the flag, which that one looks at before it leaves.
            while self._unseen and self._taking.acquire(blocking=False):
                try:
                    self._unseen = False
                    self._take_over()
                finally:
                    self._taking.release()
        except Exception as error:
            runtime.internal_fault(error)

    def _take_over(self) -> None:
        info = self._function.cache_info()
        hits, misses = self._seen
        if info.hits < hits or info.misses < misses:  # cleared meanwhile
            hits = misses = 0
        new_hits, new_misses = info.hits - hits, info.misses - misses
        self._seen = (info.hits, info.misses)
        if new_hits:
            self._cache.lookups(hits=new_hits)
        if new_misses:
            self._cache.lookups(misses=new_misses)
            self._cache.size(entries=info.currsize)
        elif not info.currsize:
            self._cache.size(entries=0)
