"""What Grafana asks Prometheus for when somebody looks at the dashboards over a week."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.panels_server import Server
from genai_dashboards.queries import MORE, PREFIX
from genai_stack import REPOSITORY

RANGE_SECONDS = 7 * 86_400
_WIDTH = 1000
"""Pixels of a graph, and points where its panel does not set how many at most."""

SPARSE = {"genai": PREFIX["sparse"], "more": MORE["sparse"]}
"""Values of the hidden variables over a week, once there is one."""

_SCRAPE_SECONDS = 15
_ROUNDED = ((450, 300), (750, 600), (1050, 900), (1500, 1200), (2700, 1800), (5400, 3600), (9000, 7200))
"""What Grafana makes of a step that is shorter than so many seconds."""
_ALL = ".+"
# What Grafana escapes in the value of a variable: for the regular expression, and that for PromQL's string.
_SPECIAL = re.compile(r"[$^*{}\[\]'+?.()|]")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
_RESULT = re.compile(r"query_result\((.+)\)")


@dataclass(frozen=True)
class Query:
    """One request: ``kind`` is ``range``, ``instant`` or, of a variable, the label whose values are asked for."""

    board: str
    panel: str
    ref: str
    kind: str
    selected: str
    expression: str
    step_seconds: int

    @property
    def title(self) -> str:
        """Dashboard, panel and letter of the query."""
        return f"{self.board}: {self.panel} {self.ref}".strip()


def boards() -> dict[str, Any]:
    """The committed dashboards by topic."""
    paths = sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def step_seconds(points: int) -> int:
    """Return the step of a graph over a week that has so many points at most."""
    return next(rounded for limit, rounded in _ROUNDED if RANGE_SECONDS / points < limit)


_STEP = step_seconds(_WIDTH)


def filled(expression: str, selected: Mapping[str, str], step: int = _STEP) -> str:
    """The expression with its variables filled in: those in ``selected`` with one value, the others with all."""
    built_in = {
        "__range": f"{RANGE_SECONDS}s",
        "__range_s": str(RANGE_SECONDS),
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + _SCRAPE_SECONDS, 4 * _SCRAPE_SECONDS)}s",
    }
    values = {**built_in, **{name: _SPECIAL.sub(r"\\\\\g<0>", value) for name, value in selected.items()}}
    return _VARIABLE.sub(lambda name: values.get(name[1], _ALL), expression)


def hidden(server: Server, at: int) -> dict[str, str]:
    """Return what the hidden variables of the dashboards are over a week that ends at a Unix time."""
    found = {}
    for board in boards().values():
        for variable in board["templating"]["list"]:
            if result := _RESULT.fullmatch(variable["query"]):
                (labels,) = server.series(filled(result[1], {}), at)
                found[variable["name"]] = labels[variable["name"]]
    return found


def queries(values: Mapping[str, str], unseen: Mapping[str, str] = SPARSE) -> Iterator[Query]:
    """Yield each query of each panel, variable and annotation: for all, and with each variable at its one value.

    ``unseen`` are the values of hidden variables.
    """
    for topic, board in boards().items():
        for title, ref, kind, expression, step in _asked(board):
            used = set(_VARIABLE.findall(expression)) & values.keys()
            for name in ("", *sorted(used)):
                chosen = {name: values[name]} if name else {}
                shown = f"{name} {values[name]}" if name else "All"
                yield Query(topic, title, ref, kind, shown, filled(expression, {**unseen, **chosen}, step), step)


def _asked(board: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, int]]:
    """Yield title, letter, kind, expression, as written, and step in seconds of each query of a dashboard."""
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            title = f"variable {variable['name']}"
            if result := _RESULT.fullmatch(variable["query"]):
                yield title, "", "instant", result[1], _STEP
                continue
            found = _LABEL_VALUES.fullmatch(variable["query"])
            assert found, f"{title} is not understood: {variable['query']}"
            yield title, "", found[2], found[1], _STEP
    for annotation in board["annotations"]["list"]:
        yield "annotations", "", "range", annotation["target"]["expr"], _STEP
    for panel in board["panels"]:
        step = step_seconds(panel.get("maxDataPoints", _WIDTH))
        for target in panel.get("targets", ()):
            kind = "instant" if target.get("instant") else "range"
            yield panel["title"], target["refId"], kind, target["expr"], step


def last_week(expression: str) -> set[str]:
    """Names of series that are read a week before the time range."""
    return set(re.findall(r"([\w:]+)\{[^}]*\} offset 1w", expression))
