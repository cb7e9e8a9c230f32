"""Where people find things once the stack runs, and what to do first."""

import json
import shlex
import sysconfig
from collections.abc import Callable
from pathlib import Path

from genai_stack import REPOSITORY

URL = Callable[[str], str]
"""Address of a service by its name, ending in a slash."""

_FIRST_FAULT = "fault latency"


def lines(url: URL, *, grafana: bool, demo: bool, inbox: bool) -> list[str]:
    """Return a line for each place; ``grafana`` and the others: whether it runs."""
    places: dict[str, str] = {}
    if grafana:
        places |= {f"Dashboard {topic}": url("grafana").rstrip("/") + path for topic, path in dashboards().items()}
    places["Prometheus"] = url("prometheus")
    places["Alertmanager"] = url("alertmanager")
    if inbox:
        places["Inbox"] = url("inbox")
    places["Exporter"] = url("exporter")
    if demo:
        places["Demo service"] = url("rag")
    width = max(map(len, places))
    return [f"  {name:{width}}  {address}" for name, address in places.items()]


def dashboards() -> dict[str, str]:
    """Return the path of each dashboard on Grafana, by topic."""
    files = [json.loads(path.read_text()) for path in (REPOSITORY / "grafana" / "dashboards").glob("*.json")]
    topics = {file["title"].rpartition("/")[2].strip(): f"/d/{file['uid']}" for file in files}
    first = ("Performance", "Cache", "Cost", "Health")
    return dict(sorted(topics.items(), key=lambda each: first.index(each[0]) if each[0] in first else len(first)))


def next_step(option: str) -> str:
    """Return what to try first; ``option``: how the exporter's command finds the demo, or nothing."""
    return f"Next: {shown(program('genai-exporter'))} demo{option} {_FIRST_FAULT}"


def recording(metrics: Path) -> str:
    """Return how an application records into the directory that the exporter reads."""
    return f"Next: GENAI_METRICS_DIR={shlex.quote(str(metrics))} GENAI_SERVICE_NAME=chat python app.py"


def program(name: str) -> Path:
    """Return a program of the environment that this Python belongs to."""
    return Path(sysconfig.get_path("scripts")) / name


def shown(path: Path) -> str:
    """Return a path as people type it in the current folder."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
