"""Tests of the command: each runs the real ``genai-exporter`` as a process of its own."""

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

from genai_metrics.catalog import EXPORTER_METRICS
from genai_stack.binaries import require

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]

Start = Callable[..., "Exporter"]

# The real command over a directory whose scrape blocks until the process ends; it says when it has begun.
BLOCKED = """
import threading
from genai_exporter import cli

class Applications:
    def __init__(self, *args, **kwargs): pass
    def open(self): pass
    def close(self): print("closed", flush=True)
    def scrape(self):
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


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "genai_exporter", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def split(families: Iterable[Metric]) -> tuple[Series, Series]:
    """Return the exporter's own series and those of the applications."""
    names = {spec.name for spec in EXPORTER_METRICS}
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
            command = [sys.executable, *(["-c", script] if script else ["-m", "genai_exporter"]), "serve"]
            if "--web.listen-address" not in arguments and "--config.file" not in arguments:
                arguments += ("--web.listen-address", "127.0.0.1:0")
            exporter = Exporter(command, arguments, variables)
            stack.callback(exporter.process.communicate)
            stack.callback(exporter.process.kill)
            return exporter

        yield begin


class TestUsageErrors:
    """Told wrongly: exit code 2, and a message that names the nearest right thing."""

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (("serv",), "No such command 'serv'; did you mean 'serve'?"),
            (("serve", "--metric-dir", "x"), "Did you mean '?--metrics-dir'?\\?"),
            (("serve", "--web.listen-adress", ":1"), "Did you mean '?--web.listen-address'?\\?"),
            (("--versoin",), "Did you mean '?--version'?\\?"),
            (("serve", "--metrics-dir"), "'--metrics-dir' requires an argument"),
            (("serve", "--metrics-dir", "x", "y"), r"unexpected extra argument \(y\)"),
            (
                ("serve", "--metrics-dir", "x", "--web.listen-address", "localhost"),
                "'--web.listen-address': 'localhost' has no port; give HOST:PORT, such as 127.0.0.1:9840",
            ),
            (
                ("serve", "--metrics-dir", "x", "--web.listen-address", "::1:80"),
                "'--web.listen-address': .*put an IPv6 address in brackets",
            ),
            (
                ("serve", "--metrics-dir", "x", "--born-at-zero-seconds", "-3"),
                "'--born-at-zero-seconds': '-3' is not a number of seconds from 0 on",
            ),
            (
                ("serve", "--metrics-dir", "x", "--log.level", "loud"),
                "'--log.level': 'loud' is not one of 'debug', 'info', 'warning', 'error'",
            ),
            (("serve",), "give --metrics-dir DIR, set GENAI_METRICS_DIR, or write metrics_dir"),
            (("serve", "--config.file", "/none/x.yml"), "/none/x.yml: cannot be read: No such file"),
        ],
    )
    def test_names_the_fault_and_the_remedy(self, arguments: tuple[str, ...], expected: str) -> None:
        """Each wrong command line ends with 2 and says what to write, without a traceback."""
        done = run(*arguments)
        assert done.returncode == 2
        assert re.search(expected, done.stderr)
        assert "Traceback" not in done.stderr
        assert done.stdout == ""

    def test_a_wrong_file_names_its_line(self, tmp_path: Path) -> None:
        """File, line, key and the nearest key."""
        path = tmp_path / "exporter.yml"
        path.write_text("metrics_dir: metrics\nborn_at_zero: 3\n")
        done = run("serve", "--config.file", str(path))
        assert done.returncode == 2
        message = f"{path}:2: unknown key 'born_at_zero'; did you mean 'born_at_zero_seconds'?"
        assert message in done.stderr
        assert not (tmp_path / "metrics").exists()

    def test_version(self) -> None:
        """The version is printed and nothing is started."""
        done = run("--version")
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(r"genai-exporter, version \S+\n", done.stdout)

    @pytest.mark.parametrize("missing", ["click", "starlette", "uvicorn"])
    def test_a_missing_dependency_is_named(self, missing: str) -> None:
        """Installed without its extra, the command says what to install."""
        script = f"import sys; sys.modules[{missing!r}] = None; import genai_exporter.cli"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "pip install 'genai-exporter[exporter]'" in done.stderr
        assert "Traceback" not in done.stderr


class TestCannotServe:
    """The machine says no: exit code 1 and one clear line."""

    def test_a_port_in_use_is_named(self, tmp_path: Path) -> None:
        """The address and the option to change it are in the message, and the directory is not touched."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            done = run("serve", "--metrics-dir", str(tmp_path / "m"), "--web.listen-address", address)
        assert done.returncode == 1
        assert f"Error: cannot listen on {address}: address already in use" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "m").exists()

    @pytest.mark.parametrize(
        ("address", "expected"),
        [
            ("192.0.2.1:9840", "cannot listen on 192.0.2.1:9840: not an address of this machine"),
            ("no-such-host.invalid:9840", "cannot listen on no-such-host.invalid:9840: no such host"),
        ],
    )
    def test_a_foreign_address_is_named(self, tmp_path: Path, address: str, expected: str) -> None:
        """Addresses of other machines and unknown names."""
        done = run("serve", "--metrics-dir", str(tmp_path), "--web.listen-address", address)
        assert done.returncode == 1
        assert expected in done.stderr

    def test_a_second_exporter_on_the_directory_is_refused(self, start: Start, tmp_path: Path) -> None:
        """Two would fold the same files; the second says so and the first goes on."""
        first = start("--metrics-dir", str(tmp_path))
        second = run("serve", "--metrics-dir", str(tmp_path), "--web.listen-address", "127.0.0.1:0")
        assert second.returncode == 1
        assert str(tmp_path) in second.stderr
        assert "Traceback" not in second.stderr
        assert "genai_build_info" in first.get("/metrics")

    def test_a_file_in_place_of_the_directory_is_named(self, tmp_path: Path) -> None:
        """The path is in the message."""
        path = tmp_path / "file"
        path.write_text("")
        done = run("serve", "--metrics-dir", str(path), "--web.listen-address", "127.0.0.1:0")
        assert done.returncode == 1
        assert str(path) in done.stderr
        assert "Traceback" not in done.stderr


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
        assert "<tr><td>chat</td><td>1</td></tr>" in page

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
