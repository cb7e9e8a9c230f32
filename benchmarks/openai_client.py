"""Measures what instrumenting a real ``openai`` client adds to each call, beside the peers that are installed."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec

from benchmarks.results import Figure, Section, Target

CALLS = 400
"""Calls that one way makes in one round."""

OURS = "instrument_openai"

NEEDED = {
    "nothing": "openai",
    OURS: "openai",
    "opentelemetry-instrumentation-openai-v2": "opentelemetry.instrumentation.openai_v2",
    "OpenLIT": "openlit",
}
"""Ways, and the module that each needs; a peer that is not installed is left out."""


def measure(*, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure all ways, interleaved; figures are differences to the same client without instrumentation."""
    names = [name for name, module in NEEDED.items() if _is_installed(module)]
    if OURS not in names:
        say("openai: the library is not installed; left out")
        return []
    with ExitStack() as stack:
        workers = {}
        for name in names:
            say(f"openai: starting {name}")
            workers[name] = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "benchmarks.openai_worker", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
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
                worker.stdin.write(f"{CALLS}\n")
                worker.stdin.flush()
                without, with_it = (float(value) for value in _answer(name, worker).split())
                added[name].append(with_it - without)
                if name == OURS:
                    plain.append(without)
    figures = [Figure("the call itself", tuple(plain), "chat completion over an in-process transport")]
    figures += [Figure(f"{name} adds", tuple(values)) for name, values in added.items()]
    section = Section("One call of an openai client", "us of processor time", tuple(figures), figures[0].name)
    target = Target(f"{OURS} adds", section.figure(f"{OURS} adds").median, 15, "at most", " us")
    return [Section(section.title, section.unit, section.figures, section.base, (target,))]


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent
        return False


def _answer(name: str, worker: "subprocess.Popen[str]") -> str:
    assert worker.stdout is not None
    while line := worker.stdout.readline():
        if line[0].isdigit() or line == "ready\n":  # OpenLIT prints
            return line
    raise RuntimeError(f"the worker of {name!r} ended with status {worker.wait()}")
