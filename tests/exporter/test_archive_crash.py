"""Crash injection: an exporter that is killed before any of its system calls on files, and a fresh one after it.

Run as a program this file is the exporter that is killed: a server process forks one child for each crash point, so
that each is a real process with real files that ends by SIGKILL.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genai_exporter.aggregate import Applications
from genai_metrics.blockfile import SUFFIX, parse_header
from genai_metrics.catalog import LLM_IN_FLIGHT, TENANT
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings

CALLS = ("open", "write", "fsync", "fdatasync", "rename", "unlink", "truncate", "ftruncate")
FIRST_FOLD, LATER_FOLD, CLEAN_UP, TORN_RECORD, LOST_RECORD = "first-fold", "later-fold", "clean-up", "torn", "lost"
SCENARIOS = (FIRST_FOLD, LATER_FOLD, CLEAN_UP, TORN_RECORD, LOST_RECORD)

Samples = dict[str, float]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_before_any_step_changes_no_sum(scenario: str) -> None:
    """After each crash a fresh exporter shows the right sums, and what was shown before is shown at once."""
    answer = run("each", scenario)
    print(f"{scenario}: {answer['points']} crash points, {answer['halves']} of them in the middle of a write")
    assert answer["wrong"] == []
    assert answer["points"] >= 12
    assert answer["halves"] >= 1


def test_crash_upon_crash_changes_no_sum() -> None:
    """One directory, killed at each point in turn, processes ending in between: sums and what was shown stay right."""
    answer = run("chain", LATER_FOLD)
    print(f"chain: {answer['points']} crashes one after the other in one directory")
    assert answer["wrong"] == []
    assert answer["points"] >= 60


def run(mode: str, scenario: str) -> dict[str, Any]:
    """Run the server below and return what it found."""
    # In memory where that is possible: a crash of the process is the same there, and there are hundreds of syncs.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        result = subprocess.run(
            [sys.executable, __file__, mode, scenario, directory], stdout=subprocess.PIPE, timeout=240, check=True
        )
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def scraped(applications: Applications) -> Samples:
    """Scrape and return the value of each series."""
    lines = b"".join(applications.scrape().render(False)).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def fresh(directory: Path, born_at_zero_seconds: float) -> Samples:
    """What a new exporter shows at its first scrape."""
    applications = Applications(directory, born_at_zero_seconds=born_at_zero_seconds)
    applications.open()
    try:
        return scraped(applications)
    finally:
        applications.close()


def live_twice(directory: Path, delivered: Path) -> None:
    """An exporter's life: open, a scrape that shows new series as 0, one that shows their values."""
    now = [0.0]
    applications = Applications(directory, born_at_zero_seconds=10, clock=lambda: now[0])
    applications.open()
    delivered.write_text(json.dumps(scraped(applications)))
    now[0] = 20.0
    delivered.write_text(json.dumps(scraped(applications)))
    applications.close()


