"""Measures what recording one LLM call costs, warm and with cold caches, beside the peers."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.results import Figure, Section, Target
from benchmarks.ways import WAYS

WARM_SECONDS = 0.02
"""How long one way is timed in one round: short, so that the ways of a round share the machine's mood."""

WARM_ROUNDS = 3
"""Rounds of this length in one round of the command line."""

TITLE, COLD_TITLE = "Recording one LLM call", "Recording one LLM call with cold caches"
LABELS, OPENTELEMETRY = "prometheus_client, labels()", "OpenTelemetry SDK, Prometheus reader"
LIMIT = "limit of Python code"
NESTED = "workflow and llm_call, file, tenant and price"
FULL, BARE = "track_llm_call, file, tenant and price", "track_llm_call, file"


class _Worker:
    """A running ``recording_worker``."""

    def __init__(self, index: int, directory: Path) -> None:
        environment = {**os.environ, "BENCHMARK_DIR": str(directory)}
        # Settings of the shell must not turn one way into another.
        for name in ("PROMETHEUS_MULTIPROC_DIR", "GENAI_METRICS_DIR", "GENAI_PRICE_FILE"):
            environment.pop(name, None)
        if WAYS[index].multiprocess:
            files = directory / f"multiprocess{index}"
            files.mkdir()
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(files)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.recording_worker", str(index)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._name = WAYS[index].name
        self._read()

    def ask(self, command: str, count: int) -> list[float]:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command} {count}\n")
        self._process.stdin.flush()
        return [float(value) for value in self._read().split()]

    def end(self) -> None:
        """Close the worker's input and wait until it has ended."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self._name!r} ended with status {self._process.wait()}")
        return line


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure all ways, interleaved: each round times every way once. ``directory``: an empty one, for their files."""
    with ExitStack() as stack:
        workers = []
        for index, way in enumerate(WAYS):
            say(f"recording: starting {way.name}")
            worker = _Worker(index, directory)
            stack.callback(worker.end)
            workers.append(worker)
        counts = []
        for worker in workers:
            (per_call,) = worker.ask("warm", 500)
            counts.append(max(1, int(WARM_SECONDS * 1e9 / per_call)))
        warm: list[list[float]] = [[] for _ in WAYS]
        cold: list[list[float]] = [[] for _ in WAYS]
        for number in range(WARM_ROUNDS * rounds):
            say(f"recording: round {number + 1} of {WARM_ROUNDS * rounds}")
            for index, worker in enumerate(workers):
                warm[index] += worker.ask("warm", counts[index])
        for number in range(max(1, rounds // 3)):
            say(f"recording with cold caches: round {number + 1} of {max(1, rounds // 3)}")
            for index, worker in enumerate(workers):
                cold[index] += worker.ask("cold", 5)
    figures = [
        tuple(Figure(way.name, tuple(values[i]), way.note) for i, way in enumerate(WAYS)) for values in (warm, cold)
    ]
    section = Section(TITLE, "ns", figures[0], LABELS)
    targets = (
        _ratio(section, FULL, LABELS, 10),
        _ratio(section, FULL, OPENTELEMETRY, 40),
        _to_limit(section, FULL, 4.5),
        Target(f"{NESTED}: to {FULL}", section.ratio(NESTED, FULL), 8, "at most", " x"),
        _ratio(section, BARE, LABELS, 15),
        _ratio(section, BARE, OPENTELEMETRY, 60),
        _to_limit(section, BARE, 2.5),
    )
    return [
        Section(section.title, section.unit, section.figures, section.base, targets),
        Section(COLD_TITLE, "ns", figures[1], LABELS),
    ]


def _ratio(section: Section, ours: str, peer: str, limit: float) -> Target:
    return Target(f"{ours}: faster than {peer}", section.ratio(peer, ours), limit, "at least", " x")


def _to_limit(section: Section, ours: str, limit: float) -> Target:
    return Target(f"{ours}: to the {LIMIT}", section.ratio(ours, LIMIT), limit, "at most", " x")
