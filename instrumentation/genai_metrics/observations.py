"""Single records: from a block kind and label values to the block, and the additions to it.

What every function but ``track_llm_call`` is built on. Functions here raise nothing for bad values and labels, which
are counted as faults; exceptions mean a bug, and the public functions count them as internal faults. Thread-safe,
fork-safe.
"""

import time
from bisect import bisect_left

from genai_metrics import runtime
from genai_metrics.blocks import Block
from genai_metrics.catalog import BlockKind, MetricSpec
from genai_metrics.labels import is_unchanged
from genai_metrics.numbers import LARGEST_COUNT, checked_number

_LARGEST_GAUGE = 1e18
"""Bytes, entries or connections from which a number is taken for a mistake."""

_found: dict[tuple[object, ...], Block] = {}
runtime.on_new_recorder(_found.clear)


def find(kind: BlockKind, labels: tuple[object, ...]) -> Block:
    """Return the block for label values as the user gave them; fast for clean ones met before."""
    try:
        return _found[kind, labels]
    except (KeyError, TypeError):
        pass
    recorder = runtime.recorder()
    block = recorder.block(kind, labels)
    if is_unchanged(labels, block.key) and recorder.is_settled():
        _found[kind, block.key] = block
        # Checked after storing: configure() installs the new recorder first and forgets what was found then.
        if runtime.existing_recorder() is not recorder:
            _found.pop((kind, block.key), None)
    return block


def count(kind: BlockKind, labels: tuple[object, ...], *, slot: int = 0, amount: float = 1.0) -> None:
    """Add to one slot of a counter, or to a gauge of what is in flight."""
    find(kind, labels).add(slot, amount)


def observe(kind: BlockKind, labels: tuple[object, ...], value: object, *, name: str, metric: int = 0) -> Block | None:
    """Add one observation to the histogram that is metric number ``metric`` of ``kind``.

    ``value`` must be a number from 0 to below a trillion; else it is left out and counted. ``name`` is what the user
    calls it. Returns the block; ``None`` when the value was left out.
    """
    number = value if isinstance(value, float) else None
    if number.__class__ is not float or not 0.0 <= number < LARGEST_COUNT:
        number = checked_number(runtime.recorder(), name, value, LARGEST_COUNT)
        if number is None:
            return None
    offset, bounds = _layout(kind)[metric]
    block = find(kind, labels)
    observe_step(block, offset + bisect_left(bounds, number), offset + len(bounds) + 1, number)
    return block


def observe_step(block: Block, bucket: int, total: int, value: float) -> None:
    """Add one observation in one step: no call in here; see the rule in ``blocks``."""
    if block.lock is None:
        values = block.values
        values[bucket] += 1.0
        values[total] += value
    else:
        with block.lock:
            values = block.values
            values[bucket] += 1.0
            values[total] += value


def set_gauge(kind: BlockKind, labels: tuple[object, ...], value: object, *, name: str, slot: int = 0) -> Block | None:
    """Set a gauge of this process to a finite number, negative ones included; anything else is left out and counted.

    Returns the block; ``None`` when the value was left out.
    """
    number = checked_number(runtime.recorder(), name, value, _LARGEST_GAUGE, -_LARGEST_GAUGE)
    if number is None:
        return None
    block = find(kind, labels)
    if kind.merge == "live_latest":
        set_step(block, slot, number, time.time())
    else:
        put_step(block, slot, number)
    return block


def put_step(block: Block, slot: int, value: float) -> None:
    """Set a gauge in one step."""
    if block.lock is None:
        block.values[slot] = value
    else:
        with block.lock:
            block.values[slot] = value


def set_step(block: Block, slot: int, value: float, now: float) -> None:
    """Set a gauge and the time of its last change in one step."""
    if block.lock is None:
        values = block.values
        values[slot] = value
        values[-1] = now
    else:
        with block.lock:
            values = block.values
            values[slot] = value
            values[-1] = now


_layouts: dict[BlockKind, list[tuple[int, tuple[float, ...]]]] = {}


def _layout(kind: BlockKind) -> list[tuple[int, tuple[float, ...]]]:
    """First slot and buckets of each metric of a kind; worked out once."""
    layout = _layouts.get(kind)
    if layout is None:
        layout = _layouts[kind] = [(offset, metric.buckets) for metric, offset in kind.layout()]
    return layout


def split_slot(metric: MetricSpec, value: str) -> int | None:
    """Slot, from the metric's first, of one value of its split label; ``None`` when it has no such value."""
    assert metric.split is not None
    return metric.split[1].index(value) if value in metric.split[1] else None
