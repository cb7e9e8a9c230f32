"""What a workflow tells the calls inside it: mode, tenant, agent.

A context variable: tasks and threads started with the copied context see it, others do not. Imports the standard
library.
"""

from contextvars import ContextVar
from dataclasses import dataclass

DEFAULT_MODE = "default"


@dataclass(frozen=True, slots=True)
class Context:
    """Values that ``track_*`` functions take when they are not given them, and the workflow that they come from."""

    mode: str = DEFAULT_MODE
    tenant: str | None = None
    agent: str | None = None
    priority: str | None = None
    run: object = None


EMPTY = Context()

current: ContextVar[Context] = ContextVar("genai_metrics_context", default=EMPTY)
"""The innermost workflow's context."""


def mode_or_current(mode: str | None) -> str:
    """Return ``mode``, or the current workflow's."""
    return current.get().mode if mode is None else mode
