"""Mappings that are caches, monitored by a class of their own that the instance is given.

Why a class and not a proxy: the object stays the same object (of the same id, for all who hold it, for the decorators
of ``cachetools`` and their locks), all its attributes and private names work, ``isinstance`` holds, and what the cache
does to itself (evict, expire) goes through the methods of the class, so that it is seen when it happens and needs no
searching. Each instance gets a subclass of its own class, made on the fly, with the same name; the instance's
attributes are not touched. Built-in dictionaries cannot change their class: a new one takes over their entries.

What is counted. A lookup: ``cache[key]`` and ``get``; a hit is one that finds a value, and a value that ``__missing__``
makes is a miss. Not ``in``, ``items()``, ``values()`` and comparisons, which do not ask for one value; nor ``pop`` and
``setdefault``: decorators end a miss with the latter. A write: each entry stored. An eviction: each entry that leaves,
``capacity`` while another one is stored, ``expired``, else ``explicit``. A ``clear()`` is an invalidation alone.

All recording happens after the operation, or within its own internal calls, and never raises. Keys are hashed and
compared once or twice more. Besides, the times at which entries were written are kept: one dictionary of all keys.
"""

import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from time import perf_counter
from typing import Any

from genai_metrics.caches import CAPACITY, EXPIRED, EXPLICIT, TrackedCache
from genai_metrics.monitored_entries import BUILT_IN, CLEAR, LOOK, SET, TAKE, Monitor

_MISSING = object()
_TRUSTED = ("builtins", "collections", "collections.abc", "cachetools")
"""Modules whose ``get`` hands back the very default that it was given, and nothing else, when there is no value."""
_QUIET = frozenset(
    function.__code__
    for function in (
        ItemsView.__iter__,
        ItemsView.__contains__,
        ValuesView.__iter__,
        ValuesView.__contains__,
        Mapping.__contains__,
    )
)
"""Callers of ``__getitem__`` that look through a mapping, not something up."""

_made: "weakref.WeakSet[type]" = weakref.WeakSet()


def monitored_mapping(
    mapping: Any, name: str, answers: bool, sizes_are_bytes: bool, clock: Callable[[], float]
) -> Any | None:
    """Return ``mapping`` monitored, or ``None`` when that cannot be; may raise, with ``mapping`` as it was."""
    base = type(mapping)
    # What holds its keys weakly must go on doing so; what is monitored already would be counted twice.
    if base in _made or isinstance(mapping, weakref.WeakKeyDictionary | weakref.WeakValueDictionary):
        return None
    own = next((c for c in base.__mro__ if c.__module__ == "cachetools" and c.__name__ == "Cache"), base)
    cache = TrackedCache(name, capacity=_capacity(mapping, own), shared=False, answers=answers)
    monitor = Monitor(cache, mapping, own, sizes_are_bytes, clock)
    made = _class(base, monitor)
    if base in BUILT_IN:
        return _taken_over(mapping, base, made)
    try:
        object.__setattr__(mapping, "__class__", made)
    except TypeError:  # not written in Python
        return None
    return mapping


def _capacity(mapping: Any, own: Any) -> float | None:
    """Entries that fit, where that is what the cache counts."""
    if own.__module__ != "cachetools" or mapping.getsizeof is not own.getsizeof:
        return None
    capacity = float(mapping.maxsize)
    return capacity if capacity < sys.maxsize else None


def _taken_over(mapping: Any, base: Any, made: type) -> Any:
    """Return a dictionary of class ``made`` with the entries of a built-in one."""
    new = base.__new__(made)
    if base is defaultdict:
        base.__init__(new, mapping.default_factory)
    for key, value in mapping.items():
        base.__setitem__(new, key, value)
    return new


