"""Which trace an observation belongs to: from the active OpenTelemetry span to an exemplar in a block.

OpenTelemetry is never imported here: a span can only be active if the application has imported it, which is looked
for where a label tuple is new and where a workflow ends. Until then a recorded call pays for one look at a flag.
"""

import sys
import time
from array import array
from bisect import bisect_left
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from genai_metrics import runtime
from genai_metrics.blocks import Block, Values
from genai_metrics.catalog import ExemplarKind
from genai_metrics.exemplars import Exemplar, packed

EVERY_SECONDS = 1.0
"""For how long an exemplar stands before another of its bucket takes its place: less than any scrape interval."""

_AGAIN_SECONDS = 0.001  # after a look that found no sampled span: that costs as much as half a call
_SAMPLED = 0x01  # W3C trace context, trace flags

_monotonic = time.monotonic
_due: dict[Block, "array[float]"] = {}


class _Tracing:
    """``on``: whether spans may be active. ``current_span``: OpenTelemetry's function of that name."""

    __slots__ = ("current_span", "on")

    def __init__(self) -> None:
        self.on = False
        self.current_span: Callable[[], Any] = lambda: None


tracing = _Tracing()

ended_span: ContextVar[Any] = ContextVar("genai_metrics_ended_span", default=None)
"""Context of a span that has ended and is being recorded; it counts as the active one."""


def notice() -> None:
    """Look whether the application uses OpenTelemetry by now, and wants exemplars."""
    if tracing.on:
        return
    # Found half imported, by another thread, it may have no such name yet.
    current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if current_span is not None and runtime.recorder().settings.exemplars:
        tracing.current_span = current_span
        tracing.on = True


def offer(kind: ExemplarKind, block: Block, value: float) -> None:
    """Keep an observation that ``block`` has counted as the exemplar of its bucket, if a sampled span is active.

    ``value``: finite and not negative. Not more often than every second for each bucket; in between it costs two
    look-ups. Never raises; what goes wrong is counted as an internal fault. Thread-safe, fork-safe.
    """
    try:
        bucket = bisect_left(kind.bounds, value)
        now = _monotonic()
        due = _due.get(block)
        if due is None:
            due = _due.setdefault(block, array("d", bytes(8 * len(kind.places))))
        if now >= due[bucket]:
            # First the time, then the look: if it fails, it fails once a second.
            due[bucket] = now + EVERY_SECONDS
            if not _keep(kind, block, bucket, value):
                due[bucket] = now + _AGAIN_SECONDS
    except Exception as error:
        try:
            runtime.internal_fault(error)
        except RecursionError:  # the caller has used up the stack
            pass


def _keep(kind: ExemplarKind, block: Block, bucket: int, value: float) -> bool:
    """Store an exemplar; ``False`` when no sampled span is active."""
    context = ended_span.get()
    if context is None:
        context = tracing.current_span().get_span_context()
    if not context.trace_flags & _SAMPLED:
        return False
    exemplar = packed(Exemplar(time.time(), value, context.trace_id, context.span_id))
    recorder = runtime.recorder()
    if exemplar is None or not recorder.settings.exemplars:
        return False
    write_step(recorder.block(kind, block.key, block), kind.places[bucket], exemplar)
    return True


def write_step(block: Block, place: slice, exemplar: Values) -> None:
    """Write an exemplar in one step: no call in here; see the rule in ``blocks``."""
    if block.lock is None:
        block.values[place] = exemplar
    else:
        with block.lock:
            block.values[place] = exemplar


def _forget() -> None:
    # Off until the next label tuple, which is new again to the new recorder: it may want no exemplars.
    tracing.on = False
    _due.clear()


runtime.on_new_recorder(_forget)
