"""Redis as a cache: ``monitor_redis_cache(client, name="answers", prefix="answers:")`` for a client of redis-py.

Imports nothing of the library: the client is the user's. Works for ``Redis`` and ``RedisCluster``, sync and async.
"""

import inspect
import time
import weakref
from collections.abc import Callable
from typing import Any

from genai_metrics import runtime
from genai_metrics.caches import EXPLICIT, TrackedCache, track_cache

_READ = frozenset({"GET", "GETEX", "GETDEL", "GETSET"})
_WRITE = frozenset({"SET", "SETEX", "PSETEX", "SETNX", "GETSET"})
_DELETE = frozenset({"DEL", "UNLINK"})
_CLEAR = frozenset({"FLUSHDB", "FLUSHALL"})
_SEVERAL = frozenset({"MGET", "MSET", "MSETNX"})
_KNOWN = _READ | _WRITE | _DELETE | _CLEAR | _SEVERAL


class RedisCache:
    """One cache in Redis as seen through one client; ``uninstrument()`` ends that.

    ``cache``: what ``track_cache`` gives, for saying more of it: ``cache.size(entries=client.dbsize())``.
    """

    def __init__(self, client: Any, cache: TrackedCache, prefix: str) -> None:
        self.cache = cache
        self._text = prefix
        self._bytes = prefix.encode()
        self._hook = _hook_of(client)
        self._hook.caches = [*self._hook.caches, self]

    def uninstrument(self) -> None:
        """Stop recording; with the last cache of a client, the client is as it was."""
        self._hook.remove(self)

    def record(self, arguments: tuple[Any, ...], result: Any, seconds: float | None) -> None:
        """Record one command that the server answered, after so many seconds; may raise."""
        name = _name(arguments)
        if name in _CLEAR:
            self.cache.invalidate()
        elif name in _DELETE:
            self._deleted(arguments[1:], result)
        elif name == "MGET":
            pairs = zip(arguments[1:], result, strict=True)
            self._looked_up([value is not None for key, value in pairs if self._is_ours(key)], seconds)
        elif name in ("MSET", "MSETNX"):
            if result:
                self.cache.write(sum(map(self._is_ours, arguments[1::2])))
        elif self._is_ours(arguments[1]):
            if name in _READ:
                self._looked_up([result is not None], seconds)
            if name in _WRITE and _has_written(name, arguments, result):
                self.cache.write()
            if name == "GETDEL" and result is not None:
                self.cache.evict(EXPLICIT)

    def _looked_up(self, found: list[bool], seconds: float | None) -> None:
        """Record lookups that took one command: its time counts once, as a hit's if anything was found."""
        hits = sum(found)
        misses = len(found) - hits
        if hits:
            self.cache.hit(seconds)
            self.cache.lookups(hits=hits - 1, misses=misses)
        elif misses:
            self.cache.miss(seconds)
            self.cache.lookups(misses=misses - 1)

    def _deleted(self, keys: tuple[Any, ...], number: Any) -> None:
        ours = sum(map(self._is_ours, keys))
        # Of keys of several caches the server does not say which were there, unless all were.
        if ours == len(keys) or number == len(keys):
            gone = min(ours, int(number))
            if gone:
                self.cache.evict(EXPLICIT, n=gone)

    def _is_ours(self, key: Any) -> bool:
        if isinstance(key, str):
            return key.startswith(self._text)
        return bytes(key).startswith(self._bytes) if isinstance(key, bytes | memoryview) else not self._text


class _Hook:
    """Stands for ``execute_command`` of one client, or ``execute`` of one of its pipelines; holds no client.

    So that a client goes, and its connections are closed, when its last user lets it go, as without the hook.
    """

    def __init__(self, client: Any) -> None:
        self.caches: list[RedisCache] = []
        self._client = weakref.ref(client)
        self._before = {name: vars(client).get(name) for name in ("execute_command", "pipeline")}
        self._is_async = inspect.iscoroutinefunction(client.execute_command)
        client.execute_command = self.execute_command = _Command(self)
        client.pipeline = self.pipeline = _Pipeline(self)

    def call(self, name: str) -> Callable[..., Any]:
        """Return the client's own method; it lives, for it is being called."""
        before = self._before[name]
        if before is not None:
            return before  # type: ignore[no-any-return]
        client = self._client()
        return getattr(type(client), name).__get__(client)  # type: ignore[no-any-return]

    def remove(self, cache: RedisCache) -> None:
        """Forget a cache, and with the last one leave the client."""
        self.caches = [other for other in self.caches if other is not cache]
        client = self._client()
        if self.caches or client is None:
            return
        for name, before in self._before.items():
            if vars(client).get(name) is getattr(self, name):  # else patched again since then
                if before is None:
                    delattr(client, name)
                else:
                    setattr(client, name, before)

    def record(self, arguments: tuple[Any, ...], result: Any, seconds: float | None) -> None:
        """Tell all caches of a command; never raises."""
        try:
            if _name(arguments) in _KNOWN and not isinstance(result, Exception):
                for cache in self.caches:
                    cache.record(arguments, result, seconds)
        except Exception as error:
            runtime.internal_fault(error)


