"""One process of a replay: records its share of the requests, in order, at the chosen speed.

Imports ``genai_metrics``. Owns the promise on which resuming rests: a row is acknowledged after it was
recorded.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genai_metrics import track_llm_call
from replay.workloads import Request

LONGEST_SLEEP_SECONDS = 0.2
"""How late a worker may notice that it is to stop."""

STAGGER_SECONDS = 1.0
"""Pause between two rounds of an endless replay, beyond the workload's own length."""


@dataclass(frozen=True)
class Shard:
    """The rows of one worker: those whose index in the workload, modulo ``count``, is ``index`` (from 0)."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard written as ``i/n``, ``0 <= i < n``; raises ``ValueError`` with the remedy otherwise."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(index) < int(count)):
            raise ValueError(f"{text!r} is not a shard; write i/n with 0 <= i < n, such as 0/4")
        return cls(int(index), int(count))

    def of(self, requests: Sequence[Request]) -> Sequence[Request]:
        """The shard's rows, in order."""
        return requests[self.index :: self.count]


class Stop:
    """Whether the process was asked to stop (SIGTERM, SIGINT); the call being recorded is completed first."""

    def __init__(self) -> None:
        self.requested = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on; main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.request())

    def request(self) -> None:
        """Ask to stop."""
        self.requested = True

    def wait_until(self, deadline: float) -> bool:
        """Sleep until ``time.monotonic()`` reaches the deadline or a stop is requested; whether to go on."""
        # Slices and a plain flag: setting an Event from a signal handler can deadlock with the thread that
        # waits on it.
        while not self.requested and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, LONGEST_SLEEP_SECONDS))
        return not self.requested


class Acknowledger:
    """Writes the number of rows done, one decimal number a line, to a file descriptor, unbuffered."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, done: int) -> None:
        """Write one line; raises ``BrokenPipeError`` when nobody reads any more."""
        os.write(self._descriptor, b"%d\n" % done)


@dataclass(frozen=True)
class Plan:
    """How a worker replays its rows.

    ``speed``: seconds of the workload per second, 0 for as fast as possible. ``skip``: rows of the shard
    that an earlier worker did. ``hold_after``: stop recording once so many of the shard's rows are done
    (skipped ones included), and wait to be ended. ``forever``: start over at the end. ``span``: length of
    the whole workload in seconds, so that all shards start over together.
    """

    speed: float = 1.0
    skip: int = 0
    hold_after: int | None = None
    forever: bool = False
    span: float = 0.0


def record(request: Request) -> None:
    """Record one request as an LLM call."""
    track_llm_call(
        mode=request.mode,
        provider=request.provider,
        model=request.model,
        operation="chat",
        tenant=request.session or None,
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens,
        cached_input_tokens=request.cache_read_tokens,
        duration=request.duration,
        time_to_first_token=request.time_to_first_token,
        error_type=request.error_type,
    )


def replay(rows: Sequence[Request], plan: Plan, stop: Stop, acknowledge: Callable[[int], None] | None = None) -> int:
    """Record the rows by plan until their end or a stop; return how many are done, skipped ones included.

    ``acknowledge(done)`` is called after each recorded row, never before: a worker that is killed has
    recorded what it acknowledged and at most one call more.
    """
    done = plan.skip
    begun = time.monotonic()
    # A resumed shard goes on at once with its next row instead of waiting out the time of the skipped ones.
    origin = rows[plan.skip].at if 0 < plan.skip < len(rows) else 0.0
    first = plan.skip
    while True:
        for row in rows[first:]:
            if plan.hold_after is not None and done >= plan.hold_after:
                break
            if stop.requested or (plan.speed and not stop.wait_until(begun + (row.at - origin) / plan.speed)):
                return done
            record(row)
            done += 1
            if acknowledge is not None:
                acknowledge(done)
        if plan.hold_after is not None and done >= plan.hold_after:
            stop.wait_until(float("inf"))
        if stop.requested or not plan.forever or not rows:
            return done
        first = 0
        begun += (plan.span - origin + STAGGER_SECONDS) / plan.speed if plan.speed else 0.0
        origin = 0.0
