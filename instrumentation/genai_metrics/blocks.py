"""Block: one contiguous run of doubles that a call updates as one, and its private-memory backing.

Imports the catalogue only. The rule that every writer of a block keeps (measured; see CONTRIBUTING): everything that
calls anything (bisect, arithmetic on foreign number types) comes first; then the values are updated by plain arithmetic
on floats and nothing else. CPython with its global lock switches threads and runs signal handlers only where a call
returns or a loop goes round, so that such a run of additions is one step: no addition is lost, no reader sees half a
call, a signal handler may record, a child forked meanwhile has nothing to wait for.

A lock around that step would never be waited for, yet ``with lock`` takes 0.2 µs, a tenth of a call. So blocks have a
lock of their own only where the interpreter needs one: free-threaded builds and other implementations.
"""

import sys
import threading
from contextlib import AbstractContextManager
from typing import TypeAlias

from genai_metrics.catalog import BlockKind

Values: TypeAlias = "memoryview[float]"
"""Doubles of a block (format ``d``), in a mapped file or in private memory."""

Key = tuple[str, ...]

_ALL = slice(None)  # made here: making one allocates, and may so run foreign finalizers

ATOMIC: bool = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
"""Whether plain arithmetic is one step to all other threads; where it is not, it happens under the block's lock."""


class Block:
    """Values of one block kind under one label tuple.

    ``lock``: guards the values where arithmetic is not ``ATOMIC``, else ``None``. Blocks that one call updates together
    share it. ``values`` is replaced, under the same rule, when a block moves from private memory into a file.
    """

    __slots__ = ("key", "kind", "lock", "values")

    def __init__(self, kind: BlockKind, key: Key, values: Values, beside: "Block | None" = None) -> None:
        self.kind = kind
        self.key = key
        self.values = values
        # Reentrant, for signal handlers that record: without the global lock they may come in between.
        self.lock: AbstractContextManager[object] | None
        self.lock = None if ATOMIC else beside.lock if beside else threading.RLock()

    def add(self, slot: int, amount: float) -> None:
        """Add ``amount`` (a float or int) to one slot; exact under any number of threads."""
        if self.lock is None:
            self.values[slot] += amount
        else:
            with self.lock:
                self.values[slot] += amount

    def move(self, values: Values) -> None:
        """Go on in other memory, which takes over what was counted so far; no addition is lost."""
        if self.lock is None:
            values[_ALL] = self.values
            self.values = values
        else:
            with self.lock:
                values[_ALL] = self.values
                self.values = values

    def read(self) -> list[float]:
        """Return a copy of the values that holds every call either wholly or not at all; any thread may call it."""
        if self.lock is None:
            return self.values.tolist()  # type: ignore[return-value]  # typeshed: ints, whatever the format
        with self.lock:
            return self.values.tolist()  # type: ignore[return-value]


def private_values(kind: BlockKind) -> Values:
    """Return zeroed doubles for a block of ``kind`` in this process's own memory."""
    return memoryview(bytearray(8 * kind.slots)).cast("d")


class PrivateMemory:
    """Zeroed doubles for blocks that stay in this process's own memory: many blocks share one piece of it.

    A piece and a view of it for each block (``private_values``) take 270 bytes more a block, but can be given back when
    the block moves into a file. The caller serialises ``take``; a signal handler may come in between.
    """

    _PIECE = 1024  # doubles

    def __init__(self) -> None:
        self._piece: Values = memoryview(b"").cast("d")
        self._used = self._size = 0

    def take(self, slots: int) -> Values:
        """Return ``slots`` doubles that nobody else has."""
        while True:
            # One step, without a call, until they are taken.
            piece, start = self._piece, self._used
            end = start + slots
            if end <= self._size:
                self._used = end
                return piece[start:end]
            size = max(slots, self._PIECE)
            piece = memoryview(bytearray(8 * size)).cast("d")
            self._piece, self._used, self._size = piece, 0, size