def _class(base: Any, monitor: Monitor) -> type:
    """Return a subclass of ``base`` that tells ``monitor`` what happens."""
    names: dict[str, Any] = {
        "__slots__": (),
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        # What the instance says its class is; pickle goes by it.
        "__class__": property(lambda self: base),
        # type(cache)(...) makes a plain one: there is one monitored instance alone.
        "__new__": lambda cls, *args, **kwargs: base(*args, **kwargs),
        **_lookups(base, monitor),
        **_changes(base, monitor),
        **_removals(base, monitor),
        **_copies(base, monitor),
    }

    def __reduce_ex__(self: Any, protocol: Any) -> Any:
        # The oldest protocols refuse built-in classes under another's name; what newer ones write, they can write too.
        reduced = base.__reduce_ex__(self, max(protocol, 2) if base in BUILT_IN else protocol)
        if not isinstance(reduced, tuple):
            return reduced
        maker, arguments, *rest = reduced
        return (
            base if maker is made else maker,
            tuple(base if argument is made else argument for argument in arguments),
            *rest,
        )

    names["__reduce_ex__"] = __reduce_ex__
    made = type(base)(base.__name__, (base,), names)
    _made.add(made)
    return made  # type: ignore[no-any-return]


def _lookups(base: Any, monitor: Monitor) -> dict[str, Any]:
    here = monitor.here

    def __getitem__(self: Any, key: Any) -> Any:
        if here.inside is not None or sys._getframe(1).f_code in _QUIET:
            return base.__getitem__(self, key)
        here.inside, here.missed_at = LOOK, 0.0
        began = perf_counter()
        try:
            value = base.__getitem__(self, key)
        except KeyError:
            monitor.cache.miss((here.missed_at or perf_counter()) - began)
            raise
        finally:
            here.inside = None
        if here.missed_at:
            monitor.cache.miss(here.missed_at - began)
        else:
            monitor.hit(key, perf_counter() - began)
        return value

    def __missing__(self: Any, key: Any) -> Any:
        now, outer = perf_counter(), here.inside
        here.inside = None  # what making the value looks up and stores is the application's own
        try:
            return base.__missing__(self, key)
        finally:
            here.inside, here.missed_at = outer, now

    trusted = _defined_in(base, "get") in _TRUSTED

    def get(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        if here.inside is not None:
            return base.get(self, *args, **kwargs)
        usual = (len(args) == 2 and not kwargs) or (len(args) == 1 and kwargs.keys() <= {"default"})
        default = (args[1:] or (kwargs.get("default"),))[0] if usual else None
        nothing = _MISSING if trusted and usual else default
        here.inside, here.missed_at = LOOK, 0.0
        began = perf_counter()
        try:
            if nothing is not _MISSING:
                value = base.get(self, *args, **kwargs)
            elif kwargs:
                value = base.get(self, args[0], default=_MISSING)
            else:
                value = base.get(self, args[0], _MISSING)
        finally:
            here.inside = None
        seconds = (here.missed_at or perf_counter()) - began
        if value is nothing or here.missed_at:
            monitor.cache.miss(seconds)
        elif args:
            monitor.hit(args[0], seconds)
        return default if value is _MISSING else value

    names: dict[str, Any] = {"__getitem__": __getitem__}
    if hasattr(base, "get"):
        names["get"] = get
    if hasattr(base, "__missing__"):
        names["__missing__"] = __missing__
    return names


def _changes(base: Any, monitor: Monitor) -> dict[str, Any]:
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


def _removals(base: Any, monitor: Monitor) -> dict[str, Any]:
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


def _copies(base: Any, monitor: Monitor) -> dict[str, Any]:
    """Return the methods that copy a mapping, which may read it item by item: nothing is looked up."""
    here = monitor.here

    def quiet(method: Any) -> Any:
        def copied(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            outer = here.inside
            here.inside = outer or TAKE
            try:
                return method(self, *args, **kwargs)
            finally:
                here.inside = outer

        return copied

    # Not by hasattr: classes have operators of their own.
    return {
        name: quiet(getattr(base, name))
        for name in ("copy", "__copy__", "__or__", "__ror__")
        if _defined_in(base, name) not in ("", "builtins")
    }


def _defined_in(base: type, name: str) -> str:
    """Module of the class that gives ``base`` a method; empty where none does."""
    return next((c.__module__ for c in base.__mro__ if name in vars(c)), "")


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
