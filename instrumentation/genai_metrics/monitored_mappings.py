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
from collections.abc import Callable, ItemsView, Mapping, ValuesView
from time import perf_counter
from typing import Any

from genai_metrics.caches import TrackedCache
from genai_metrics.monitored_changes import removing_methods, writing_methods
from genai_metrics.monitored_entries import BUILT_IN, LOOK, TAKE, Monitor

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
        "__new__": _plain(base),
        **_lookups(base, monitor),
        **writing_methods(base, monitor),
        **removing_methods(base, monitor),
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


def _plain(base: Any) -> Any:
    """Return ``__new__`` that makes a plain one of ``type(cache)(...)``: there is one monitored instance alone."""

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        try:
            return base(*args, **kwargs)
        except TypeError:
            if args or kwargs:
                raise
            # No call at all but `cls.__new__(cls)`, by which cachetools begins a copy.
            return base.__new__(base)

    return __new__


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
