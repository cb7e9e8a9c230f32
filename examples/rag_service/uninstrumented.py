"""The same service without instrumentation, to compare with: what records is replaced by what does nothing.

Must be installed before the modules that record are imported, for they take the functions by name.
"""

from collections.abc import Callable
from typing import Any, Self, TypeVar

import genai_metrics
from genai_metrics.integrations import anthropic, openai

T = TypeVar("T")

_FUNCTIONS = (
    "track_dependency",
    "track_feedback",
    "track_llm_call",
    "track_llm_fallback",
    "track_pool",
    "track_quality",
    "track_queue",
    "track_warning",
    "warm_up",
)
_SPANS = ("operation", "retrieval", "tool_call", "workflow")


class _Span:
    """Stands for a context manager that records: does nothing, whatever it is told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def install() -> None:
    """Have ``genai_metrics`` record nothing in this process from now on."""
    for name in _FUNCTIONS:
        setattr(genai_metrics, name, _nothing)
    for name in _SPANS:
        setattr(genai_metrics, name, _Span)
    genai_metrics.monitored = _unmonitored
    genai_metrics.current_run = _nothing
    openai.instrument_openai = _nothing  # type: ignore[assignment]
    anthropic.instrument_anthropic = _nothing  # type: ignore[assignment]


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def _unmonitored(cache: T, **kwargs: Any) -> T:
    return cache
