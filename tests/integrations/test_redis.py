"""Tests of the Redis integration against a real server: counts, and that the client stays what it was."""

import asyncio
import gc
import re
import socket
import subprocess
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from genai_metrics import workflow
from genai_metrics.integrations.redis import monitor_redis_cache
from genai_metrics.testing import sample
from genai_stack import binaries

# Redis still has the commands whose methods the library would rather not have.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning")

LOOKUPS = "genai_cache_lookups_total"
SECONDS = "genai_cache_lookup_duration_seconds"
WRITES = "genai_cache_writes_total"
FAULTS = "genai_recorder_faults_total"
EVICTIONS = "genai_cache_evictions_total"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a Redis server of this module's own, which keeps nothing."""
    program = binaries.require("redis-server")
    folder: Path = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    options = ["--port", str(number), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--databases", "2"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, *options], stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                with redis.Redis(port=number) as client:
                    client.ping()
                break
            except redis.ConnectionError:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.02)
        yield number
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    """A plain client of an empty database."""
    with redis.Redis(port=port) as plain:
        plain.flushall()
        yield plain


def use(client: Any) -> list[Any]:
    """Everything that the integration looks at, once or twice; results and exceptions in order."""
    return [
        client.set("a:1", "x"),
        client.set("a:1", "y", nx=True),
        client.set("a:1", "z", get=True),
        client.set("a:2", "x", xx=True),
        client.setex("a:2", 100, "x"),
        client.psetex("a:3", 100000, "x"),
        client.setnx("a:3", "y"),
        client.setnx("a:4", "y"),
        client.mset({"a:5": 1, "b:1": 2}),
        client.msetnx({"a:5": 1, "a:6": 2}),
        client.msetnx({"a:6": 1, "a:7": 2}),
        client.getset("a:8", "old"),
        client.get("a:1"),
        client.get(b"a:none"),
        client.get("b:1"),
        client.getex("a:2", ex=50),
        client.mget(["a:1", "a:none", "b:1", "a:2"]),
        client.mget("a:none", "a:neither"),
        client.getdel("a:4"),
        client.getdel("a:4"),
        client.delete("a:5", "a:6", "a:none"),
        client.unlink("a:7"),
        client.delete("a:8", "b:1"),
        client.exists("a:1"),
        client.flushdb(),
    ]


def check() -> None:
    """Assert what ``use`` does to the cache ``a:``."""
    assert sample(WRITES, cache="a") == 2 + 1 + 1 + 1 + 1 + 2 + 1
    # get, getex, getdel, two of mget; and the misses: get, getset, getdel, one and two of mget.
    assert sample(LOOKUPS, cache="a", result="hit") == 5
    assert sample(LOOKUPS, cache="a", result="miss") == 6
    assert sample(f"{SECONDS}_count", cache="a", result="hit") == 4
    assert sample(f"{SECONDS}_count", cache="a", result="miss") == 4
    assert 0 < sample(f"{SECONDS}_sum", cache="a") < 30
    assert sample(EVICTIONS, cache="a", reason="explicit") == sample(EVICTIONS, cache="a") == 5
    assert sample("genai_cache_invalidations_total", cache="a") == 1
    assert sample(FAULTS) == 0


