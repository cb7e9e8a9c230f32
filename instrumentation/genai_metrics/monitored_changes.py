"""Methods of monitored mappings that change what is in them: entries written, and entries that leave.

What counts as which is said in ``monitored_mappings``. Imports ``caches`` and ``monitored_entries``.
"""

from collections.abc import Iterator
from typing import Any

from genai_metrics.caches import CAPACITY, EXPIRED, EXPLICIT
from genai_metrics.monitored_entries import CLEAR, SET, TAKE, Monitor


def writing_methods(base: Any, monitor: Monitor) -> dict[str, Any]:
    """Return the methods of ``base`` that store entries, telling ``monitor`` of each one."""
    here = monitor.here

    def __setitem__(self: Any, key: Any, value: Any) -> None:
        outer, here.inside = here.inside, SET
        try:
            base.__setitem__(self, key, value)
        except BaseException:
            monitor.not_written(self)
            raise
        finally:
            here.inside = outer
        monitor.wrote(self, key)

    def setdefault(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        # Dictionaries store by themselves, all others by way of __setitem__.
        absent = bool(args) and issubclass(base, dict) and not monitor.had(self, args[0])
        outer, writes = here.inside, here.writes
        here.inside = outer or TAKE
        try:
            value = base.setdefault(self, *args, **kwargs)
        finally:
            here.inside = outer
        if absent and here.writes == writes:
            monitor.wrote(self, args[0])
        return value

    def update(self: Any, /, *args: Any, **kwargs: Any) -> None:
        keys: list[Any] = []
        try:
            base.update(self, *(_noting(source, keys) for source in args), **kwargs)
        finally:
            monitor.stored(self, [*keys, *kwargs])

    def __ior__(self: Any, other: Any) -> Any:
        keys: list[Any] = []
        try:
            return base.__ior__(self, _noting(other, keys))
        finally:
            monitor.stored(self, keys)

    names: dict[str, Any] = {"__setitem__": __setitem__}
    if hasattr(base, "setdefault"):
        names["setdefault"] = setdefault
    if getattr(base, "update", None) is dict.update:
        names["update"] = update
    if getattr(base, "__ior__", None) is dict.__ior__:
        names["__ior__"] = __ior__
    return names


def removing_methods(base: Any, monitor: Monitor) -> dict[str, Any]:
    """Return the methods of ``base`` by which entries leave, telling ``monitor`` of each one and why."""
    here = monitor.here

    def why() -> str:
        return CAPACITY if here.inside == SET else EXPLICIT

    def __delitem__(self: Any, key: Any) -> None:
        try:
            base.__delitem__(self, key)
        except KeyError:
            monitor.left_if_gone(self, key, EXPIRED)  # a cache with a timer deletes and denies an expired entry
            raise
        monitor.left(self, key, why())

    def pop(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        outer = here.inside
        here.inside = outer or TAKE
        try:
            value = base.pop(self, *args, **kwargs)
        finally:
            here.inside = outer
        if args:
            monitor.left_if_gone(self, args[0], why())
        return value

    def popitem(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        outer = here.inside
        here.inside = outer or TAKE
        try:
            item = base.popitem(self, *args, **kwargs)
        finally:
            here.inside = outer
        if type(item) is tuple and item:
            monitor.left_if_gone(self, item[0], why())
        return item

    def clear(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        outer, here.inside = here.inside, CLEAR
        try:
            result = base.clear(self, *args, **kwargs)
        finally:
            here.inside = outer
        monitor.cleared(self)
        return result

    def expire(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        gone = base.expire(self, *args, **kwargs)
        monitor.expired(self, gone)
        return gone

    names = {"__delitem__": __delitem__, "pop": pop, "popitem": popitem, "clear": clear, "expire": expire}
    return {name: function for name, function in names.items() if hasattr(base, name)}


def _noting(source: Any, keys: list[Any]) -> Any:
    """Return what updates a dictionary as ``source`` does, and notes the keys in ``keys``."""
    if isinstance(source, dict) and type(source).__iter__ is dict.__iter__:
        keys.extend(dict.keys(source))  # copied as it is, without any method of its own
        return source
    if hasattr(source, "keys"):
        return _NotingMapping(source, keys)
    return _noting_pairs(source, keys)


def _noting_pairs(source: Any, keys: list[Any]) -> Iterator[Any]:
    for pair in source:
        yield pair
        # Stored when the next one is asked for. Any other sequence may be there for reading once.
        if isinstance(pair, tuple | list | str):
            keys.append(pair[0])


class _NotingMapping:
    """The two methods that ``dict.update`` calls of a mapping."""

    def __init__(self, source: Any, keys: list[Any]) -> None:
        self._source = source
        self._keys = keys

    def keys(self) -> Any:
        return self._source.keys()

    def __getitem__(self, key: Any) -> Any:
        value = self._source[key]
        self._keys.append(key)
        return value
