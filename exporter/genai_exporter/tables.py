"""A report as rich tables, once or refreshed live. Imports genai_metrics, ``reporting`` and rich."""

import time
from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genai_metrics.reports import ESTIMATED, summary, tables
from genai_metrics.snapshots import Snapshot


def drawn(snapshot: Snapshot, problems: Sequence[str]) -> RenderableType:
    """Return a report as it is shown; label values are text and never markup."""
    parts: list[RenderableType] = [Text(summary(snapshot))]
    shown = tables(snapshot)
    for title, columns, rows in shown:
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column(Text(columns[0]), overflow="fold")
        for column in columns[1:]:
            table.add_column(Text(column), justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*map(Text, row))
        parts.append(table)
    parts += [Text(problem, style="red") for problem in problems]
    if shown:
        parts.append(Text(ESTIMATED, style="dim"))
    return Group(*parts)


def watch(draw: Callable[[], RenderableType], seconds: float) -> None:
    """Show on the terminal what ``draw`` returns, anew every ``seconds``, until an exception ends it."""
    with Live(draw(), console=Console(), auto_refresh=False, screen=True, vertical_overflow="crop") as live:
        while True:
            time.sleep(seconds)
            live.update(draw(), refresh=True)


def show(drawing: RenderableType) -> None:
    """Print on the terminal."""
    Console().print(drawing)
