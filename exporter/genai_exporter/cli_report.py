"""``genai-exporter report``: what all processes have counted, as tables, text or JSON, once or again and again."""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from genai_exporter import server
from genai_exporter.cli_options import SHARED_OPTION, metrics_dir_option, reading
from genai_exporter.config import seconds
from genai_exporter.directory import DirectoryError
from genai_exporter.reporting import report_on
from genai_metrics.reports import as_dict, as_text
from genai_metrics.snapshots import Snapshot


@click.command()
@metrics_dir_option(
    "Directory that the applications write to; it is only read, also beside a running exporter.", required=True
)
@SHARED_OPTION
@click.option("--service", metavar="NAME", help="One service alone (default: all together).")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of tables; with --watch one line each time.")
@click.option("--watch", is_flag=True, help="Read and show again until Ctrl-C.")
@click.option(
    "--interval",
    metavar="SECONDS",
    default="2",
    show_default=True,
    callback=reading(seconds),
    help="How long --watch waits in between.",
)
def report(
    metrics_dir: Path,
    metrics_dir_shared: str | None,
    service: str | None,
    as_json: bool,
    watch: bool,
    interval: float,
) -> None:
    """Show what all processes have counted: workflows, stages, models, tools, caches, tenants."""
    server.end_on_signals()
    read = partial(report_on, metrics_dir.absolute(), service, metrics_dir_shared)
    try:
        if sys.stdout.isatty() and not as_json:
            _show_tables(read, interval if watch else None)
            return
        while True:
            found, problems = read()
            if as_json:
                told = {**as_dict(found), "problems": problems}
                text = json.dumps(told, allow_nan=False, ensure_ascii=False, indent=None if watch else 2) + "\n"
            else:
                text = "".join([as_text(found), *(f"{problem}\n" for problem in problems), "\n" if watch else ""])
            click.echo(text, nl=False)
            if not watch:
                return
            time.sleep(interval)
    except DirectoryError as error:
        raise click.ClickException(str(error)) from error


def _show_tables(read: Callable[[], tuple[Snapshot, list[str]]], interval: float | None) -> None:
    try:
        from genai_exporter import tables
    except ModuleNotFoundError as error:
        raise click.ClickException(
            f"{error.name} is not installed; tables need: pip install 'genai-exporter[exporter]'; or use --json"
        ) from None
    if interval is None:
        tables.show(tables.drawn(*read()))
    else:
        tables.watch(lambda: tables.drawn(*read()), interval)
