"""Tests of the running exporter: the real command, real sockets, signals and applications."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_metrics.catalog import EXPORTER_METRICS, GPU_METRICS, HOST_METRICS
from genai_stack.binaries import require

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

Start = Callable[..., "Exporter"]

COMMAND = [sys.executable, "-m", "genai_exporter", "serve"]

# The real command over a directory whose scrape blocks until the process ends; it says when it has begun.
BLOCKED = """
import threading
from genai_exporter import cli

class Applications:
    def __init__(self, *args, **kwargs): pass
    def open(self): pass
    def close(self): print("closed", flush=True)
    def reconfigure(self, config): pass
    def scrape(self, names):
        print("scraping", flush=True)
        threading.Event().wait({seconds})
        raise OSError("never mind")

cli.Applications = Applications
cli.main()
"""

# An application: three calls with awkward label values, then it lives on until its standard input closes.
APPLICATION = """
import sys
from genai_metrics import track_llm_call

for model in ("gpt-4", 'a "quoted" \\\\ one', "größer als {}"):
    track_llm_call(mode="1", model=model, input_tokens=1000, output_tokens=500, duration=1.5, tenant="acme",
                   cost_per_1k_input=0.03, cost_per_1k_output=0.06)
print("recorded", flush=True)
sys.stdin.read()
"""


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment without what the exporter reads, plus the given variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    return {**kept, **variables}


def split(families: Iterable[Metric]) -> tuple[Series, Series]:
    """Return the exporter's own series and those of the applications."""
    names = {spec.name for spec in (*EXPORTER_METRICS, *HOST_METRICS, *GPU_METRICS)}
    own: Series = {}
    applications: Series = {}
    for family in families:
        for sample in family.samples:
            mine = sample.name in names or sample.name.startswith("process_")
            (own if mine else applications)[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return own, applications


class Exporter:
    """A running exporter; ``url`` is where it says that it listens."""

    def __init__(self, command: list[str], arguments: tuple[str, ...], variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments],
            env=environment(**variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log = ""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line
            found = re.search(r"listening on (http://\S+:\d+)", line)
            if found:
                self.url = found[1]
                return
        raise AssertionError(f"ended before it listened: {self.log}")

    def get(self, path: str, accept: str = "*/*") -> str:
        """Fetch a path from the loopback interface."""
        request = urllib.request.Request(self.url + path, headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=30) as response:
            body: str = response.read().decode()
            return body

    def end(self, number: int) -> int:
        """Send a signal; return the exit code and gather the rest of the log."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=60)
        self.log += rest
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[Start]:
    """Start exporters on free ports; whatever still runs at the end of the test is killed."""
    with contextlib.ExitStack() as stack:

        def begin(*arguments: str, script: str | None = None, **variables: str) -> Exporter:
            command = [sys.executable, "-c", script, "serve"] if script else COMMAND
            if "--web.listen-address" not in arguments and "--config.file" not in arguments:
                arguments += ("--web.listen-address", "127.0.0.1:0")
            exporter = Exporter(command, arguments, variables)
            stack.callback(exporter.process.communicate)
            stack.callback(exporter.process.kill)
            return exporter

        yield begin


class TestServing:
    """The running exporter."""

    def test_serves_all_endpoints(self, start: Start, tmp_path: Path) -> None:
        """Metrics, health, readiness and page, over a real socket; the directory is made."""
        exporter = start("--metrics-dir", str(tmp_path / "new" / "metrics"))
        assert 'genai_exporter_collector_success{collector="applications"} 1.0' in exporter.get("/metrics")
        assert "healthy" in exporter.get("/-/healthy")
        assert "ready" in exporter.get("/-/ready")
        assert str(tmp_path / "new" / "metrics") in exporter.get("/")
        assert (tmp_path / "new" / "metrics").is_dir()

    def test_a_second_exporter_on_the_directory_is_refused(self, start: Start, tmp_path: Path) -> None:
        """Two would fold the same files; the second says so and the first goes on."""
        first = start("--metrics-dir", str(tmp_path))
        second = subprocess.run(
            [*COMMAND, "--metrics-dir", str(tmp_path), "--web.listen-address", "127.0.0.1:0"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert f"Error: another exporter serves {tmp_path}" in second.stderr
        assert "Traceback" not in second.stderr
        assert "genai_build_info" in first.get("/metrics")

    @pytest.mark.parametrize("born_at_zero_seconds", ["0", "3600"])
    def test_what_applications_record(self, start: Start, tmp_path: Path, born_at_zero_seconds: str) -> None:
        """Both formats pass promtool or their parser and agree; new series show their values, or 0 at first."""
        exporter = start("--metrics-dir", str(tmp_path), "--born-at-zero-seconds", born_at_zero_seconds)
        with subprocess.Popen(
            [sys.executable, "-c", APPLICATION],
            env=environment(GENAI_METRICS_DIR=str(tmp_path), GENAI_SERVICE_NAME="chat"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as application:
            assert application.stdout is not None
            assert application.stdout.readline() == "recorded\n"
            plain = exporter.get("/metrics")
            rich = exporter.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
            page = exporter.get("/")
        checked = subprocess.run(
            [require("promtool"), "check", "metrics"], input=plain, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
        own, applications = split(parse_text(plain))
        assert split(parse_openmetrics(rich))[1] == applications
        assert own["genai_exporter_series", ()] == len(applications)
        assert own["genai_processes", (("service", "chat"),)] == 1
        calls = [value for (name, _), value in applications.items() if name == "genai_llm_calls_total"]
        assert calls == [1.0 if born_at_zero_seconds == "0" else 0.0] * 3
        assert "<tr><td>chat</td><td>1</td><td>" in page

    def test_head_over_a_real_socket(self, start: Start, tmp_path: Path) -> None:
        """Headers, no body, and the connection stays usable for the next request."""
        exporter = start("--metrics-dir", str(tmp_path))
        port = int(exporter.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\nGET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            received = b""
            while b"is healthy" not in received:
                chunk = client.recv(65536)
                assert chunk
                received += chunk
        assert received.count(b"HTTP/1.1 200 OK") == 2
        assert b"genai_build_info" not in received
        head = received.partition(b"\r\n\r\n")[0].lower()
        assert b"content-type: text/plain; version=0.0.4; charset=utf-8" in head
        assert b"server:" not in head

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_cleanly(self, start: Start, tmp_path: Path, number: int) -> None:
        """Exit code 0, the last line says so, every line is logfmt, and the directory is free again."""
        exporter = start("--metrics-dir", str(tmp_path))
        assert exporter.end(number) == 0
        lines = exporter.log.splitlines()
        assert all(re.match(r"time=\S+Z level=info msg=", line) for line in lines)
        assert lines[-1].endswith("msg=stopped")
        assert "genai_build_info" in start("--metrics-dir", str(tmp_path)).get("/metrics")

    def test_a_signal_during_a_scrape_lets_it_end(self, start: Start) -> None:
        """A scrape that ends soon is waited for, and the directory is closed after it."""
        exporter = start("--metrics-dir", "/none", script=BLOCKED.format(seconds=1))
        port = int(exporter.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert exporter.process.stdout is not None
            assert exporter.process.stdout.readline() == "scraping\n"
            exporter.process.send_signal(signal.SIGTERM)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert b"HTTP/1.1 200 OK" in answer
        assert exporter.process.stdout.readline() == "closed\n"
        assert exporter.process.wait(60) == 0

    def test_a_scrape_that_never_ends_does_not_keep_it(self, start: Start) -> None:
        """After the grace period the exporter ends with 0 all the same, and says what it left."""
        exporter = start("--metrics-dir", "/none", script=BLOCKED.format(seconds=3600))
        port = int(exporter.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert exporter.process.stdout is not None
            assert exporter.process.stdout.readline() == "scraping\n"
            assert exporter.end(signal.SIGTERM) == 0
        assert "stopped during a scrape that does not end" in exporter.log

    def test_healthy_while_a_scrape_blocks(self, start: Start) -> None:
        """The event loop answers although the directory does not."""
        exporter = start("--metrics-dir", "/none", script=BLOCKED.format(seconds=3600))
        port = int(exporter.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert exporter.process.stdout is not None
            assert exporter.process.stdout.readline() == "scraping\n"
            assert "healthy" in exporter.get("/-/healthy")


class TestPrecedence:
    """Flag over environment over file over default."""

    def test_flag_environment_file(self, start: Start, tmp_path: Path) -> None:
        """Each source is used exactly where nothing above it speaks."""
        path = tmp_path / "exporter.yml"
        path.write_text("metrics_dir: from-file\nweb: {listen_address: '127.0.0.1:0'}\nlog: {level: error}\n")
        file = ("--config.file", str(path), "--log.level", "info")
        start(*file)
        assert (tmp_path / "from-file").is_dir()
        start(*file, GENAI_METRICS_DIR=str(tmp_path / "from-environment"))
        assert (tmp_path / "from-environment").is_dir()
        flag = ("--metrics-dir", str(tmp_path / "from-flag"))
        start(*file, *flag, GENAI_METRICS_DIR=str(tmp_path / "unused"))
        assert (tmp_path / "from-flag").is_dir()
        assert not (tmp_path / "unused").exists()

    def test_an_empty_variable_counts_as_unset(self, start: Start, tmp_path: Path) -> None:
        """``GENAI_METRICS_DIR=`` does not mean the working directory."""
        path = tmp_path / "exporter.yml"
        path.write_text("metrics_dir: from-file\nweb: {listen_address: '127.0.0.1:0'}\n")
        start("--config.file", str(path), GENAI_METRICS_DIR="")
        assert (tmp_path / "from-file").is_dir()
