"""Tests of the run of doubles that a call updates; threads, readers and signals are in test_locks and test_signals."""

import sys

from genai_metrics.blocks import ATOMIC, Block, PrivateMemory, private_values
from genai_metrics.catalog import LLM_CALL, LLM_FALLBACK


def test_starts_at_zero() -> None:
    """A new block in private memory holds zeros, one a slot."""
    assert Block(LLM_CALL, ("m",) * 5, private_values(LLM_CALL)).read() == [0.0] * LLM_CALL.slots


def test_add_and_read() -> None:
    """Additions accumulate, and what was read before stays as it was."""
    block = Block(LLM_FALLBACK, ("a", "b", "c"), private_values(LLM_FALLBACK))
    block.add(0, 1.0)
    before = block.read()
    block.add(0, 2)
    assert (before, block.read()) == ([1.0], [3.0])


def test_move_takes_the_counts_along() -> None:
    """After a move the new memory holds old counts and new ones, the old memory only old ones."""
    block = Block(LLM_FALLBACK, ("a", "b", "c"), private_values(LLM_FALLBACK))
    block.add(0, 1.0)
    old, new = block.values, private_values(LLM_FALLBACK)
    block.move(new)
    block.add(0, 1.0)
    assert (old.tolist(), new.tolist(), block.read()) == ([1.0], [2.0], [2.0])


def test_locks_only_where_needed() -> None:
    """CPython with its global lock needs none; elsewhere the blocks of one call share one."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert (sys.implementation.name == "cpython" and has_gil) is ATOMIC
    call = Block(LLM_CALL, ("m",) * 5, private_values(LLM_CALL))
    beside = Block(LLM_CALL, ("m",) * 5, private_values(LLM_CALL), call)
    assert (call.lock is None) is ATOMIC
    assert beside.lock is call.lock


def test_private_memory_is_never_shared() -> None:
    """Whatever sizes are taken, all are zeroed, of that size, and nobody else's."""
    memory = PrivateMemory()
    sizes = [1, 30, 7, 5000, 1, 1023, 1, 1024, 1025, *range(1, 60)]
    taken = [memory.take(size) for size in sizes]
    assert [values.tolist() for values in taken] == [[0.0] * size for size in sizes]
    for number, values in enumerate(taken):
        for slot in range(len(values)):
            values[slot] += number
    assert [values.tolist() for values in taken] == [[float(n)] * size for n, size in enumerate(sizes)]