class _Command:
    """A client's ``execute_command``, through which all commands but those of pipelines go."""

    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    def __call__(self, *args: Any, **options: Any) -> Any:
        call = self._hook.call("execute_command")
        if self._hook._is_async:
            return self._later(call, args, options)
        began = time.perf_counter()
        result = call(*args, **options)
        self._hook.record(args, result, time.perf_counter() - began)
        return result

    async def _later(self, call: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        began = time.perf_counter()
        result = await call(*args, **options)
        self._hook.record(args, result, time.perf_counter() - began)
        return result


class _Pipeline:
    """A client's ``pipeline``: those that it gives are recorded when they are executed, without times."""

    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        pipeline = self._hook.call("pipeline")(*args, **kwargs)
        try:
            pipeline.execute = _Execute(self._hook, pipeline)
        except Exception as error:
            runtime.internal_fault(error)
        return pipeline


class _Execute:
    """A pipeline's ``execute``."""

    def __init__(self, hook: _Hook, pipeline: Any) -> None:
        self._hook = hook
        self._pipeline = weakref.ref(pipeline)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        pipeline: Any = self._pipeline()  # lives, for it is being called
        commands = self._commands(pipeline)
        result = type(pipeline).execute(pipeline, *args, **kwargs)
        if inspect.isawaitable(result):
            return self._later(commands, result, pipeline)
        self._record(commands, result)
        return result

    async def _later(self, commands: list[tuple[Any, ...]], result: Any, _pipeline: Any) -> Any:
        results = await result
        self._record(commands, results)
        return results

    def _commands(self, pipeline: Any) -> list[tuple[Any, ...]]:
        try:
            # A client's holds pairs of arguments and options, a cluster's holds objects.
            return [tuple(c[0] if isinstance(c, tuple) else c.args) for c in pipeline.command_stack]
        except Exception as error:
            runtime.internal_fault(error)
            return []

    def _record(self, commands: list[tuple[Any, ...]], results: Any) -> None:
        if isinstance(results, list) and len(results) == len(commands):
            for arguments, result in zip(commands, results, strict=True):
                self._hook.record(arguments, result, None)


def monitor_redis_cache(client: Any, *, name: str, prefix: str = "", answers: bool = False) -> RedisCache:
    """Record how ``client`` uses Redis as a cache: lookups with their duration, writes, deletions, flushes.

    ``prefix``: how the keys of this cache begin; others are not counted. Call it once a cache for several in one Redis.
    ``answers``: as in ``track_cache``.

    ``GET``, ``GETEX``, ``GETDEL``, ``GETSET`` and each key of ``MGET`` are lookups; ``SET`` and its kin, once they have
    written, are writes; keys that ``DEL``, ``UNLINK`` and ``GETDEL`` deleted are explicit evictions; ``FLUSHDB`` and
    ``FLUSHALL`` are invalidations. Pipelines count when executed. What expires or is evicted inside Redis is known to
    the server alone.

    Results, exceptions and timing of connections are the client's own; commands that fail are not recorded. Raises
    ``TypeError`` for anything that is no client of redis-py.
    """
    if not callable(getattr(client, "execute_command", None)) or not hasattr(client, "__dict__"):
        raise TypeError(f"{type(client).__name__} is no client of redis-py")
    return RedisCache(client, track_cache(name, shared=True, answers=answers), prefix)


def _hook_of(client: Any) -> _Hook:
    found = vars(client).get("execute_command")
    return found._hook if isinstance(found, _Command) else _Hook(client)


def _name(arguments: tuple[Any, ...]) -> str:
    name = arguments[0] if arguments else ""
    return name.upper() if isinstance(name, str) else ""


def _has_written(name: str, arguments: tuple[Any, ...], result: Any) -> bool:
    """Whether a command that may decline has written: ``SET`` with ``NX`` or ``XX`` answers nothing if not."""
    if name == "GETSET":
        return True
    words = {word.upper() for word in arguments[3:] if isinstance(word, str)} if name == "SET" else set()
    if "GET" in words:  # the answer is the value before
        return (result is None) == ("NX" in words) if words & {"NX", "XX"} else True
    return bool(result)