class TestSync:
    """``redis.Redis``."""

    def test_counts(self, client: Any) -> None:
        """Each command counts as what it does to the keys of the prefix; results are Redis's own."""
        expected = use(client)
        monitor_redis_cache(client, name="a", prefix="a:")
        assert use(client) == expected
        check()

    def test_decoded_answers(self, port: int) -> None:
        """A client that decodes is recorded in the same way."""
        with redis.Redis(port=port, decode_responses=True) as client:
            client.flushall()
            expected = use(client)
            monitor_redis_cache(client, name="a", prefix="a:")
            assert use(client) == expected
        check()

    def test_several_caches_of_one_client(self, client: Any) -> None:
        """Each cache has its own prefix."""
        answers = monitor_redis_cache(client, name="answers", prefix="a:", answers=True)
        monitor_redis_cache(client, name="all")
        with workflow(mode="rag"):
            client.set("b:1", 1)
            client.get("b:1")
            client.get("a:1")
        assert sample(LOOKUPS, cache="answers", mode="rag") == 1
        assert sample(LOOKUPS, cache="all", mode="rag") == 2
        assert sample("genai_workflow_duration_seconds_count", cache="miss") == 1
        answers.cache.size(entries=client.dbsize())
        assert sample("genai_cache_entries", cache="answers") == 1

    def test_pipelines(self, client: Any) -> None:
        """What a pipeline holds counts when it is executed, without a time of its own."""
        expected = self.pipe(client)
        client.flushall()
        monitor_redis_cache(client, name="a", prefix="a:")
        assert self.pipe(client) == expected
        assert sample(LOOKUPS, result="hit") == sample(LOOKUPS, result="miss") == 1
        assert sample(WRITES) == 1
        assert sample(f"{SECONDS}_count") == 0
        assert sample(FAULTS) == 0

    def pipe(self, client: Any) -> list[Any]:
        """Six commands in one pipeline, the last of which fails."""
        with client.pipeline() as pipe:
            pipe.set("a:1", 1).get("a:1").get("a:none").get("b:1").lpush("a:list", 2).get("a:list")
            return [str(result) for result in pipe.execute(raise_on_error=False)]

    def test_deleting_keys_of_several_caches(self, client: Any) -> None:
        """Redis tells how many of the keys were there, not which: what is not known is not counted."""
        monitor_redis_cache(client, name="a", prefix="a:")
        client.mset({"a:1": 1, "a:2": 2, "b:1": 1})
        client.delete("a:1", "b:none")
        assert sample(EVICTIONS) == 0
        client.delete("a:2", "b:1")
        assert sample(EVICTIONS) == 1

    def test_errors_go_on(self, client: Any) -> None:
        """What Redis refuses is raised as before and not recorded."""
        client.lpush("a:list", 1)
        monitor_redis_cache(client, name="a", prefix="a:")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.get("a:list")
        with pytest.raises(redis.DataError):
            client.set("a:1", None)
        assert sample(LOOKUPS) == sample(WRITES) == 0

    def test_no_server(self) -> None:
        """A refused connection is no miss."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            with redis.Redis(port=free.getsockname()[1]) as client:
                monitor_redis_cache(client, name="a")
                with pytest.raises(redis.ConnectionError):
                    client.get("a:1")
        assert sample(LOOKUPS) == 0
        assert sample(FAULTS) == 0

    def test_uninstrument(self, client: Any) -> None:
        """The client is as it was, whatever the order in which its caches are ended."""
        before = dict(vars(client))
        first, second = monitor_redis_cache(client, name="a"), monitor_redis_cache(client, name="b")
        client.get("x")
        first.uninstrument()
        first.uninstrument()
        client.get("x")
        second.uninstrument()
        client.get("x")
        assert vars(client) == before
        assert sample(LOOKUPS, cache="a") == 1
        assert sample(LOOKUPS, cache="b") == 2

    def test_client_goes_at_once(self, port: int) -> None:
        """The last reference closes the client's connections as before: nothing waits for the garbage collector."""
        gc.disable()
        try:
            client = redis.Redis(port=port)
            watch = monitor_redis_cache(client, name="a")
            client.get("x")
            alive = weakref.ref(client)
            del client
            assert alive() is None
            watch.uninstrument()
        finally:
            gc.enable()

    @pytest.mark.parametrize("key", [5, 2.5, memoryview(b"a:1"), bytearray(b"a:1")], ids=lambda key: type(key).__name__)
    def test_odd_keys(self, client: Any, key: Any) -> None:
        """Keys of all kinds that the library takes, or refuses."""
        expected = outcome(client, key)
        monitor_redis_cache(client, name="a", prefix="a:")
        monitor_redis_cache(client, name="all")
        assert outcome(client, key) == expected
        assert sample(FAULTS) == 0

    @pytest.mark.parametrize("thing", [None, 5, object(), "client"])
    def test_only_clients(self, thing: object) -> None:
        """Anything else is a mistake that is told at once."""
        with pytest.raises(TypeError, match=r"no client of redis-py"):
            monitor_redis_cache(thing, name="a")

    def test_recording_that_fails_changes_nothing(self, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The answer comes, whatever is wrong with the recording."""

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken")

        client.set("a:1", "x")
        watch = monitor_redis_cache(client, name="a")
        monkeypatch.setattr(watch, "record", broken)
        assert client.get("a:1") == b"x"
        assert sample(FAULTS) == sample(FAULTS, reason="internal") == 1


def outcome(client: Any, key: Any) -> Any:
    """What reading a key gives or raises."""
    try:
        return client.get(key)
    except Exception as error:
        return type(error), str(error)


class TestAsync:
    """``redis.asyncio.Redis``."""

    def run(self, port: int, body: Callable[[Any], Any]) -> Any:
        """Run ``body`` with an async client of an empty database."""

        async def main() -> Any:
            async with redis.asyncio.Redis(port=port) as client:
                await client.flushall()
                return await body(client)

        return asyncio.run(main())

    def test_counts(self, port: int, client: Any) -> None:
        """The same commands, awaited, have the same results and counts."""
        expected = use(client)

        async def body(client: Any) -> Any:
            monitor_redis_cache(client, name="a", prefix="a:")
            return [await each if asyncio.iscoroutine(each) else each for each in use_later(client)]

        assert self.run(port, body) == expected
        check()

    def test_tasks_keep_their_modes(self, port: int) -> None:
        """Each of many tasks at once counts under its own workflow."""

        async def body(client: Any) -> None:
            monitor_redis_cache(client, name="a")

            async def ask(number: int) -> None:
                with workflow(mode=f"m{number % 10}"):
                    await client.get(f"a:{number}")

            await asyncio.gather(*(ask(number) for number in range(100)))

        self.run(port, body)
        assert [sample(LOOKUPS, mode=f"m{number}") for number in range(10)] == [10] * 10

    def test_pipelines(self, port: int) -> None:
        """An awaited pipeline counts."""

        async def body(client: Any) -> Any:
            monitor_redis_cache(client, name="a", prefix="a:")
            async with client.pipeline() as pipe:
                return await pipe.set("a:1", 1).get("a:1").get("a:none").execute()

        assert self.run(port, body) == [True, b"1", None]
        assert sample(LOOKUPS, result="hit") == sample(LOOKUPS, result="miss") == 1

    def test_cancelled(self, port: int) -> None:
        """A command that is given up is cancelled, and was no lookup."""

        async def body(client: Any) -> None:
            monitor_redis_cache(client, name="a")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get("a:1"), 0)

        self.run(port, body)
        assert sample(LOOKUPS) == 0
        assert sample(FAULTS) == 0


def use_later(client: Any) -> Iterator[Any]:
    """The commands of ``use`` for an async client, each made when the one before is done."""
    return iter(Recorded(client))


class Recorded:
    """Replays ``use``: first what it calls, then each call on the client."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        use(self)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self.client, name)(*args, **kwargs) for name, args, kwargs in self.calls)


def test_guide(port: int, client: Any) -> None:
    """The code in the guide runs as it stands, and records a write and a hit."""
    guide = (Path(__file__).parents[2] / "docs" / "caches.md").read_text()
    (code,) = (each for each in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "redis" in each)
    names: dict[str, Any] = {}
    exec(code.replace("6379", str(port)), names)
    names["client"].close()
    assert sample(WRITES, cache="answers") == sample(LOOKUPS, cache="answers", result="hit") == 1
    assert sample(FAULTS) == 0
