"""Tests that a monitored cache does what the plain one does, and that what it does is counted."""

import collections
import copy
import functools
import json
import pickle
import re
import threading
import weakref
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import cachetools
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from genai_metrics import monitored, workflow

if TYPE_CHECKING:
    from conftest import Metrics

LOOKUPS = "genai_cache_lookups_total"
WRITES = "genai_cache_writes_total"
EVICTIONS = "genai_cache_evictions_total"
ENTRIES = "genai_cache_entries"
CAPACITY = "genai_cache_capacity_entries"
LIFETIME = "genai_cache_entry_lifetime_seconds"
AGE = "genai_cache_entry_age_seconds"


class Timer:
    """Seconds that pass when told, and ``step`` seconds each time they are asked for."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        """Tell the time."""
        self.now += self.step
        return self.now


class Computing(cachetools.LRUCache[Any, Any]):
    """Makes what is missing, and stores it."""

    def __missing__(self, key: Any) -> Any:
        self[key] = value = [key]
        return value


class Least(dict[Any, Any]):
    """A user's own cache: drops the oldest of three without telling, and prunes when read."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().pop(key, None)
        super().__setitem__(key, value)
        if len(self) > 3:
            super().__delitem__(next(iter(self)))


class Slotted(MutableMapping[Any, Any]):
    """The five methods that a mapping needs, and no dictionary of attributes."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data: dict[Any, Any] = {}

    def __getitem__(self, key: Any) -> Any:
        return self.data[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self.data[key] = value

    def __delitem__(self, key: Any) -> None:
        del self.data[key]

    def __iter__(self) -> Any:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def length(value: Any) -> int:
    """Size of a value in the caches that weigh them."""
    return len(str(value))


def first(keys: Any) -> Any:
    """The choice of a random cache that is not left to chance."""
    return keys[0]


def until(key: Any, value: Any, now: float) -> float:
    """Lifetimes that depend on the value; some are over at once."""
    return now + (value if isinstance(value, int) else 3)


MAKERS: dict[str, Callable[[Timer], Any]] = {
    "Cache": lambda timer: cachetools.Cache(3),
    "FIFOCache": lambda timer: cachetools.FIFOCache(3),
    "LFUCache": lambda timer: cachetools.LFUCache(3),
    "LRUCache": lambda timer: cachetools.LRUCache(3),
    "LRUCache of sizes": lambda timer: cachetools.LRUCache(4, getsizeof=length),
    "LRUCache without room": lambda timer: cachetools.LRUCache(0),
    "RRCache": lambda timer: cachetools.RRCache(3, choice=first),
    "TTLCache": lambda timer: cachetools.TTLCache(3, 4, timer),
    "TTLCache of sizes": lambda timer: cachetools.TTLCache(4, 4, timer, getsizeof=length),
    "TLRUCache": lambda timer: cachetools.TLRUCache(3, until, timer),
    "Computing": lambda timer: Computing(3),
    "dict": lambda timer: {},
    "OrderedDict": lambda timer: collections.OrderedDict(),
    "defaultdict": lambda timer: collections.defaultdict(list),
    "UserDict": lambda timer: collections.UserDict(),
    "Least": lambda timer: Least(),
    "Slotted": lambda timer: Slotted(),
}

KEYS = st.one_of(st.integers(0, 5), st.just(["unhashable"]), st.just("k"), st.just(1.0))
VALUES = st.one_of(st.none(), st.integers(0, 12), st.just("long text"))
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=4)
OPERATIONS = st.one_of(
    st.tuples(st.just("__getitem__"), KEYS),
    st.tuples(st.just("__setitem__"), KEYS, VALUES),
    st.tuples(st.just("__setitem__"), KEYS, VALUES),
    st.tuples(st.just("__delitem__"), KEYS),
    st.tuples(st.just("__contains__"), KEYS),
    st.tuples(st.just("get"), KEYS),
    st.tuples(st.just("get"), KEYS, VALUES),
    st.tuples(st.just("get")),
    st.tuples(st.just("setdefault"), KEYS, VALUES),
    st.tuples(st.just("setdefault"), KEYS),
    st.tuples(st.just("pop"), KEYS),
    st.tuples(st.just("pop"), KEYS, VALUES),
    st.tuples(st.just("popitem")),
    st.tuples(st.just("clear")),
    st.tuples(st.just("update"), PAIRS),
    st.tuples(st.just("update"), PAIRS.map(lambda pairs: [(str(k), v) for k, v in pairs]).map(dict)),
    st.tuples(st.just("update"), st.sampled_from([5, None, [1], ["ab", "cd"], [["x", 1], ["y"]], [iter(["p", "q"])]])),
    st.tuples(st.just("expire")),
    st.tuples(st.just("tick"), st.integers(1, 5)),
    st.tuples(st.just("currsize")),
    st.tuples(st.just("|="), PAIRS),
    st.tuples(st.just("look around")),
)


def done(cache: Any, timer: Timer, operation: tuple[Any, ...]) -> Any:
    """What an operation gives or raises, and the state that it leaves; looked at without any method of the cache."""
    name, *arguments = operation
    arguments = copy.deepcopy(arguments) if name != "update" else [again(a) for a in arguments]
    try:
        if name == "tick":
            timer.now += arguments[0]
            result: Any = None
        elif name == "currsize":
            result = (cache.currsize, cache.maxsize)
        elif name == "|=":
            before = cache
            cache |= arguments[0]
            result = cache is before
        elif name == "look around":
            result = (list(cache), list(cache.items()), list(cache.values()), len(cache), repr(cache), cache == {1: 2})
        else:
            result = getattr(cache, name)(*arguments)
    except Exception as error:
        result = (type(error), str(error))
    return result, timer.now, repr(vars(cache)) if hasattr(cache, "__dict__") else repr(cache)


def again(argument: Any) -> Any:
    """A fresh iterator in place of one that may have been used."""
    return [iter(["p", "q"])] if isinstance(argument, list) and argument and "iterator" in str(argument) else argument


@pytest.mark.parametrize("step", [0.0, 0.25], ids=["still", "ticking"])
@pytest.mark.parametrize("kind", MAKERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(operations=st.lists(OPERATIONS, max_size=30))
def test_does_what_the_plain_one_does(
    metrics: "Metrics", kind: str, step: float, operations: list[tuple[Any, ...]]
) -> None:
    """Any sequence of operations has the same results, exceptions, order, inner state and calls of the timer."""
    metrics.restart()
    metrics.configure(registry=CollectorRegistry())
    timers = Timer(step), Timer(step)
    plain, watched = MAKERS[kind](timers[0]), monitored(MAKERS[kind](timers[1]), name=kind)
    for operation in operations:
        expected, actual = done(plain, timers[0], operation), done(watched, timers[1], operation)
        assert without_addresses(expected) == without_addresses(actual), operation
    assert metrics.faults() == {}


def without_addresses(state: Any) -> str:
    """Text of a state, without addresses, and without the module that messages give of classes written in C."""
    return re.sub(r"0x[0-9a-f]+|(?<=')collections\.(?=\w+' object)", "", repr(state))


COUNTED = [kind for kind in MAKERS if kind not in ("Least", "Computing", "UserDict")]


@pytest.mark.parametrize("kind", COUNTED)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(operations=st.lists(OPERATIONS, max_size=30))
def test_counts_what_happens(metrics: "Metrics", kind: str, operations: list[tuple[Any, ...]]) -> None:
    """Entries that come and go are all counted: those that are there, and those that left, each once."""
    metrics.restart()
    metrics.configure(registry=CollectorRegistry())
    timer = Timer()
    cache = monitored(MAKERS[kind](timer), name=kind)
    assert metrics.value(ENTRIES) == 0
    left = 0
    for operation in operations:
        before = set(keys_in(cache))
        expired = {key for key in before if isinstance(cache, cachetools.Cache) and key not in cache}
        done(cache, timer, operation)
        if operation[0] == "clear":
            continue
        after = set(keys_in(cache))
        written = {key for key in after & expired if key in cache}  # left and came again in one operation
        left += len(before - after) + len(written)
        assert metrics.value(ENTRIES) == len(after), operation
    # Within one update() an entry may come and go.
    evicted = metrics.value(EVICTIONS)
    assert evicted >= left
    if not any(operation[0] in ("update", "|=") for operation in operations):
        assert evicted == left
    assert metrics.faults() == {}


def keys_in(cache: Any) -> list[Any]:
    """Keys of all entries that lie in a cache, expired ones too."""
    return list(cachetools.Cache.__iter__(cache)) if isinstance(cache, cachetools.Cache) else list(cache)


class TestCounts:
    """Exact numbers for the usual ways to use a cache."""

    def test_lookups(self, metrics: "Metrics") -> None:
        """Reading by key or ``get`` is a lookup, timed; looking through the cache is none."""
        cache: Any = monitored(cachetools.LRUCache(10), name="answers")
        cache["a"] = None
        with workflow(mode="rag"):
            assert cache["a"] is cache.get("a") is cache.get("a", 5) is None
            assert cache.get("b") is None
            assert cache.get("b", 7) == 7
            assert cache.get("b", default=8) == 8
            with pytest.raises(KeyError, match="'b'"):
                cache["b"]
            with pytest.raises(TypeError):
                cache.get([])
        assert "a" in cache
        assert list(cache.items()) == [("a", None)]
        assert list(cache.values()) == [None]
        assert None in cache.values()
        assert cache == {"a": None}
        assert metrics.value(LOOKUPS, cache="answers", result="hit", mode="rag") == 3
        assert metrics.value(LOOKUPS, result="miss", mode="rag") == 4
        assert metrics.value(LOOKUPS) == metrics.value("genai_cache_lookup_duration_seconds_count") == 7

    def test_the_run_hears_of_answers(self, metrics: "Metrics") -> None:
        """A hit of a monitored response cache makes the run ``cached``."""
        cache: Any = monitored({"q": "a"}, name="answers", answers=True)
        with workflow(mode="rag"):
            cache.get("q")
        assert metrics.value("genai_workflow_duration_seconds_count", outcome="cached") == 1

    def test_evictions_by_reason_with_ages(self, metrics: "Metrics") -> None:
        """Who left for want of room, who expired and who was deleted; how old each was, by the clock given."""
        timer, clock = Timer(), Timer()
        cache: Any = monitored(cachetools.TTLCache(2, 10, timer), name="answers", clock=clock)
        assert metrics.value(CAPACITY, cache="answers") == 2
        cache["a"] = 1
        clock.now = 3
        assert cache["a"] == 1
        cache["b"] = 2
        cache["c"] = 3  # a goes, 3 seconds old
        clock.now = 5
        del cache["b"]  # 2
        timer.now, clock.now = 20, 20
        assert len(cache) == 0  # c goes, 17
        cache["d"] = 4
        timer.now, clock.now = 40, 40
        assert cache.get("d") is None
        with pytest.raises(KeyError):
            del cache["d"]  # 20, expired
        for reason, left in (("capacity", 1), ("explicit", 1), ("expired", 2)):
            assert metrics.value(EVICTIONS, reason=reason) == left
        assert metrics.value(f"{LIFETIME}_count") == 4
        assert metrics.value(f"{LIFETIME}_sum") == 3 + 2 + 17 + 20
        assert metrics.value(f"{AGE}_count") == 1
        assert metrics.value(f"{AGE}_sum") == 3
        assert metrics.value(WRITES) == 4
        assert metrics.value(ENTRIES) == 0

    def test_popping_is_explicit(self, metrics: "Metrics") -> None:
        """``pop`` and ``popitem`` delete; they look nothing up."""
        for cache in (monitored({"a": 1, "b": 2}, name="d"), monitored(cachetools.LFUCache(5), name="l")):
            cache.update(a=1, b=2)
            cache.pop("a")
            cache.pop("a", None)
            cache.popitem()
        assert metrics.value(EVICTIONS, reason="explicit", cache="d") == 2
        assert metrics.value(EVICTIONS, reason="explicit", cache="l") == 2
        assert metrics.value(EVICTIONS) == 4
        assert metrics.value(LOOKUPS) == 0

    def test_clearing_is_an_invalidation(self, metrics: "Metrics") -> None:
        """A cleared cache is empty; its entries were not evicted one by one."""
        for cache in (monitored({}, name="dict"), monitored(Slotted(), name="own")):
            cache.update({1: 1, 2: 2})
            cache.clear()
        assert metrics.value("genai_cache_invalidations_total") == 2
        assert metrics.value(EVICTIONS) == 0
        assert metrics.value(ENTRIES) == 0

    def test_entries_there_before(self, metrics: "Metrics") -> None:
        """Entries of a cache that was filled before count, at an age that nobody knows."""
        plain: Any = cachetools.LRUCache(5)
        plain["a"] = 1
        cache: Any = monitored(plain, name="answers")
        assert cache is plain
        assert metrics.value(ENTRIES) == 1
        assert cache["a"] == 1
        del cache["a"]
        assert metrics.value(LOOKUPS, result="hit") == 1
        assert metrics.value(EVICTIONS) == 1
        assert metrics.value(f"{AGE}_count") == metrics.value(f"{LIFETIME}_count") == 0

    @pytest.mark.parametrize("make", [dict, collections.OrderedDict, collections.UserDict, Slotted])
    def test_every_write(self, metrics: "Metrics", make: Callable[[], Any]) -> None:
        """All ways to store count, new entries and old ones."""
        cache: Any = monitored(make(), name="answers")
        cache["a"] = 1
        cache["a"] = 2
        cache.setdefault("a", 3)
        cache.setdefault("b", 3)
        cache.update({"b": 4}, c=5)
        cache.update([("c", 6), ["d", 7], "ef"])
        cache.update(collections.UserDict(x=8))
        assert metrics.value(WRITES) == 9
        assert metrics.value(ENTRIES) == 6

    def test_values_made_when_missing(self, metrics: "Metrics") -> None:
        """A value that ``__missing__`` makes is a miss and a write."""
        for cache in (monitored(Computing(3), name="own"), monitored(collections.defaultdict(list), name="default")):
            assert cache["a"] == cache["a"] in ([], ["a"])
        assert metrics.value(LOOKUPS, result="miss") == metrics.value(LOOKUPS, result="hit") == 2
        assert metrics.value(WRITES) == metrics.value(ENTRIES) == 2

    def test_values_made_of_others(self, metrics: "Metrics") -> None:
        """What ``__missing__`` looks up in the cache itself are lookups too."""

        class Factorials(cachetools.LRUCache[int, int]):
            def __missing__(self, key: int) -> int:
                self[key] = value = key * self[key - 1] if key else 1
                return value

        cache: Any = monitored(Factorials(100), name="answers")
        assert (cache[4], cache[4], cache[5]) == (24, 24, 120)
        assert metrics.value(LOOKUPS, result="miss") == metrics.value(WRITES) == 6
        assert metrics.value(LOOKUPS, result="hit") == 2

    def test_a_refused_value(self, metrics: "Metrics") -> None:
        """Storing what cannot be stored has still had the cache drop what expired."""
        timer = Timer()
        cache: Any = monitored(cachetools.TTLCache(3, 10, timer), name="answers")
        cache["a"] = 1
        timer.now = 11
        with pytest.raises(TypeError, match="unhashable"):
            cache[[]] = 2
        assert metrics.value(ENTRIES) == 0
        assert metrics.value(WRITES) == metrics.value(EVICTIONS, reason="expired") == 1

    def test_a_cache_that_evicts_untold(self, metrics: "Metrics") -> None:
        """Entries that a user's own cache drops by itself while it stores another one left for want of room."""
        cache: Any = monitored(Least(), name="answers")
        for number in range(500):
            cache[number] = number
        assert metrics.value(ENTRIES) == 3
        assert metrics.value(EVICTIONS, reason="capacity") == metrics.value(EVICTIONS) == 497

    def test_expire_that_tells_nothing(self, metrics: "Metrics") -> None:
        """Older versions of cachetools do not say which entries expired."""

        class Silent(cachetools.TTLCache[Any, Any]):
            def expire(self, time: Any = None) -> Any:
                super().expire(time)

        timer = Timer()
        cache: Any = monitored(Silent(5, 10, timer), name="answers")
        cache["a"] = cache["b"] = 1
        timer.now = 11
        assert len(cache) == 0
        assert metrics.value(EVICTIONS, reason="expired") == 2

    def test_sizes(self, metrics: "Metrics") -> None:
        """Sizes are bytes where the user says so; a capacity in sizes is none in entries."""
        cache: Any = monitored(cachetools.LRUCache(1000, getsizeof=len), name="answers", sizes_are_bytes=True)
        cache["a"] = "x" * 300
        cache["b"] = "y" * 50
        monitored(cachetools.LRUCache(float("inf")), name="boundless")["a"] = 1
        assert metrics.value("genai_cache_bytes", cache="answers") == 350
        assert metrics.value(ENTRIES, cache="answers") == 2
        assert metrics.value("genai_cache_bytes", cache="boundless") == 0
        assert metrics.value(CAPACITY) == 0
        assert metrics.faults() == {}


