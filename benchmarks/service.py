"""Measures what instrumentation costs a whole service: the demo's, the same code with and without it, by turns."""

import http.client
import json
import math
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from statistics import mean, stdev

from benchmarks.results import Figure, Section, Target
from load_scenarios.traffic import Question, Traffic

PAIRS = 20
"""Pairs of blocks, one of each service, in a round."""

REQUESTS = 50
"""Requests in a block."""

CLIENTS = 4
"""Requests under way at once."""

WITH, WITHOUT = "with instrumentation", "without"
_LIMIT_PERCENT = 1.0


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure both services under the same requests; ``directory``: an empty one. Linux only.

    Models and databases hardly wait, so that the processor is all that requests take. Both services run all the time,
    and blocks of the same requests go to the one and the other in turn, the first of each pair by chance: what slows
    the machine for a while slows both.
    """
    pairs: list[dict[str, tuple[float, float]]] = []
    by_round: dict[str, list[float]] = {WITH: [], WITHOUT: []}
    with (
        _running("fake_llm", "--speed", "100000", "--errors", "0") as (llm, _),
        _service(directory / "with", llm) as instrumented,
        _service(directory / "without", llm, "--no-metrics") as plain,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        services = {WITH: instrumented, WITHOUT: plain}
        traffic, draw = Traffic(seed=1), random.Random(1)
        say("service: warming up")
        for _ in range(4):
            _pair(services, clients, traffic, draw)
        for number in range(rounds):
            say(f"service: round {number + 1} of {rounds}")
            measured = [_pair(services, clients, traffic, draw) for _ in range(PAIRS)]
            pairs += measured
            for name, values in by_round.items():
                values.append(mean(pair[name][0] for pair in measured))
    figures = tuple(Figure(name, tuple(values), _note(name, pairs)) for name, values in by_round.items())
    _, upper = interval([100 * math.log(pair[WITHOUT][1] / pair[WITH][1]) for pair in pairs])
    target = Target("throughput that instrumentation takes, upper end of 95 %", upper, _LIMIT_PERCENT, "at most", " %")
    return [Section("A request to the demo service", "ms of processor time", figures, WITHOUT, (target,))]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the mean of values, which should be more than 30; of one the value."""
    middle = mean(values)
    half = 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return middle - half, middle + half


def _note(name: str, pairs: Sequence[dict[str, tuple[float, float]]]) -> str:
    if name == WITHOUT:
        return f"{len(pairs)} pairs of {REQUESTS} requests, {CLIENTS} at a time"
    told = []
    for index, what in enumerate(("processor time", "throughput")):
        low, high = interval([100 * math.log(pair[WITH][index] / pair[WITHOUT][index]) for pair in pairs])
        told.append(f"{what} {(low + high) / 2:+.2f} % (95 %: {low:+.2f} to {high:+.2f})")
    return ", ".join(told)


class _Service:
    """One service that runs, with a single worker."""

    def __init__(self, address: str, worker: int) -> None:
        self._tasks = Path(f"/proc/{worker}/task")
        self._connections: SimpleQueue[http.client.HTTPConnection] = SimpleQueue()
        for _ in range(CLIENTS):
            self._connections.put(http.client.HTTPConnection(address.removeprefix("http://"), timeout=60))

    def ask(self, question: Question) -> None:
        """Ask one question and read the whole answer."""
        told = asdict(question)
        told["question"] = told.pop("text")
        connection = self._connections.get()
        connection.request("POST", "/ask", json.dumps(told), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        self._connections.put(connection)
        if answer.status not in (200, 502):  # the stand-ins of its databases fail now and then
            raise RuntimeError(f"the service answered {answer.status}: {text.decode()}")

    def close(self) -> None:
        """Close the connections of requests that have ended."""
        while not self._connections.empty():
            self._connections.get().close()

    def cpu_seconds(self) -> float:
        """Return the processor time of all threads of the worker so far; they all live as long as it does."""
        return sum(int((task / "schedstat").read_text().split()[0]) for task in self._tasks.iterdir()) / 1e9


def _pair(
    services: dict[str, _Service], clients: ThreadPoolExecutor, traffic: Traffic, draw: random.Random
) -> dict[str, tuple[float, float]]:
    """Send the same block to both; returns milliseconds of processor time a request, and requests a second, of each."""
    questions = [traffic.question() for _ in range(REQUESTS)]
    measured = {}
    for name in draw.sample(list(services), len(services)):
        service = services[name]
        used, begun = service.cpu_seconds(), time.perf_counter()
        list(clients.map(service.ask, questions))
        took = time.perf_counter() - begun
        measured[name] = ((service.cpu_seconds() - used) * 1000 / REQUESTS, REQUESTS / took)
    return measured


@contextmanager
def _service(folder: Path, llm: str, *options: str) -> Iterator[_Service]:
    """Run a service with its files below ``folder``."""
    folder.mkdir()
    arguments = ("--workers", "1", "--speed", "0", "--llm-url", llm, "--state", str(folder / "faults.json"))
    metrics = ("--metrics-dir", str(folder / "metrics"))
    with _running("rag_service", *arguments, *metrics, *options) as (address, process):
        first = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
        first.request("GET", "/healthz")  # answered when the worker has started: its socket listens before
        if first.getresponse().status != 200:
            raise RuntimeError("the service is not healthy")
        first.close()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        # The other child is the resource tracker of multiprocessing.
        (worker,) = (int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes())
        with closing(_Service(address, worker)) as service:
            yield service


@contextmanager
def _running(module: str, *arguments: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run one of the demo's servers on a free port; yields its address and the process."""
    command = [sys.executable, "-m", module, "--listen", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise RuntimeError(f"{module} ended with status {process.wait()}")
        yield found[0], process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
