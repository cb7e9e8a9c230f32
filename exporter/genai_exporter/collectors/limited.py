"""Runs of something that may hang: each in a thread of its own, within a limit, and never two at once."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Run(Generic[T]):
    """How a run went: its ``duration`` in seconds so far, and its ``value`` or the ``error`` in words."""

    duration: float
    value: T | None
    error: str | None


class Limited:
    """Runs tasks for ``limit`` seconds (> 0) at most; what comes later is dropped.

    A thread that hangs in the kernel cannot be ended, only left alone: until its task has ended, further runs fail at
    once, so that they neither pile up nor enter twice what one thread may use at a time. ``start`` and the function
    that it returns belong to one thread; ``wait`` is for any.
    """

    def __init__(self, name: str, limit: float) -> None:
        self.limit = limit
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self, task: Callable[[], T]) -> Callable[[], Run[T]]:
        """Begin a run; returns the function that waits for its end, for the rest of the limit, and never raises."""
        if self._thread is not None and self._thread.is_alive():
            return lambda: Run(0.0, None, "its last run has not ended yet")
        began = time.perf_counter()
        done: list[Run[T]] = []

        def work() -> None:
            try:
                value = task()
            except BaseException as error:
                done.append(Run(time.perf_counter() - began, None, reason(error)))
            else:
                done.append(Run(time.perf_counter() - began, value, None))

        def finish() -> Run[T]:
            thread.join(max(0.0, began + self.limit - time.perf_counter()))
            if done:
                return done[0]
            return Run(time.perf_counter() - began, None, f"it took longer than its limit of {self.limit:g} s")

        # A daemon: what hangs must not keep the process from ending.
        thread = threading.Thread(target=work, name=f"collect {self._name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads; the next run may have better luck
            failure = str(error)
            return lambda: Run(0.0, None, failure)
        self._thread = thread
        return finish

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds for the task that runs; False if it runs on."""
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()


def reason(error: BaseException) -> str:
    """Say what went wrong; an exception that is not about the system also gets its type and place."""
    if isinstance(error, OSError):
        return str(error)
    where = ""
    if error.__traceback__ is not None:
        last = error.__traceback__
        while last.tb_next is not None:
            last = last.tb_next
        where = f" ({last.tb_frame.f_globals.get('__name__', '?')}:{last.tb_lineno})"
    return f"{type(error).__name__}: {error}{where}"
