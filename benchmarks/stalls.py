"""Measures how long an asyncio loop is held up while 100 000 lines are scraped in its own process.

Each way runs in a process of its own: ``python -m benchmarks.stalls INDEX ROUNDS`` prints milliseconds, a line a
round.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest, make_asgi_app

from benchmarks.dataset import LINES_PER_TUPLE, peer_metrics, record_ours, record_peer
from benchmarks.results import Figure, Section, Target

LINES = 100_000
TUPLES = -(-LINES // LINES_PER_TUPLE)
BASELINE_SECONDS = 0.2

Task = Callable[[], Awaitable[None]]


async def longest_stall(task: Task) -> tuple[float, float]:
    """Milliseconds of the longest time for which nothing else ran on the loop while the task did.

    By the clock, and in processor time of the loop's thread: other programs and threads lengthen only the first.
    """
    longest = longest_used = 0.0
    work = asyncio.ensure_future(task())
    last, last_used = time.perf_counter(), time.thread_time()
    while not work.done():
        await asyncio.sleep(0)
        now, used = time.perf_counter(), time.thread_time()
        longest, longest_used = max(longest, now - last), max(longest_used, used - last_used)
        last, last_used = now, used
    await work
    return longest * 1000, longest_used * 1000


def scrape(app: Callable[..., Awaitable[None]], *headers: tuple[bytes, bytes]) -> Task:
    """A task that asks an ASGI application for its metrics, as a server would."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/metrics",
        "raw_path": b"/metrics",
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
    }

    async def receive() -> MutableMapping[str, Any]:
        """The request has no body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def task() -> None:
        """One request."""
        size = 0

        async def send(message: MutableMapping[str, Any]) -> None:
            """Check and count what is answered."""
            nonlocal size
            if message.get("status", 200) != 200:
                raise RuntimeError(f"the application answered {message['status']}")
            size += len(message.get("body", b""))

        await app(dict(scope), receive, send)
        if size < LINES:
            raise RuntimeError(f"the application answered {size} bytes for {LINES} lines")

    return task


def nothing() -> Task:
    """An idle loop: what the machine itself does to the figures."""

    async def task() -> None:
        """Wait."""
        await asyncio.sleep(BASELINE_SECONDS)

    return task


def ours(*headers: tuple[bytes, bytes]) -> Task:
    """``genai_metrics.asgi_app()``."""
    import genai_metrics

    registry = CollectorRegistry()
    genai_metrics.configure(service_name="benchmark", registry=registry)
    record_ours(0, TUPLES)
    return scrape(genai_metrics.asgi_app(registry=registry, born_at_zero_seconds=0.0), *headers)


def ours_gzip() -> Task:
    """The same, compressed."""
    return ours((b"accept-encoding", b"gzip"))


def exporter() -> Task:
    """The exporter's web server, with TLS and a password."""
    from benchmarks.secured_exporter import SecuredExporter

    return SecuredExporter(TUPLES).scrape


def peer_app() -> Task:
    """prometheus_client's ASGI application, uncompressed."""
    return scrape(make_asgi_app(_peer_registry()))


def peer_thread() -> Task:
    """``generate_latest`` in a thread."""
    registry = _peer_registry()

    async def task() -> None:
        """One rendering."""
        await asyncio.to_thread(generate_latest, registry)

    return task


def _peer_registry() -> CollectorRegistry:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    record_peer(0, TUPLES, peer_metrics(registry))
    return registry


@dataclass(frozen=True)
class Way:
    """A way to serve a scrape, as it is printed."""

    name: str
    make: Callable[[], Task]


OURS, PEER = "genai_metrics.asgi_app()", "prometheus_client make_asgi_app()"
WAYS = (
    Way("nothing is scraped", nothing),
    Way(OURS, ours),
    Way(f"{OURS}, gzip", ours_gzip),
    Way("genai-exporter with TLS and a password", exporter),
    Way(PEER, peer_app),
    Way("generate_latest in a thread", peer_thread),
)


def measure(*, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure all ways, each in its own process."""
    stalls, used = [], []
    for index, way in enumerate(WAYS):
        say(f"stall of an asyncio loop: {way.name}")
        command = [sys.executable, "-m", "benchmarks.stalls", str(index), str(rounds)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        by_clock, by_processor = zip(*(map(float, line.split()) for line in output.splitlines()), strict=True)
        stalls.append(Figure(way.name, by_clock))
        used.append(Figure(way.name, by_processor))
    title = f"Longest stall of an asyncio loop, {LINES} lines"
    section = Section(title, "ms", tuple(stalls), PEER)
    target = Target(OURS, section.figure(OURS).median, 5, "at most", " ms")
    return [
        Section(title, "ms", tuple(stalls), PEER, (target,)),
        Section(f"{title}, processor time of its thread", "ms", tuple(used), PEER),
    ]


def main() -> None:
    """Print the longest stall of each round of one way, by the clock and in processor time."""
    task = WAYS[int(sys.argv[1])].make()

    async def run() -> None:
        """All rounds on one loop."""
        await task()  # once before it counts: renderers are compiled, caches filled
        for _ in range(int(sys.argv[2])):
            print(*await longest_stall(task))

    asyncio.run(run())


if __name__ == "__main__":
    main()
