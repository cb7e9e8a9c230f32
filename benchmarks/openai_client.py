"""Measures what instrumenting a real ``openai`` client adds to each call, beside the peers that are installed."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.results import Figure, Section, Target

COMPARISONS = 10
"""Comparisons of one way with nothing in one round."""

OURS = "instrument_openai"

NEEDED = {
    "nothing": "openai",
    "a plain function": "openai",
    OURS: "openai",
    "opentelemetry-instrumentation-openai-v2": "opentelemetry.instrumentation.openai_v2",
    "OpenLIT": "openlit",
}
"""Ways, and the module that each needs; a peer that is not installed is left out."""

NOTES = {
    "nothing": "what is noise",
    "a plain function": "in the same place, that only calls the original: the floor",
    "OpenLIT": "metrics and traces; cannot be switched off, so compared with calls before it was",
}


def measure(*, rounds: int, say: Callable[[str], None], peers: Path | None = None) -> list[Section]:
    """Measure all ways, interleaved; figures are differences to the same client without instrumentation.

    ``peers``: the interpreter of another environment, for ways whose module this one lacks.
    """
    interpreters = {name: found for name, module in NEEDED.items() if (found := _interpreter(module, peers))}
    if OURS not in interpreters:
        say("openai: the library is not installed; left out")
        return []
    with ExitStack() as stack:
        server = _start(-1, sys.executable, "openai_server")
        stack.callback(server.communicate)
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        workers = {}
        for name, interpreter in interpreters.items():
            say(f"openai: starting {name}")
            workers[name] = _start(0, interpreter, "openai_worker", name, url)
            stack.callback(workers[name].communicate)
            try:
                _answer(name, workers[name])
            except RuntimeError as error:
                if name == OURS:
                    raise
                say(f"openai: {error}; left out")
                del workers[name]
        added: dict[str, list[float]] = {name: [] for name in workers}
        plain: list[float] = []
        for number in range(rounds):
            say(f"openai: round {number + 1} of {rounds}")
            for name, worker in workers.items():
                assert worker.stdin is not None
                worker.stdin.write(f"{COMPARISONS}\n")
                worker.stdin.flush()
                without, more = (float(value) for value in _answer(name, worker).split())
                added[name].append(more)
                if name == OURS:
                    plain.append(without)
    figures = [Figure("the call itself", tuple(plain), "chat completion from a server on loopback")]
    figures += [Figure(f"{name} adds", tuple(values), NOTES.get(name, "")) for name, values in added.items()]
    section = Section("One call of an openai client", "us of processor time", tuple(figures), figures[0].name)
    target = Target(f"{OURS} adds", section.figure(f"{OURS} adds").median, 15, "at most", " us")
    return [Section(section.title, section.unit, section.figures, section.base, (target,))]


def _start(processor: int, interpreter: str, module: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [interpreter, "-W", "ignore", "-m", f"benchmarks.{module}", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if hasattr(os, "sched_setaffinity"):  # caches that a change of processor leaves behind would be measured, too
        os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[processor]})
    return process


def _interpreter(module: str, peers: Path | None) -> str | None:
    """Return the interpreter that has ``module``, ``None`` when none has it."""
    script = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    for interpreter in (sys.executable, peers):
        # Elsewhere and not here: finding a module imports its parents.
        if (
            interpreter
            and not subprocess.run([interpreter, "-c", script, module], stderr=subprocess.DEVNULL).returncode
        ):
            return str(interpreter)
    return None


def _answer(name: str, worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout is not None
    while line := worker.stdout.readline():
        if line[0].isdigit() or line == "ready\n":  # OpenLIT prints
            return line
    raise RuntimeError(f"the worker of {name!r} ended with status {worker.wait()}")
