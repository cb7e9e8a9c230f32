"""Real servers for end-to-end tests: our exporter and a Prometheus that scrapes it, on free loopback ports.

Everything that is started here is stopped by the context manager that started it, by process id.
"""

import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from genai_stack.binaries import require

T = TypeVar("T")

DEADLINE_SECONDS = 60.0
"""How long a test waits for something that must come; far more than it takes on a slow machine."""


# Whoever wants any port is given one from 32768 on, perhaps before the server for which it was found has started. So
# each process of a test run has ports of its own below; it begins anywhere among them, as there may be another run.
_FIRST_PORT, _PORTS = 20_000, 2000
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 6
_steps = itertools.count(random.randrange(_PORTS))


def free_port() -> int:
    """Return a loopback port that is free, and that nobody else is given soon."""
    own = (_FIRST_PORT + _WORKER * _PORTS + step % _PORTS for step in _steps)
    return next(port for port in own if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def get(url: str) -> bytes:
    """Return the body of a GET request; raises ``OSError`` when there is no answer or not 200."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def wait_for(what: str, attempt: Callable[[], T | None], deadline: float = DEADLINE_SECONDS) -> T:
    """Return the first result of ``attempt`` that is neither ``None`` nor ``False``; an ``OSError`` is no result."""
    end = time.monotonic() + deadline
    while True:
        failure = None
        try:
            result = attempt()
            if result is not None and result is not False:
                return result
        except OSError as error:  # a server on a busy machine may not answer at once
            failure = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:g} s") from failure
        time.sleep(0.1)


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until ``url`` answers 200; fails with the process's last words when it ends before."""

    def ready() -> bool:
        assert process.poll() is None, f"{log.name} ended:\n{log.read_text()[-2000:]}"
        try:
            get(url)
        except OSError:
            return False
        return True

    wait_for(f"{url} ready", ready)


def end(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGTERM) -> int:
    """End a process that this test started and return its exit status."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
    return process.returncode


class Exporter:
    """A real ``genai-exporter serve`` over one metrics directory, always on the same port."""

    def __init__(self, metrics_dir: Path, *options: str) -> None:
        self.port = free_port()
        self._log = metrics_dir.parent / f"exporter-{self.port}.log"
        self._command = [
            *(sys.executable, "-m", "genai_exporter", "serve", "--metrics-dir", str(metrics_dir)),
            *("--web.listen-address", f"127.0.0.1:{self.port}", *options),
        ]
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until_ready(f"http://127.0.0.1:{self.port}/-/ready", self.process, self._log)

    def restart(self, number: signal.Signals) -> int:
        """End it by a signal, start it again; returns the exit status of the ended one."""
        status = end(self.process, number)
        self.start()
        return status

    def scrape(self) -> str:
        """Return ``/metrics`` in the text format."""
        return get(f"http://127.0.0.1:{self.port}/metrics").decode()


class Prometheus:
    """Queries to a real Prometheus."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Return an instant vector: label values, in order of the label names, to the value."""
        body = get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return {tuple(v for _, v in sorted(row["metric"].items())): float(row["value"][1]) for row in result}

    def value(self, expression: str) -> float | None:
        """Return the only value of a vector, ``None`` when it is empty."""
        values = list(self.query(expression).values())
        assert len(values) <= 1, f"{expression} has {len(values)} values"
        return values[0] if values else None

    def wait_for_scrape(self, job: str) -> None:
        """Wait for a scrape of a job's only target that begins after now and succeeds."""
        # Prometheus rounds the times of scrapes to its interval, by a few milliseconds.
        after = time.time() + 0.1
        # Not of `up == 1`: only of a plain selector does timestamp() say when it was scraped.
        succeeded = f'timestamp(up{{job="{job}"}}) and up{{job="{job}"}} == 1'
        wait_for(f"a scrape of {job}", lambda: (self.value(succeeded) or 0.0) > after)


@contextmanager
def exporter(metrics_dir: Path, *options: str) -> Iterator[Exporter]:
    """Run an exporter over ``metrics_dir``."""
    server = Exporter(metrics_dir, *options)
    try:
        yield server
    finally:
        end(server.process)


@contextmanager
def prometheus(
    folder: Path, targets: dict[str, int], scrape_interval: str = "1s", *options: str, config: str = ""
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes loopback ports, one job each, with its data below ``folder``; what is there stays.

    ``config``: further sections of its configuration file. Rules are evaluated as often as targets are scraped.
    """
    folder.mkdir(exist_ok=True)
    jobs = "".join(
        f"  - job_name: {job}\n    honor_labels: true\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        for job, port in targets.items()
    )
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {scrape_interval}, scrape_timeout: {scrape_interval}, "
        f"evaluation_interval: {scrape_interval}}}\nscrape_configs:\n{jobs}{config}"
    )
    port = free_port()
    command = [
        *(str(require("prometheus")), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
        *(f"--web.listen-address=127.0.0.1:{port}", *options),
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "GOMAXPROCS": "2"})
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, log)
        yield Prometheus(port)
    finally:
        end(process)
