"""Measures how long Prometheus takes for what the dashboards ask over a week, with 200 000 series scraped."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import panels_data
from benchmarks.panels_data import END, Summary
from benchmarks.panels_organisation import SERVICES
from benchmarks.panels_queries import RANGE_SECONDS, Query, hidden, queries
from benchmarks.panels_server import RefusedError, Server, prometheus
from benchmarks.results import Figure, Section, Target
from genai_stack import REPOSITORY

DATA = REPOSITORY / ".cache" / "panels"
"""Where the data is kept from run to run."""

LIMIT_SECONDS = 1.0
SHOWN = 10
ONE = {"service": "service-03", "mode": "1", "tenant": "tenant-030", "cache": "answers"}
"""A value of each variable."""

_MOST_ROUNDS = 3
_TOO_LONG_SECONDS = 5.0  # not asked again
_GIVEN_UP = "30s"  # nobody waits that long for a panel


@dataclass(frozen=True)
class Asked:
    """A query and its answers: seconds of each (the first is the cold one), samples read and held at once at most."""

    query: Query
    seconds: tuple[float, ...]
    samples: int
    peak: int
    refused: str = ""

    @property
    def median(self) -> float:
        """Median of the seconds."""
        return median(self.seconds)


def measure(
    folder: Path = DATA, *, rounds: int, say: Callable[[str], None], services: int = SERVICES, days: int = 7
) -> list[Section]:
    """Ask everything up to three times; the data is built in ``folder`` when it is not there."""
    summary = panels_data.build(folder, _content(services, days), say, services, days)
    asked: list[Asked] = []
    with prometheus(folder / "data") as server:
        for query in queries(ONE, hidden(server, END)):
            say(f"{query.title}, {query.selected}")
            asked.append(ask(server, query, min(rounds, _MOST_ROUNDS)))
    return [section(asked, summary)]


def ask(server: Server, query: Query, rounds: int) -> Asked:
    """Ask one query."""
    seconds: list[float] = []
    samples = peak = 0
    refused = ""
    while len(seconds) < rounds and not (seconds and seconds[-1] > _TOO_LONG_SECONDS):
        begun = time.perf_counter()
        try:
            samples, peak = _ask(server, query)
        except RefusedError as error:
            refused = str(error)
        seconds.append(time.perf_counter() - begun)
    seconds += [seconds[-1]] * (rounds - len(seconds))
    return Asked(query, tuple(seconds), samples, peak, refused)


def _ask(server: Server, query: Query) -> tuple[int, int]:
    """Ask once; returns the samples read, and those held at once."""
    start = str(END - RANGE_SECONDS)
    if query.kind == "range":
        times = {"start": start, "end": str(END), "step": str(query.step_seconds)}
        answer = server.ask("query_range", query=query.expression, stats="all", timeout=_GIVEN_UP, **times)
    elif query.kind == "instant":
        answer = server.ask("query", query=query.expression, stats="all", timeout=_GIVEN_UP, time=str(END))
    else:
        server.ask(f"label/{query.kind}/values", **{"match[]": query.expression, "start": start, "end": str(END)})
        return 0, 0
    stats = answer["stats"]["samples"]
    return int(stats["totalQueryableSamples"]), int(stats["peakSamples"])


def section(asked: list[Asked], summary: Summary) -> Section:
    """The slowest queries, and how many are too slow."""
    slowest = sorted(asked, key=lambda each: each.median, reverse=True)
    figures = tuple(
        Figure(f"{each.query.title}, {each.query.selected}", each.seconds, _note(each)) for each in slowest[:SHOWN]
    )
    slow = [each for each in slowest if each.median > LIMIT_SECONDS or each.refused]
    title = (
        f"Panels over {RANGE_SECONDS // 86_400} days: {summary.services} services, {summary.scraped:,} series scraped "
        f"every 15 s, {summary.recorded:,} recorded, {summary.read:,} of both read by panels, "
        f"{summary.samples:,} samples; the slowest of {len(asked)} queries"
    )
    over = Target(f"queries that take more than {LIMIT_SECONDS:g} s", float(len(slow)), 0, "at most", "")
    return Section(title, "s", figures, figures[0].name, (over,))


def _note(each: Asked) -> str:
    if each.refused:
        return f"refused: {each.refused}"
    return f"{each.query.kind}; first {each.seconds[0]:.2f} s; {each.samples:,} samples read, {each.peak:,} at once"


def _content(services: int, days: int) -> str:
    """Fingerprint of what the data depends on: rules, dashboards, and how it is made."""
    folder = Path(__file__).parent
    files = [
        *(REPOSITORY / "prometheus" / "rules").glob("*.yml"),
        *(REPOSITORY / "grafana" / "dashboards").glob("*.json"),
        *(REPOSITORY / "instrumentation" / "genai_metrics" / "catalog").glob("*.py"),
        *(file for file in folder.glob("panels_*.py") if file.stem != "panels_server"),
    ]
    found = hashlib.sha256(f"{services} {days}".encode())
    for file in sorted(files):
        found.update(file.read_bytes())
    return found.hexdigest()