class TestDecorators:
    """``cachetools.cached`` and ``cachedmethod`` on monitored caches."""

    @pytest.mark.parametrize("lock", [None, threading.RLock()], ids=["alone", "locked"])
    @pytest.mark.parametrize("make", [lambda: cachetools.LRUCache(2), dict], ids=["cachetools", "dict"])
    def test_cached(self, metrics: "Metrics", make: Callable[[], Any], lock: Any) -> None:
        """One miss and one write a computed value, one hit a remembered one."""
        cache: Any = monitored(make(), name="answers")

        @cachetools.cached(cache, key=lambda text: text.lower(), lock=lock, info=True)
        def answer(text: str) -> str:
            return text + "!"

        assert [answer("a"), answer("A"), answer("b"), answer("a")] == ["a!", "a!", "b!", "a!"]
        assert answer.cache is cache
        info = answer.cache_info()
        assert (info.hits, info.misses, info.currsize) == (2, 2, 2)
        assert metrics.value(LOOKUPS, result="hit") == metrics.value(LOOKUPS, result="miss") == 2
        assert metrics.value(WRITES) == 2
        answer.cache_clear()
        assert metrics.value("genai_cache_invalidations_total") == 1

    def test_cachedmethod(self, metrics: "Metrics") -> None:
        """The cache of an instance, with a lock of its own."""

        class Service:
            def __init__(self) -> None:
                self.cache = monitored(cachetools.TTLCache(10, 60), name="answers")
                self.lock = threading.Lock()

            @cachetools.cachedmethod(lambda self: self.cache, lock=lambda self: self.lock)
            def answer(self, text: str) -> str:
                return text + "!"

        service = Service()
        assert [service.answer("a"), service.answer("a")] == ["a!", "a!"]
        assert metrics.value(LOOKUPS, result="hit") == metrics.value(LOOKUPS, result="miss") == 1


