"""Which faults are on, in one small file that all workers look at. Imports the standard library only."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOKS_A_SECOND = 5
"""How often a worker looks at the file at most."""


class FaultState:
    """Until when each fault is on, shared by all processes through a file that is replaced as a whole.

    ``clock``: Unix time. A file that is missing or that cannot be read means that no fault is on. Not for threads.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._looked = 0.0
        self._seen: tuple[int, int] | None = None
        self._until: dict[str, float] = {}

    def until(self, name: str) -> float | None:
        """Unix time until which a fault is on; ``None`` when it is not."""
        self._look()
        until = self._until.get(name)
        return until if until is not None and until > self._clock() else None

    def is_on(self, name: str) -> bool:
        """Whether a fault is on now."""
        return self.until(name) is not None

    def start(self, name: str, seconds: float) -> None:
        """Switch a fault on from now, for every process; raises ``OSError``."""
        with self._changing() as until:
            until[name] = self._clock() + seconds

    def stop(self, name: str) -> None:
        """Switch a fault off for every process; raises ``OSError``."""
        with self._changing() as until:
            until.pop(name, None)

    def _look(self) -> None:
        now = time.monotonic()
        if self._looked and now - self._looked < 1.0 / LOOKS_A_SECOND:
            return
        self._looked = now
        try:
            status = self._path.stat()
            seen = (status.st_ino, status.st_mtime_ns)
            if seen != self._seen:
                self._until, self._seen = _read(self._path), seen
        except OSError:
            self._until, self._seen = {}, None

    @contextmanager
    def _changing(self) -> Iterator[dict[str, float]]:
        """Change what the file says; one process at a time."""
        with self._path.with_name(f"{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            now = self._clock()
            until = {name: end for name, end in _read(self._path).items() if end > now}
            yield until
            new = self._path.with_name(f"{self._path.name}.new")
            new.write_text(json.dumps(until))
            os.replace(new, self._path)
            self._looked = 0.0


def _read(path: Path) -> dict[str, float]:
    try:
        told = json.loads(path.read_bytes())
        return {str(name): float(until) for name, until in told.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
