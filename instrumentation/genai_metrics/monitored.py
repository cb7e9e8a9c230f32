"""Caches that are monitored without the application saying anything: mappings and memoized functions."""

import time
from collections.abc import Callable
from typing import TypeVar

from genai_metrics import runtime
from genai_metrics.labels import described

T = TypeVar("T")


def monitored(
    cache: T,
    *,
    name: str,
    answers: bool = False,
    sizes_are_bytes: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Return a cache that does what ``cache`` does and is counted under ``name``.

    ``cache``: any cache of ``cachetools``; any other mutable mapping written in Python; a ``dict``, ``defaultdict`` or
    ``OrderedDict``; a function decorated with ``functools.lru_cache`` or ``functools.cache``. Anything else comes back
    as it is, not monitored, and counts as a fault. ``answers``: as in ``track_cache``. ``sizes_are_bytes``: the cache's
    ``getsizeof`` tells bytes. ``clock``: seconds for the ages of entries; the cache's own timer is never called.

    Results, exceptions, order, ``isinstance`` and thread-safety are the cache's own, and a copy or a pickle of it is a
    plain one. ``type(cache) is ...`` alone tells a difference. See ``monitored_mappings`` for what is counted and how,
    ``monitored_functions`` for functions. Never raises.
    """
    try:
        if callable(getattr(cache, "cache_info", None)) and callable(cache):
            from genai_metrics.monitored_functions import monitored_function

            function: T = monitored_function(cache, name, answers)
            return function
        if all(hasattr(type(cache), method) for method in ("__getitem__", "__setitem__", "__delitem__", "keys")):
            from genai_metrics.monitored_mappings import monitored_mapping

            mapping: T | None = monitored_mapping(cache, name, answers, sizes_are_bytes, clock)
            if mapping is not None:
                return mapping
        runtime.recorder().fault(
            "internal", f"cannot monitor {described(cache)} as cache {described(name)}; use track_cache for it"
        )
    except Exception as error:
        runtime.internal_fault(error)
    return cache
