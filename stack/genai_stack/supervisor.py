"""Run a set of services until one fails, the time is up or somebody says stop; then stop them all."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from genai_stack import guard
from genai_stack.children import Child, Service
from genai_stack.progress import Progress

READY_SECONDS = 90.0
"""A service that is not ready after this time counts as failed."""

GRACE_SECONDS = 10.0
"""Time that services have to end after SIGTERM before they are killed."""

_POLL_SECONDS = 0.1


class Supervisor:
    """Starts services together and ends them together; children never outlive it, not even after ``kill -9``.

    Must run in the main thread, because it handles SIGINT and SIGTERM while it runs. Not reusable.
    """

    def __init__(self, services: Sequence[Service], log_folder: Path, progress: Progress) -> None:
        self._services = services
        self._log_folder = log_folder
        self._progress = progress
        self._children: list[Child] = []
        self._stops = 0

    def run(self, for_seconds: float | None = None) -> int:
        """Run until stopped; exit code 0 after a signal or ``for_seconds`` with all ready, else 1."""
        with self._signals(), self._guarded() as guard_process, self._progress:
            try:
                failure = self._start(guard_process) or self._watch(for_seconds)
            finally:
                self._stop(guard_process)
            if failure:
                self._progress.failed(failure)
        return 1 if failure else 0

    def _start(self, guard_process: "subprocess.Popen[str]") -> str | None:
        for service in self._services:
            try:
                child = Child(service, self._log_folder / f"{service.name}.log")
            except OSError as error:
                return f"{service.name} could not be started: {error}"
            self._children.append(child)
            _tell(guard_process, f"+{child.pid}")
        return None

    def _watch(self, for_seconds: float | None) -> str | None:
        """Watch the children; returns what went wrong, or None when it was time to stop."""
        end: float | None = None
        while not self._stops:
            for child in self._children:
                child.reap()
                child.ask()
                failure = _failure(child)
                if failure:
                    return failure
            self._progress.show(self._children)
            if end is None and all(child.ready for child in self._children):
                self._progress.all_ready()
                end = time.monotonic() + for_seconds if for_seconds is not None else float("inf")
            if end is not None and time.monotonic() >= end:
                return None
            time.sleep(_POLL_SECONDS)
        return None

    def _stop(self, guard_process: "subprocess.Popen[str]") -> None:
        """SIGTERM to all, SIGKILL to those left after the grace period or at a second signal."""
        self._progress.stopping()
        stops_before = self._stops
        for child in self._children:
            child.stop(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.ended is None for child in self._children):
            if time.monotonic() >= deadline or self._stops > max(stops_before, 1):
                for child in self._children:
                    child.stop(signal.SIGKILL)
            for child in self._children:
                child.reap()
            time.sleep(_POLL_SECONDS / 2)
        for child in self._children:
            _tell(guard_process, f"-{child.pid}")
        self._progress.stopped(self._children)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Count SIGINT, SIGTERM and SIGHUP instead of being ended by them, while the body runs."""

        def count(_number: int, _frame: FrameType | None) -> None:
            self._stops += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, count) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)

    @contextmanager
    def _guarded(self) -> Iterator["subprocess.Popen[str]"]:
        """Run the guard process, which stops the children should this process be killed."""
        process = subprocess.Popen(
            [sys.executable, "-I", guard.__file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            if process.stdin:
                process.stdin.close()
            process.wait()


def _tell(guard_process: "subprocess.Popen[str]", line: str) -> None:
    """Send the guard one line; a guard that somebody killed is not missed while all goes well."""
    if guard_process.stdin is None:
        return
    try:
        guard_process.stdin.write(line + "\n")
        guard_process.stdin.flush()
    except BrokenPipeError:
        pass


def _failure(child: Child) -> str | None:
    """Why a child's state means that the whole stack must stop, or None."""
    name = child.service.name
    if child.ended is not None:
        how = (
            f"was ended by {signal.Signals(-child.ended).name}" if child.ended < 0 else f"ended with code {child.ended}"
        )
    elif not child.ready and time.monotonic() - child.started > READY_SECONDS:
        how = f"was not ready after {READY_SECONDS:.0f} s (asked {child.service.ready_url})"
    else:
        return None
    return f"{name} {how}. Last lines of {child.log}:\n{child.last_lines() or '(the log is empty)'}"
