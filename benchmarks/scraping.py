"""Measures reading and rendering: the exporter beside prometheus_client, on the same numbers."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isclose
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from benchmarks.dataset import LINES_PER_TUPLE, peer_metrics, record_peer
from benchmarks.results import Figure, Section, Target
from genai_exporter.aggregate import Applications

STARTING_AT_ONCE = 2
EXPORTER, FIRST = "genai-exporter", "genai-exporter, first scrape after its start"
GENERATE, MULTIPROCESS = "generate_latest", "MultiProcessCollector and generate_latest"

Scrape = Callable[[], bytes]


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure one process with 10 000 lines, and eight with 10 000 and 100 000; ``directory``: an empty one."""
    # Ours has no *_created lines; without this the peer would have to render a third more.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    return [
        _one_process(directory, 10_000, rounds, say),
        _processes(directory, 8, 10_000, rounds, say),
        _processes(directory, 8, 100_000, max(1, rounds // 3), say),
    ]


def _one_process(directory: Path, lines: int, rounds: int, say: Callable[[str], None]) -> Section:
    tuples = -(-lines // LINES_PER_TUPLE)
    registry = CollectorRegistry()
    record_peer(0, tuples, peer_metrics(registry))
    ours = directory / "one"
    title = f"Scrape of {lines} lines, one process"
    say(title)
    with writers("ours", ours, 1, tuples), _exporter(ours) as scrape:
        figures = _time({EXPORTER: scrape, GENERATE: lambda: generate_latest(registry)}, rounds)
    return _section(title, figures, GENERATE, 20, "")


def _processes(directory: Path, processes: int, lines: int, rounds: int, say: Callable[[str], None]) -> Section:
    tuples = -(-lines // LINES_PER_TUPLE)
    ours, peer = directory / f"ours{lines}", directory / f"peer{lines}"
    title = f"Scrape of {lines} lines from {processes} processes"
    say(f"{title}: recording")
    with writers("peer", peer, processes, tuples):
        pass  # its files are all that is read

    def first() -> bytes:
        with _exporter(ours) as scrape:
            return scrape()

    def collect() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, str(peer))  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    # Ours must live on: the files of ended processes would be folded into one.
    with writers("ours", ours, processes, tuples):
        say(title)
        starts = _time({FIRST: first}, rounds)
        with _exporter(ours) as scrape:
            figures = _time({EXPORTER: scrape, MULTIPROCESS: collect}, rounds)
        disk = f"; files take {_mebibytes(ours):.1f} MiB of disk, the peer's {_mebibytes(peer):.1f}"
    return _section(title, (figures[0], starts[0], figures[1]), MULTIPROCESS, 25, disk)


def _section(title: str, figures: tuple[Figure, ...], peer: str, limit: float, note: str) -> Section:
    section = Section(title, "ms", figures, peer)
    ratio = section.ratio(peer, EXPORTER)
    target = Target(f"{EXPORTER}: faster than {peer}", ratio, limit, "at least", " x")
    noted = tuple(Figure(f.name, f.values, f"{f.note}{note}" if f.name == EXPORTER else f.note) for f in figures)
    return Section(title, section.unit, noted, peer, (target,))


def _time(scrapes: dict[str, Scrape], rounds: int) -> tuple[Figure, ...]:
    """Milliseconds of each scrape in each round, interleaved, after one of each that shows that they agree."""
    texts = {name: scrape() for name, scrape in scrapes.items()}
    first_sums, *others = (sums(text) for text in texts.values())
    for other in others:
        # What only one of them has, ours about the recorder itself, must be zero.
        for sample in first_sums | other:
            if not isclose(first_sums.get(sample, 0.0), other.get(sample, 0.0), rel_tol=1e-9):
                raise RuntimeError(f"{' and '.join(scrapes)} do not agree on {sample.decode()}")
    values: dict[str, list[float]] = {name: [] for name in scrapes}
    gc.disable()
    try:
        for _ in range(rounds):
            for name, scrape in scrapes.items():
                begun = time.perf_counter_ns()
                scrape()
                values[name].append((time.perf_counter_ns() - begun) / 1e6)
                gc.collect()
    finally:
        gc.enable()
    return tuple(
        Figure(name, tuple(values[name]), f"{sum(map(_is_sample, texts[name].splitlines()))} lines") for name in scrapes
    )


def sums(text: bytes) -> dict[bytes, float]:
    """The sum of all samples by name, in the text format."""
    result: dict[bytes, float] = {}
    for line in text.splitlines():
        if _is_sample(line):
            name = line.partition(b"{")[0]
            result[name] = result.get(name, 0.0) + float(line.rpartition(b" ")[2])
    return result


def _is_sample(line: bytes) -> bool:
    return not line.startswith(b"#")


@contextmanager
def _exporter(directory: Path) -> Iterator[Scrape]:
    """The exporter's reading and rendering of a directory, without HTTP."""
    applications = Applications(directory, born_at_zero_seconds=0.0)
    applications.open()
    try:
        yield lambda: b"".join(applications.scrape().render(openmetrics=False))
    finally:
        applications.close()


@contextmanager
def writers(kind: str, directory: Path, processes: int, tuples: int) -> Iterator[None]:
    """Processes that have recorded the data set and live on."""
    directory.mkdir(mode=0o700)
    environment = {**os.environ}
    for name in ("PROMETHEUS_MULTIPROC_DIR", "GENAI_METRICS_DIR", "GENAI_PRICE_FILE"):
        environment.pop(name, None)
    if kind == "peer":
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    running: list[subprocess.Popen[str]] = []
    try:
        for number in range(processes):
            command = [sys.executable, "-m", "benchmarks.dataset", kind, str(directory), str(number), str(tuples)]
            running.append(
                subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            if number >= STARTING_AT_ONCE:
                _await_ready(running[number - STARTING_AT_ONCE])
        for process in running[-STARTING_AT_ONCE:]:
            _await_ready(process)
        yield
    finally:
        for process in running:
            process.communicate()


def _await_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"a process that records the data set ended with status {process.wait()}")


def _mebibytes(directory: Path) -> float:
    """Disk that the files of a directory take."""
    return sum(path.stat().st_blocks for path in directory.iterdir()) * 512 / 2**20
