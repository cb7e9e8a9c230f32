"""The data that panels are measured over: a week of what they read over a week, two hours of everything.

Prometheus finds series by their names, so it does not matter that others have no week. What is scraped is
``panels_organisation``; what is recorded of it, the real rules tell, asked of a real Prometheus.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import panels_blocks
from benchmarks.panels_courses import STEP_MS, Courses
from benchmarks.panels_organisation import SERVICES, Series, organisation
from benchmarks.panels_queries import last_week, queries
from benchmarks.panels_server import prometheus
from genai_metrics.catalog.sparse import FINE_PREFIX, SPARSE_PREFIX
from genai_stack import REPOSITORY

END = 1_767_600_000
"""Unix time at which the data ends, a multiple of the step of graphs; any would do."""

_DAY, _HOUR = 86_400, 3_600
_LAST_SECONDS = 2 * _HOUR
_COPIES = 200  # of each course in each block; together about a gigabyte
_RECORDED = re.compile(r"[a-zA-Z_]\w*(?::\w+)+")
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_BUCKETS = re.compile(r"(\w+_bucket)(?::sum|:rate\w+|:increase\w+)?$")


@dataclass(frozen=True)
class Summary:
    """What is there: series scraped and recorded, those of them that panels read, samples and bytes."""

    services: int
    scraped: int
    recorded: int
    read: int
    samples: int
    bytes: int
    content: str
    """Fingerprint of everything that the data depends on."""


def build(folder: Path, content: str, say: Callable[[str], None], services: int = SERVICES, days: int = 7) -> Summary:
    """Write the data into ``folder/data``, unless it is there; takes minutes, and about 3 GB for 20 services.

    ``content`` is kept beside the data: of another one it is built anew.
    """
    kept = folder / "summary.json"
    if kept.exists() and (found := Summary(**json.loads(kept.read_text()))).content == content:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    say("Panels: what is scraped")
    scraped = list(organisation(services))
    recorded = recorded_series(folder / "rules", scraped, say)
    shutil.rmtree(folder / "rules")
    everything = sorted((*scraped, *recorded, *_alerts(services)), key=lambda series: series.labels)
    known = {series.name for series in everything}
    asked = list(queries({}))
    read = known & {name for query in asked for name in _NAME.findall(query.expression)}
    before = set().union(*(last_week(query.expression) for query in asked))
    courses = Courses()
    written = []
    start = END - _LAST_SECONDS - 2 * days * _DAY
    for number in range(2 * days + 1):
        last = number == 2 * days
        names = known if last else read if number >= days else before
        say(f"Panels: writing block {number + 1} of {2 * days + 1}")
        seconds = _LAST_SECONDS if last else _DAY
        chosen = [series for series in everything if series.name in names]
        written.append(_write(folder / "data", number + 1, chosen, courses, start, seconds))
        start += seconds
    summary = Summary(
        services,
        len(scraped),
        len(recorded),
        sum(series.name in read for series in everything),
        sum(block.samples for block in written),
        sum(block.bytes for block in written),
        content,
    )
    kept.write_text(json.dumps(asdict(summary), indent=1) + "\n")
    return summary


def _write(
    data: Path, number: int, chosen: Sequence[Series], courses: Courses, start: int, seconds: int
) -> panels_blocks.Written:
    courses.next_block(start * 1000, seconds * 1000 // STEP_MS)
    rows = ((series.labels, courses.run(series)) for series in chosen)
    return panels_blocks.write(data, number, rows, (start * 1000, (start + seconds) * 1000), _COPIES)


def recorded_series(folder: Path, scraped: Sequence[Series], say: Callable[[str], None]) -> list[Series]:
    """Return the series that the bundle's rules record of those scraped, in as many rounds as rules build on others."""
    ranks = {(series.name, dict(series.labels)["le"]): series.rank for series in scraped if "_bucket" in series.name}
    waiting: dict[str, list[Mapping[str, Any]]] = {}
    for rule in _rules():
        if "record" in rule:
            waiting.setdefault(rule["record"], []).append(rule)
    found: list[Series] = []
    new: Iterable[Series] = scraped
    number = 0
    while waiting:
        number += 1
        say(f"Panels: what is recorded, round {number}")
        chosen = sorted(new, key=lambda series: series.labels)
        if chosen:
            # Each with its own courses: what comes later stands beside what is there over the same two hours.
            _write(folder / "data", number, chosen, Courses(), END - _LAST_SECONDS, _LAST_SECONDS)
        ready = [
            name
            for name, rules in waiting.items()
            if not {read for rule in rules for read in _RECORDED.findall(rule["expr"])} & waiting.keys()
        ]
        if not ready:
            raise RuntimeError(f"rules that wait for each other: {', '.join(waiting)}")
        with prometheus(folder / "data") as server:
            new = {
                _recorded(name, labels | rule.get("labels", {}), ranks)
                for name in ready
                for rule in waiting.pop(name)
                for labels in server.series(rule["expr"], END)
            }
        found += new
    return found


def _recorded(name: str, labels: Mapping[str, str], ranks: Mapping[tuple[str, str], float]) -> Series:
    buckets = _BUCKETS.search(name)
    rank = ranks[buckets[1].replace(SPARSE_PREFIX, FINE_PREFIX, 1), labels["le"]] if buckets else 1.0
    return Series(tuple(sorted({**labels, "__name__": name}.items())), rank)


def _rules() -> list[Mapping[str, Any]]:
    files = sorted((REPOSITORY / "prometheus" / "rules").glob("*.yml"))
    return [
        # A threshold's expression is a number, for YAML too.
        {**rule, "expr": str(rule["expr"])}
        for file in files
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def _alerts(services: int) -> list[Series]:
    """Each alert fires in every fourth service."""
    return [
        Series(tuple(sorted({"__name__": name, "alertname": rule["alert"], **rule["labels"], **state, **of}.items())))
        for rule in _rules()
        if "alert" in rule
        for number in range(0, services, 4)
        for of in ({"service": f"service-{number:02}"},)
        for name, state in (("ALERTS", {"alertstate": "firing"}), ("ALERTS_FOR_STATE", {}))
    ]
