"""Write the dashboards: ``python -m genai_dashboards``; with ``--check`` fail when one is stale."""

import argparse
import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from genai_dashboards import cache, cost, health, performance

FOLDER = Path(__file__).resolve().parents[1] / "dashboards"
DASHBOARDS = {
    "performance.json": performance.build,
    "cache.json": cache.build,
    "cost.json": cost.build,
    "health.json": health.build,
}
"""Every dashboard's file name with the function that builds it."""


def text(dashboard: Dashboard) -> str:
    """The dashboard as JSON: keys sorted, panels numbered from 1; the same input gives the same bytes."""
    content = json.loads(JSONEncoder(sort_keys=True).encode(dashboard))
    for number, panel in enumerate(content["panels"], start=1):
        panel["id"] = number
    # The SDK can but hide them in a menu; without this they stand where readers see them.
    for shown in (*content["links"], *content["annotations"]["list"]):
        del shown["placement"]
    return json.dumps(content, sort_keys=True, indent=2) + "\n"


def stale(folder: Path = FOLDER) -> list[Path]:
    """Files that are missing or differ from what the code builds, and JSON files that no code builds."""
    expected = {folder / name: text(build()) for name, build in DASHBOARDS.items()}
    outdated = [path for path, content in expected.items() if not path.is_file() or path.read_text() != content]
    return sorted([*outdated, *(path for path in folder.glob("*.json") if path not in expected)])


def main() -> int:
    """Write or check; exit code 1 when the check finds a stale file."""
    parser = argparse.ArgumentParser(prog="genai_dashboards", description="Write the Grafana dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    if parser.parse_args().check:
        for path in stale():
            print(f"{path}: stale; run `make generate` and commit the result", file=sys.stderr)
        return 1 if stale() else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, build in DASHBOARDS.items():
        (FOLDER / name).write_text(text(build()))
        print(f"wrote {FOLDER / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