class TestIdentity:
    """What else a program may do with a cache."""

    @pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in ("Slotted", "TTLCache of sizes")])
    def test_copies_and_pickles_are_plain(self, metrics: "Metrics", kind: str) -> None:
        """What is made from a monitored cache is like what is made from a plain one, and not counted."""
        plain, watched = MAKERS[kind](Timer()), monitored(MAKERS[kind](Timer()), name=kind)
        for cache in (plain, watched):
            if "without room" not in kind:
                cache[1] = 2
        # The oldest two cannot write classes with slots, which cachetools has.
        protocols = range(2 * isinstance(plain, cachetools.Cache), pickle.HIGHEST_PROTOCOL + 1)
        for make in (copy.copy, copy.deepcopy, *(by_pickle(p) for p in protocols)):
            assert type(make(watched)) is type(make(plain)) is type(plain)
            assert list(make(watched).items()) == list(make(plain).items())
        assert isinstance(watched, type(plain))
        assert watched.__class__ is type(plain)
        assert type(watched).__name__ == type(plain).__name__
        assert watched.__doc__ == plain.__doc__
        if not isinstance(plain, cachetools.Cache):
            assert type(watched.copy()) is type(plain.copy())
            assert type(watched | {3: 4}) is type(plain | {3: 4})
        assert metrics.value(LOOKUPS) == 0

    def test_dictionaries_stay_dictionaries(self, metrics: "Metrics") -> None:
        """JSON, unpacking, ``dict()`` and keyword arguments read a monitored dictionary as any other."""
        cache: Any = monitored({"a": 1}, name="answers")
        assert json.dumps(cache) == '{"a": 1}'
        assert dict(cache) == {**cache} == dict(**cache) == cache == {"a": 1}
        with pytest.raises(TypeError, match="takes no keyword arguments"):
            cache.get(self=1)
        cache.update(self=2, args=3)
        assert cache == {"a": 1, "self": 2, "args": 3}

    @pytest.mark.parametrize("thing", [5, "text", [1], (1,), weakref.WeakKeyDictionary(), memoryview(b"x"), None])
    def test_what_cannot_be_monitored_comes_back(self, metrics: "Metrics", thing: Any) -> None:
        """Anything else is left alone and counts as a fault."""
        assert monitored(thing, name="answers") is thing
        assert metrics.faults() == {"internal": 1}

    def test_twice_is_once(self, metrics: "Metrics") -> None:
        """A monitored cache is not monitored again."""
        cache: Any = monitored(cachetools.LRUCache(5), name="answers")
        assert monitored(cache, name="other") is cache
        cache.get("a")
        assert metrics.value(LOOKUPS) == 1
        assert metrics.faults() == {"internal": 1}

    def test_goes_when_it_is_no_longer_used(self, metrics: "Metrics") -> None:
        """Neither the cache nor its class outlives its last user."""
        import gc

        cache: Any = monitored(cachetools.LRUCache(5), name="answers")
        alive = weakref.ref(cache), weakref.ref(type(cache))
        del cache
        gc.collect()
        assert [each() for each in alive] == [None, None]

    def test_recording_that_fails_changes_nothing(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever is wrong with the recording, the cache works."""

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken")

        cache: Any = monitored(cachetools.LRUCache(1), name="answers", clock=broken)  # type: ignore[arg-type]
        monkeypatch.setattr("genai_metrics.caches.count", broken)
        cache["a"] = 1
        cache["b"] = 2
        assert cache["b"] == cache.pop("b") == 2
        assert cache.get("a") is None
        cache.clear()
        assert metrics.faults()["internal"] >= 4


def by_pickle(protocol: int) -> Callable[[Any], Any]:
    """A copy by way of a pickle; sizes, timers and choices are functions of this module."""
    return lambda cache: pickle.loads(pickle.dumps(cache, protocol))


class TestFunctions:
    """``functools.lru_cache``."""

    def test_counts_are_the_functions_own(self, metrics: "Metrics") -> None:
        """Hits, misses, entries and capacity are those of ``cache_info()``."""

        @functools.lru_cache(maxsize=2)
        def square(number: int) -> int:
            """Multiply a number by itself."""
            return number * number

        watched = monitored(square, name="squares")
        assert metrics.value(CAPACITY, cache="squares") == 2
        with workflow(mode="rag"):
            assert [watched(n) for n in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
        info = square.cache_info()
        assert watched.cache_info() == info
        assert metrics.value(LOOKUPS, result="hit", mode="rag") == info.hits
        assert metrics.value(LOOKUPS, result="miss", mode="rag") == info.misses
        assert metrics.value(ENTRIES) == info.currsize == 2
        watched.cache_clear()
        assert square.cache_info().currsize == metrics.value(ENTRIES) == 0
        assert metrics.value("genai_cache_invalidations_total") == 1
        assert [watched(1), watched(2)] == [1, 4]
        square.cache_clear()
        watched(1)
        assert metrics.value(LOOKUPS, result="miss") == info.misses + 3

    def test_looks_like_the_function(self, metrics: "Metrics") -> None:
        """Name, text, wrapped function and parameters are the function's."""
        watched: Any = module_level
        assert (watched.__name__, watched.__doc__, watched.__module__) == (
            "module_level",
            module_level.__doc__,
            __name__,
        )
        assert watched.cache_parameters() == {"maxsize": None, "typed": False}
        assert watched.__wrapped__(2) == 2
        assert b"module_level" in pickle.dumps(module_level)
        assert copy.copy(watched) is copy.deepcopy(watched) is watched

    def test_methods(self, metrics: "Metrics") -> None:
        """A memoized method binds."""

        class Service:
            @functools.partial(monitored, name="answers")
            @functools.lru_cache(maxsize=8)  # noqa: B019
            def answer(self, text: str) -> str:
                return text + "!"

        service = Service()
        assert [service.answer("a"), service.answer(text="a"), service.answer("a")] == ["a!"] * 3
        assert metrics.value(LOOKUPS) == 3

    def test_exceptions_go_on(self, metrics: "Metrics") -> None:
        """What the function raises is raised, and was a miss."""
        error = ValueError("no")

        @functools.lru_cache
        def fail() -> None:
            raise error

        with pytest.raises(ValueError, match="no") as caught:
            monitored(fail, name="answers")()
        assert caught.value is error
        assert metrics.value(LOOKUPS, result="miss") == 1

    def test_threads_are_exact(self, metrics: "Metrics") -> None:
        """16 threads, each call counted once."""
        watched = monitored(functools.lru_cache(maxsize=5)(str), name="answers")

        def work() -> None:
            for number in range(500):
                watched(number % 7)

        threads = [threading.Thread(target=work) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert metrics.value(LOOKUPS) == 16 * 500
        assert metrics.value(LOOKUPS, result="hit") == watched.cache_info().hits

    def test_children_count_their_own(self, metrics: "Metrics", run_python: Callable[..., str]) -> None:
        """What was counted before a fork is the parent's."""
        run_python(
            """
            import functools, os, sys
            from genai_metrics import configure, monitored
            configure(metrics_dir=sys.argv[1])
            square = monitored(functools.lru_cache(lambda n: n * n), name="squares")
            square(1), square(1)
            square._taking.acquire()  # by a thread of the parent, say
            child = os.fork()
            if child:
                square._taking.release()
            square(1)
            if child:
                assert os.waitpid(child, 0)[1] == 0
            else:
                os._exit(0)
            """,
            str(metrics.directory),
        )
        assert metrics.stored(LOOKUPS, result="hit") == 3
        assert metrics.stored(LOOKUPS, result="miss") == 1


@functools.partial(monitored, name="module")
@functools.cache
def module_level(number: int) -> int:
    """Give a number back."""
    return number


def test_threads_on_a_dictionary(metrics: "Metrics") -> None:
    """A dictionary that threads share without a lock counts every operation."""
    cache = monitored({}, name="answers")

    def work(number: int) -> None:
        for each in range(300):
            cache[number, each] = 1
            cache.get((number, each))
            cache.get((number, -1))
            del cache[number, each]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = 16 * 300
    assert metrics.value(LOOKUPS, result="hit") == metrics.value(LOOKUPS, result="miss") == calls
    assert metrics.value(WRITES) == metrics.value(EVICTIONS, reason="explicit") == calls


def test_needs_no_cachetools(run_python: Callable[..., str]) -> None:
    """Monitoring a dictionary loads no library."""
    run_python(
        """
        import sys
        from genai_metrics import monitored
        monitored({}, name="answers")["a"] = 1
        assert "cachetools" not in sys.modules
        """
    )
