"""The committed dashboards, read once: their panels and queries, with the variables of Grafana filled in."""

import json
import re
from dataclasses import dataclass
from typing import Any

from genai_stack import REPOSITORY

FILES = sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json"))
BOARDS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in FILES}
"""Content of each dashboard by its topic."""

_GRAFANA = {"__rate_interval": "5m", "__range": "1h", "__interval": "1m", "__range_s": "3600"}
SPARSE = {"genai": "genai20m", "more": "3600000ms"}
"""Values of the hidden variables over long time ranges."""
_FINE = {"genai": "genai", "more": "0ms"}


@dataclass(frozen=True)
class Panel:
    """A panel that shows data; headings are none."""

    topic: str
    content: dict[str, Any]

    @property
    def title(self) -> str:
        """Title as readers see it."""
        return str(self.content["title"])

    @property
    def defaults(self) -> dict[str, Any]:
        """Unit, decimals and such of all its values."""
        defaults: dict[str, Any] = self.content["fieldConfig"]["defaults"]
        return defaults

    @property
    def overrides(self) -> dict[str, dict[str, Any]]:
        """Properties by the name of the series or column that they are for."""
        return {
            override["matcher"]["options"]: {entry["id"]: entry.get("value") for entry in override["properties"]}
            for override in self.content["fieldConfig"]["overrides"]
        }

    @property
    def columns(self) -> dict[str, str]:
        """Of a table: titles of columns by the names that the data source gives them."""
        (organised,) = [step["options"] for step in self.content["transformations"] if step["id"] == "organize"]
        renamed: dict[str, str] = organised["renameByName"]
        return renamed


def panels() -> list[Panel]:
    """Every panel of every dashboard."""
    return [
        Panel(topic, panel) for topic, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"
    ]


def filled(expression: str, **selected: str) -> str:
    """The expression as Prometheus gets it; ``selected`` are values of variables as regular expressions, else all.

    The time range is a short one unless ``selected`` has the values of ``SPARSE``.
    """
    values = {**_GRAFANA, **_FINE, **selected}
    return re.sub(r"\$\{?(\w+)\}?", lambda name: values.get(name[1], ".+"), expression)
