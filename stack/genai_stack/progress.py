"""What the supervisor shows: a live table on a terminal, one line a change elsewhere."""

import signal
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from genai_stack import places
from genai_stack.children import Child

GLANCE_SECONDS = 60.0
"""Without a terminal, the live numbers are repeated this often."""


class Progress:
    """Display of a run: the services, ``notes`` once all are ready, and ``glance``, a line of live numbers."""

    def __init__(
        self, console: Console | None = None, notes: Sequence[str] = (), glance: Callable[[], str] = str
    ) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._notes = notes
        self._glance = glance
        self._ready = False
        self._next_glance = 0.0
        self._live: Live | None = None
        self._announced: dict[str, str] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        """Begin the display."""
        self._started = time.monotonic()
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End the display and leave its last state on the screen."""
        if self._live:
            self._live.stop()
            self._live = None

    def show(self, children: Sequence[Child]) -> None:
        """Show the state of all children."""
        numbers = self._glance() if self._ready else ""
        if self._live:
            self._live.update(Group(_table(children), Text(numbers, style="bold")))
        elif numbers and time.monotonic() >= self._next_glance:
            self._next_glance = time.monotonic() + GLANCE_SECONDS
            self._say(f"Last minute: {numbers}")
        for child in children:
            state = _state(child)
            if self._announced.get(child.service.name) != state:
                self._announced[child.service.name] = state
                if not self._live:
                    self._say(f"{child.service.name}: {state} {child.service.url}".rstrip())

    def all_ready(self) -> None:
        """Say that everything runs, and what else there is to know."""
        self._ready = True
        self._say(f"All ready after {time.monotonic() - self._started:.1f} s. Ctrl-C stops everything.")
        for note in self._notes:
            self._say(note, wrapped=not note.startswith(_PASTED))

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._ready = False
        self._say("Stopping; Ctrl-C again kills at once.")

    def stopped(self, children: Sequence[Child]) -> None:
        """Show the last state and say that nothing runs any more."""
        self.show(children)
        self._say("Stopped.")

    def failed(self, failure: str) -> None:
        """Say what went wrong."""
        self._say(f"Failed: {failure}")

    def _say(self, line: str, wrapped: bool = False) -> None:
        # Text, not str: square brackets in a log line are no markup.
        self._console.print(Text(line), soft_wrap=not (wrapped and self._console.is_terminal))


_PASTED = ("  ", "Next: ")
"""Beginnings of notes that are addresses and commands: a line break within would be pasted, too."""

_ASKED = frozenset((0, -signal.SIGTERM))
"""How services end that were asked to."""

_COLOURS = {"ready": "green", "starting": "yellow", "stopped": "dim", "killed": "yellow"}
"""Colour of each state; all others are failures."""


def _state(child: Child) -> str:
    if child.ended is None:
        return "ready" if child.ready else "starting"
    if child.told_to_end and child.ended in _ASKED:
        return "stopped"
    return "killed" if child.told_to_end and child.ended == -signal.SIGKILL else f"ended ({child.ended})"


def _table(children: Sequence[Child]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, width in (("service", 0), ("state", 12), ("address", 0), ("log", 0)):
        table.add_column(heading, overflow="fold", min_width=width or None)
    for child in children:
        state = _state(child)
        dots = "." * (1 + int(time.monotonic() * 4) % 3) if state == "starting" else ""
        shown = Text(state + dots, style=_COLOURS.get(state, "red"))
        table.add_row(child.service.name, shown, child.service.url, places.shown(child.log))
    return table
