"""Starts the worker processes of a replay, follows their acknowledgements and shows the progress."""

import os
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from replay.worker import Shard, Stop
from replay.workloads import Request, totals

REPORT_SECONDS = 10.0
"""How often a replay without a terminal prints a line."""

ENDING_SECONDS = 10.0
"""How long workers that were asked to stop may take before they are killed."""


@dataclass
class _Worker:
    """A worker process and what it has acknowledged so far."""

    shard: Shard
    rows: int
    process: subprocess.Popen[bytes]
    partial: bytes = b""
    done: int = 0

    def read(self) -> bool:
        """Take in what the worker has written; false at the end of its output."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 65536)
        *lines, self.partial = (self.partial + data).split(b"\n")
        if lines:
            self.done = int(lines[-1])
        return bool(data)


def supervise(requests: Sequence[Request], command: list[str], *, processes: int, forever: bool) -> int:
    """Replay the requests in so many processes of ``command``; return the exit status.

    ``command`` must accept ``--shard`` and ``--acknowledge``. SIGTERM and Ctrl-C end all workers, and the
    replay with status 0. When a worker dies on its own, the others go on, the command that replays its rest
    is printed and the status is 1. Main thread only.
    """
    console = Console()
    stop = Stop()
    stop.listen()
    processes = min(processes, len(requests))
    workers = []
    for index in range(processes):
        shard = Shard(index, processes)
        # With --shard, --processes has no meaning; what the user gave for it may stay in the command.
        arguments = [*command, "--shard", f"{index}/{processes}", "--acknowledge"]
        workers.append(_Worker(shard, len(shard.of(requests)), subprocess.Popen(arguments, stdout=subprocess.PIPE)))
    try:
        _follow(workers, stop, console, total=None if forever else len(requests))
    finally:
        _end(workers)
    failed = [worker for worker in workers if worker.process.returncode and not stop.requested]
    for worker in failed:
        console.print(_obituary(worker, command), style="red", soft_wrap=True, highlight=False)
    done = sum(worker.done for worker in workers)
    console.print(f"replayed {done} calls in {processes} process{'es' if processes > 1 else ''}", highlight=False)
    if done == len(requests) and not forever:
        console.print(_sums(requests), soft_wrap=True, highlight=False)
    return 1 if failed else 0


def _follow(workers: list[_Worker], stop: Stop, console: Console, total: int | None) -> None:
    """Show the progress until every worker has ended or a stop is requested."""
    columns = (
        TextColumn("replay"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.0f} calls/s"),
    )
    begun = reported = time.monotonic()
    with (
        selectors.DefaultSelector() as selector,
        Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress,
    ):
        bar = progress.add_task("replay", total=total, rate=0.0)
        for worker in workers:
            assert worker.process.stdout is not None
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        while selector.get_map() and not stop.requested:
            for key, _ in selector.select(timeout=0.5):
                worker = key.data
                if not worker.read():
                    selector.unregister(key.fileobj)
            done = sum(worker.done for worker in workers)
            now = time.monotonic()
            rate = done / max(now - begun, 1e-9)
            progress.update(bar, completed=done, rate=rate)
            if not console.is_terminal and now - reported >= REPORT_SECONDS:
                reported = now
                goal = "" if total is None else f" of {total}"
                console.print(f"replayed {done}{goal} calls, {rate:.1f}/s", highlight=False)


def _end(workers: list[_Worker]) -> None:
    """End the workers that still run, take in their last acknowledgements and reap them."""
    for worker in workers:
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + ENDING_SECONDS
    for worker in workers:
        # Its output first: a worker that blocks on a full pipe would never get to the end.
        while worker.read():
            if time.monotonic() > deadline:
                worker.process.kill()
        worker.process.wait()
        assert worker.process.stdout is not None
        worker.process.stdout.close()


def _obituary(worker: _Worker, command: list[str]) -> str:
    """What became of a worker, and how to replay the rest of its rows."""
    status = worker.process.returncode
    how = f"killed by signal {-status}" if status < 0 else f"ended with status {status}"
    shard = f"{worker.shard.index}/{worker.shard.count}"
    return (
        f"worker {shard} was {how} after {worker.done} of its {worker.rows} rows; to replay the rest: "
        f"{shlex.join([*command, '--shard', shard, '--skip', str(worker.done)])}"
    )


def _sums(requests: Sequence[Request]) -> str:
    """What a query must find: the exact sums by model."""
    rows = [["model", "calls", "failed", "input tokens", "output tokens", "cache-read tokens"]]
    for model, sums in totals(requests).items():
        numbers = (sums.calls, sums.errors, sums.input_tokens, sums.output_tokens, sums.cache_read_tokens)
        rows.append([model, *map(str, numbers)])
    width = max(len(row[0]) for row in rows)
    return "\n".join(
        "  ".join(
            [row[0].ljust(width), *(cell.rjust(len(name)) for cell, name in zip(row[1:], rows[0][1:], strict=True))]
        )
        for row in rows
    )
