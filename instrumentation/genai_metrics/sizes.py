"""Sizes of things that each process has for itself, and of things that all share: two kinds of blocks, one gauge.

A private thing and a shared one of equal name have one series: both sizes added up, here and in the exporter. One
process that has both has most likely forgotten a ``shared=True``, so that counts as a fault. Thread-safe.
"""

from genai_metrics import runtime
from genai_metrics.blocks import Key
from genai_metrics.catalog import (
    CACHE_BYTES,
    CACHE_BYTES_SHARED,
    CACHE_CAPACITY,
    CACHE_CAPACITY_SHARED,
    CACHE_ENTRIES,
    CACHE_ENTRIES_SHARED,
    QUEUE_LENGTH,
    QUEUE_LENGTH_SHARED,
    BlockKind,
)
from genai_metrics.labels import described
from genai_metrics.observations import set_gauge

Kinds = tuple[BlockKind, BlockKind]
"""Of a gauge: for private things, and for shared ones."""

ENTRIES: Kinds = (CACHE_ENTRIES, CACHE_ENTRIES_SHARED)
CAPACITY: Kinds = (CACHE_CAPACITY, CACHE_CAPACITY_SHARED)
BYTES: Kinds = (CACHE_BYTES, CACHE_BYTES_SHARED)
LENGTH: Kinds = (QUEUE_LENGTH, QUEUE_LENGTH_SHARED)

_first: dict[tuple[Kinds, Key], bool] = {}
"""Whether the first thing of a name was shared; as many as there are blocks, whose labels are capped."""

runtime.on_new_recorder(_first.clear)


def set_size(kinds: Kinds, name: str, size: object, *, shared: bool, argument: str) -> None:
    """Set one size of the thing called ``name``; ``argument`` is what the user calls the size."""
    block = set_gauge(kinds[shared], (name,), size, name=argument)
    if block is not None and _first.setdefault((kinds, block.key), shared) is not shared:
        label = kinds[0].labels[0]
        runtime.recorder().fault(
            "bad_label",
            f"{label}={described(name)} is the name of a {label} of this process and of a shared one; {argument} of "
            "both is added up: give them two names, or say shared=True of both",
        )
