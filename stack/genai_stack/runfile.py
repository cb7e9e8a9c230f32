"""Which process runs the native stack of a run directory.

The process holds a file lock for its whole life. The kernel drops the lock at any death, so that a held
lock means a living stack and the number in the file is its own, never that of an unrelated process.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "stack.pid"


class AlreadyRunning(RuntimeError):
    """Another process runs a stack in this run directory; ``pid`` is its number."""

    def __init__(self, pid: int, run: Path) -> None:
        super().__init__(f"a stack already runs in {run} (process {pid}); stop it with `make down` first")
        self.pid = pid


@contextmanager
def held(run: Path) -> Iterator[None]:
    """Own the run directory while the body runs; raises ``AlreadyRunning``."""
    run.mkdir(parents=True, exist_ok=True)
    with (run / NAME).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(int(lock.read().strip() or 0), run) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def running(run: Path) -> int | None:
    """Process that runs a stack in ``run``, or None."""
    if not (run / NAME).exists():
        return None
    with (run / NAME).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read().strip() or 0) or None
    return None


def stop(run: Path, patience_seconds: float = 30.0) -> int | None:
    """Stop the stack in ``run`` and wait for its end; returns its process number, or None when none ran.

    Raises ``TimeoutError`` when it has not ended in time.
    """
    pid = running(run)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return pid
    deadline = time.monotonic() + patience_seconds
    while running(run) == pid:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} has not ended within {patience_seconds:.0f} s after SIGTERM")
        time.sleep(0.1)
    return pid
