"""Fixtures for tests of the metrics directory: real worker processes, writers in this process, exporters."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from genai_exporter import server
from genai_exporter.aggregate import Applications
from genai_exporter.config import Address
from genai_exporter.limits import Limits
from genai_exporter.security import Security
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings

DEADLINE_SECONDS = 60.0

# Reads one command a line: {"calls": [...]} records, {"enter": model} begins a call that never ends, {"fork": [...]}
# forks a child that records if there is anything to record, and then stays. Answers each when it is done.
WORKER = """
import json, os, signal, sys
from genai_metrics import configure, llm_call_in_flight, track_llm_call
configure(metrics_dir=sys.argv[1], service_name=sys.argv[2], pricing=False)
open_calls = []
print(json.dumps({"pid": os.getpid()}), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    answer = {}
    for call in command.get("calls", ()):
        track_llm_call(**call)
    if "enter" in command:
        open_calls.append(llm_call_in_flight(model=command["enter"]))
        open_calls[-1].__enter__()
    if "fork" in command:
        done, tell = os.pipe()
        answer["pid"] = os.fork()
        if not answer["pid"]:
            for call in command["fork"]:
                track_llm_call(**call)
            os.write(tell, b"x")
            signal.pause()
        os.read(done, 1)
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def start_worker() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function that starts a process which records what it is told: (directory, service, launcher)."""
    workers: list[subprocess.Popen[str]] = []

    def start(directory: Path, service: str = "service", launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [*launcher, sys.executable, "-c", WORKER, str(directory), service],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        workers.append(worker)
        assert worker.stdout is not None
        assert worker.stdout.readline()
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.wait(DEADLINE_SECONDS)
        for pipe in (worker.stdin, worker.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def tell() -> Callable[..., dict[str, int]]:
    """A function that has a worker carry out a command and returns its answer."""

    def send(worker: subprocess.Popen[str], **command: object) -> dict[str, int]:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(json.dumps(command) + "\n")
        worker.stdin.flush()
        answer: dict[str, int] = json.loads(worker.stdout.readline())
        return answer

    return send


@pytest.fixture
def kill() -> Callable[[subprocess.Popen[str]], None]:
    """A function that ends a process with SIGKILL and waits for its end."""

    def end(worker: subprocess.Popen[str]) -> None:
        worker.kill()
        worker.wait(DEADLINE_SECONDS)

    return end


@pytest.fixture
def writer() -> Iterator[Callable[..., Recorder]]:
    """A function that makes a recorder with a file of its own: (directory, service).

    After its ``let_go`` the file is that of a dead process: nobody holds its lock.
    """
    recorders: list[Recorder] = []

    def make(directory: Path, service: str = "service") -> Recorder:
        recorders.append(Recorder(Settings(metrics_dir=directory, service_name=service)))
        return recorders[-1]

    yield make
    for recorder in recorders:
        recorder.let_go()


@pytest.fixture
def exporter() -> Iterator[Callable[..., Applications]]:
    """A function that opens a directory as the exporter does: (directory, options of ``Applications``)."""
    opened: list[Applications] = []

    def open_directory(directory: Path, **options: float | Mapping[str, int] | Callable[[], float]) -> Applications:
        applications = Applications(directory, **{"born_at_zero_seconds": 0, **options})  # type: ignore[arg-type]
        opened.append(applications)
        applications.open()
        return applications

    yield open_directory
    for applications in opened:
        applications.close()


@pytest.fixture
def samples() -> Callable[[Applications], dict[str, float]]:
    """A function that scrapes and returns the value of each series, by name and labels as they are rendered."""

    def scrape(applications: Applications) -> dict[str, float]:
        lines = b"".join(applications.scrape().render(False)).decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    return scrape


@pytest.fixture
def total() -> Callable[..., float]:
    """A function that sums the series of one metric whose labels contain all of some texts."""

    def add_up(found: Mapping[str, float], metric: str, *labels: str) -> float:
        return sum(
            value
            for name, value in found.items()
            if name.startswith(metric + "{") and all(label in name for label in labels)
        )

    return add_up


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """A function that asks until the answer is yes, and fails after a minute."""

    def wait(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    return wait


@pytest.fixture
def serve(eventually: Callable[[Callable[[], bool]], None]) -> Iterator[Callable[..., tuple[server.Server, int]]]:
    """A function that serves an application in a thread: (application, security, limits); returns server and port."""
    running: list[tuple[server.Server, threading.Thread, Security | None]] = []

    def start(
        app: ASGIApp, security: Security | None = None, limits: Limits | None = None
    ) -> tuple[server.Server, int]:
        listener = server.listen(Address("127.0.0.1", 0))
        port = listener.getsockname()[1]
        serving = server.Server(app, security, limits)
        thread = threading.Thread(target=serving.run, args=([listener],))
        thread.start()
        running.append((serving, thread, security))
        eventually(lambda: serving.started)
        return serving, port

    yield start
    for serving, thread, security in running:
        serving.should_exit = True
        thread.join(DEADLINE_SECONDS)
        assert not thread.is_alive()
        serving.close()
        if security is not None:
            security.close()
