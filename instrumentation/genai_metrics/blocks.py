"""Block: one contiguous run of doubles that a call updates under one lock, and its private-memory backing.

Imports the catalogue only. The rules that every writer of a block keeps (measured; see CONTRIBUTING):

* everything that calls anything (bisect, arithmetic on foreign number types) happens before the lock is taken;
* under the lock there is plain arithmetic on floats and ints and nothing else, so that CPython neither switches threads
  nor runs a signal handler while the lock is held: no reader sees half a call, no handler that records can deadlock.
"""

import sys
import threading
from typing import TypeAlias

from genai_metrics.catalog import BlockKind

Values: TypeAlias = "memoryview[float]"
"""Doubles of a block (format ``d``), in a mapped file or in private memory."""

Key = tuple[str, ...]

# With the GIL one call into C is atomic towards the writers' locked arithmetic, and taking the lock for it would let a
# thread switch happen while the lock is held. Without the GIL only the lock keeps a reader from seeing half a call.
_HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


class Block:
    """Values of one block kind under one label tuple, and the lock that guards them.

    Blocks that one call updates together may share a lock. ``values`` is replaced only under the lock, when a block
    moves from private memory into a file.
    """

    __slots__ = ("key", "kind", "lock", "values")

    def __init__(self, kind: BlockKind, key: Key, values: Values, lock: threading.Lock) -> None:
        self.kind = kind
        self.key = key
        self.values = values
        self.lock = lock

    def add(self, slot: int, amount: float) -> None:
        """Add ``amount`` (a float or int) to one slot; exact under any number of threads."""
        with self.lock:
            self.values[slot] += amount

    def read(self) -> list[float]:
        """Return a copy of the values that holds every call either wholly or not at all; any thread may call it."""
        if _HAS_GIL:
            return self.values.tolist()  # type: ignore[return-value]  # typeshed: ints, whatever the format
        with self.lock:
            return self.values.tolist()  # type: ignore[return-value]


def private_values(kind: BlockKind) -> Values:
    """Return zeroed doubles for a block of ``kind`` in this process's own memory."""
    return memoryview(bytearray(8 * kind.slots)).cast("d")
