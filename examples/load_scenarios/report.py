"""The report of a run: a table for people, report.json and report.md for everybody else."""

import json
from dataclasses import asdict
from pathlib import Path

from load_scenarios.running import Load
from load_scenarios.seen import Seen, quantile


def rows(load: Load, before: Seen | None, after: Seen | None) -> list[tuple[str, str, str]]:
    """Return what was measured: its name, what the load says, and what Prometheus saw (empty without one)."""
    saw = before is not None and after is not None
    seen_requests = seen_failed = seen_cost = ""
    seen_quantiles = dict.fromkeys(load.quantiles, "")
    if before is not None and after is not None:
        seen_requests = f"{after.workflows - before.workflows:,.0f}"
        seen_failed = f"{after.failed - before.failed:,.0f}"
        seen_cost = f"${after.cost_usd - before.cost_usd:,.4f}"
        for level in load.quantiles:
            found = quantile(level, before, after)
            seen_quantiles[level] = "" if found is None else f"{found:.2f} s"
    return [
        ("requests answered", f"{load.requests - load.lost:,}", seen_requests),
        ("of these failed", f"{load.failed:,}", seen_failed),
        ("of these from the cache", f"{load.cached:,}", ""),
        ("requests lost", f"{load.lost:,}", ""),
        ("throughput", f"{load.per_second:.2f}/s", ""),
        *((f"p{level * 100:g}", f"{value:.2f} s", seen_quantiles[level]) for level, value in load.quantiles.items()),
        *([("cost", "", seen_cost)] if saw else []),
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


def write(folder: Path, load: Load, before: Seen | None, after: Seen | None) -> None:
    """Write ``report.json`` and ``report.md`` into the folder, which is made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    seen = None
    if before is not None and after is not None:
        seen = {
            "requests": after.workflows - before.workflows,
            "failed": after.failed - before.failed,
            "cost_usd": after.cost_usd - before.cost_usd,
            "quantiles_seconds": {str(level): quantile(level, before, after) for level in load.quantiles},
        }
    told = {**asdict(load), "quantiles": {str(level): value for level, value in load.quantiles.items()}}
    (folder / "report.json").write_text(json.dumps({"load": told, "prometheus": seen}, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(load, rows(load, before, after)))