class Crash:
    """Kills this process before its n-th call of ``CALLS``, or halfway through it if that is a write."""

    def __init__(self, at: int, *, halfway: bool) -> None:
        self.at = at
        self.halfway = halfway
        self.names: list[str] = []

    def install(self) -> None:
        """Put the traps into the os module; pathlib calls through it."""
        for name in CALLS:
            setattr(os, name, self._trapped(name, getattr(os, name)))

    def _trapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def trap(*arguments: Any, **options: Any) -> Any:
            self.names.append(name)
            if len(self.names) == self.at:
                if self.halfway:
                    fd, data = arguments
                    call(fd, bytes(data)[: len(data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return trap


class Server:
    """Makes directories of a scenario, crashes exporters in them and compares what is left with what must be."""

    def __init__(self, scenario: str, place: Path) -> None:
        self.scenario = scenario
        self.place = place
        self.wrong: list[str] = []
        self.points = 0
        self.halves = 0
        self.living: list[Recorder] = []

    def template(self) -> Path:
        """Make a directory in the scenario's state; all its processes have ended."""
        directory = self.place / "template"
        self.add_dead(directory, 3, 0.1)
        if self.scenario != FIRST_FOLD:
            (self.place / "template.delivered").write_text(json.dumps(fresh(directory, 0)))
            self.add_dead(directory, 2, 0.3)
        if self.scenario == CLEAN_UP:
            # As after a crash between rename and unlink: the archive has them, and they are there.
            kept = self.copied(directory, "kept")
            fresh(directory, 0)
            for path in kept.glob("*" + SUFFIX):
                path.rename(directory / path.name)
        if self.scenario == TORN_RECORD:
            with (directory / "exporter.shown").open("r+b") as record:
                start_of_one = record.read()[:20]
                record.write(start_of_one)
        if self.scenario == LOST_RECORD:
            (directory / "exporter.shown").unlink()
        return directory

    def add_dead(self, directory: Path, number: int, amount: float) -> None:
        """Let some processes record and end; one of them under the name of another service."""
        for i in range(number):
            recorder = Recorder(Settings(metrics_dir=directory, service_name=f"service-{i % 2}"))
            record_some(recorder, amount * (i + 1))
            recorder.let_go()

    def crash(self, directory: Path, at: int, *, halfway: bool = False) -> list[str] | None:
        """Live in a child up to the n-th call; return the names of all calls if it was not killed there."""
        calls = directory.with_name(directory.name + ".calls")
        child = os.fork()
        if not child:
            try:
                crash = Crash(at, halfway=halfway)
                crash.install()
                live_twice(directory, directory.with_name(directory.name + ".delivered"))
                calls.write_text(json.dumps(crash.names))
                os._exit(0)
            finally:
                os._exit(4)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            return None
        assert os.WEXITSTATUS(status) == 0, f"the exporter failed in {directory}"
        names: list[str] = json.loads(calls.read_text())
        return names

    def check(self, directory: Path, expected: Samples, what: str) -> None:
        """Compare a fresh exporter's sums with ``expected``, and what was shown before the crash with what is now."""
        delivered = directory.with_name(directory.name + ".delivered")
        shown = json.loads(delivered.read_text() or "{}")
        at_once = fresh(directory, 1e9)
        for name, value in shown.items():
            if at_once.get(name, -1.0) < value:
                self.wrong.append(f"{what}: {name} was shown as {value} and is {at_once.get(name)}")
        found = fresh(directory, 0)
        if found != expected:
            self.wrong.append(f"{what}: sums are wrong: {sorted(found.items() ^ expected.items())[:4]}")

    def each(self) -> None:
        """One fresh directory for each crash point, each with one living process beside the dead."""
        template = self.template()
        expected = fresh(self.with_living(template, 0), 0)
        survived = self.with_living(template, 0)
        names = self.crash(survived, 0)
        assert names is not None
        self.check(survived, expected, "after the last call")
        points = [(at, False) for at in range(1, len(names) + 1)]
        points += [(at, True) for at, name in enumerate(names, 1) if name == "write"]
        for at, halfway in points:
            directory = self.with_living(template, at)
            assert self.crash(directory, at, halfway=halfway) is None
            self.points += 1
            self.halves += halfway
            self.check(directory, expected, f"call {at}, {names[at - 1]}{', halfway' * halfway}")

    def chain(self) -> None:
        """One directory for all crash points, again and again, without a good run in between."""
        directory = self.template()
        for _ in range(5):
            self.add_dead(directory, 2, 0.1)
            expected = fresh(self.copied(directory, "copy"), 0)
            at = 1
            while self.crash(directory, at) is None:
                self.points += 1
                # Looked at in a copy: a good run would heal what a row of crashes has done.
                self.check(self.copied(directory, "copy"), expected, f"crash {self.points}")
                at += 1

    def with_living(self, template: Path, number: int) -> Path:
        """Return a copy of the template in which a process lives, as long as this one does."""
        directory = self.copied(template, f"crash-{number}")
        recorder = Recorder(Settings(metrics_dir=directory, service_name="alive"))
        record_some(recorder, 0.7)
        self.living.append(recorder)
        return directory

    def copied(self, directory: Path, name: str) -> Path:
        """Return a copy of the directory and of what was delivered; of block files only what is used."""
        copy = directory.with_name(name)
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(mode=0o700)
        for path in directory.iterdir():
            with path.open("rb") as file:
                data = file.read(1 << 20)
            (copy / path.name).write_bytes(data[: parse_header(data).used] if path.suffix == SUFFIX else data)
        delivered = directory.with_name(directory.name + ".delivered")
        copy.with_name(name + ".delivered").write_bytes(delivered.read_bytes() if delivered.exists() else b"")
        return copy


def record_some(recorder: Recorder, amount: float) -> None:
    """Record costs of two tenants, which make sums that have to be rounded, and a gauge."""
    for tenant in ("acme", "umbrella"):
        block = recorder.block(TENANT, (tenant,))
        for slot in range(TENANT.slots):
            block.add(slot, amount + slot)
    recorder.block(LLM_IN_FLIGHT, ("m", "m")).add(0, 1)


if __name__ == "__main__":
    server = Server(sys.argv[2], Path(sys.argv[3]))
    {"each": server.each, "chain": server.chain}[sys.argv[1]]()
    print(json.dumps({"points": server.points, "halves": server.halves, "wrong": server.wrong[:20]}))
