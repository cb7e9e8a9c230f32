"""The report of a run: a table for people, report.json and report.md for everybody else."""

import json
from dataclasses import asdict
from pathlib import Path

from load_scenarios.running import Load
from load_scenarios.seen import Seen, quantile


def rows(load: Load, seen: Seen | None) -> list[tuple[str, str, str]]:
    """Return what was measured: its name, what the load says, and what Prometheus saw of it (empty without one)."""
    quantiles = [
        (f"p{level * 100:g}", f"{value:.2f} s", _seconds(quantile(level, seen) if seen else None))
        for level, value in load.quantiles.items()
    ]
    return [
        ("requests answered", f"{load.requests - load.lost:,}", f"{seen.workflows:,.0f}" if seen else ""),
        ("of these failed", f"{load.failed:,}", f"{seen.failed:,.0f}" if seen else ""),
        ("of these from the cache", f"{load.cached:,}", ""),
        ("requests lost", f"{load.lost:,}", ""),
        ("throughput", f"{load.per_second:.2f}/s", ""),
        *quantiles,
        *([("cost", "", f"${seen.cost_usd:,.4f}")] if seen else []),
        *([("broke at", f"{load.broke_at} people", "")] if load.broke_at is not None else []),
    ]


def markdown(load: Load, table: list[tuple[str, str, str]]) -> str:
    """Return the report as a page."""
    lines = [
        f"# Load: {load.scenario}",
        "",
        f"{load.users} people, {load.seconds:.0f} s.",
        "",
        "| | load | Prometheus |",
        "|---|---:|---:|",
        *(f"| {name} | {said} | {saw} |" for name, said, saw in table),
        "",
        "Percentiles of Prometheus are interpolated within a histogram's bucket, and of workflows as the service times",
        "them; those of the load include the way there and back.",
        "",
    ]
    return "\n".join(lines)


def write(folder: Path, load: Load, seen: Seen | None) -> None:
    """Write ``report.json`` and ``report.md`` into the folder, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    saw = seen and {
        "requests": seen.workflows,
        "failed": seen.failed,
        "cost_usd": seen.cost_usd,
        "quantiles_seconds": {str(level): quantile(level, seen) for level in load.quantiles},
    }
    told = {**asdict(load), "quantiles": {str(level): value for level, value in load.quantiles.items()}}
    (folder / "report.json").write_text(json.dumps({"load": told, "prometheus": saw}, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(load, rows(load, seen)))


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"
