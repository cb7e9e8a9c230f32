"""Tests of ``genai-exporter demo``: the command as a process, against a stand-in of the demo's service."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from servers import end, exporter, get, wait_for

from genai_exporter import demo

FAULTS = [
    {
        "name": "latency",
        "description": "Models take long.",
        "alert": "GenAIHighLatency/GenAIVeryHighLatency",
        "follows": {"GenAISlowFirstToken": "models begin late as well"},
        "how_long_until_it_shows": 400,
        "active_until": None,
        "place": "llm",
    },
    {
        "name": "worker_killed",
        "description": "One worker is killed.",
        "alert": None,
        "follows": {},
        "how_long_until_it_shows": 0,
        "active_until": None,
        "place": "service",
    },
]


class Service:
    """A stand-in for the demo's service: keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, Any]] = []
        self.answer: tuple[int, bytes] | None = None
        service = self

        class Handler(BaseHTTPRequestHandler):
            """Answers from the list of faults, or as it was told to."""

            def do_GET(self) -> None:
                """List the faults."""
                self._answer(FAULTS)

            def do_POST(self) -> None:
                """Start a fault."""
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.told.append(("POST", self.path, body))
                self._answer(next((fault for fault in FAULTS if fault["name"] == body["name"]), {}))

            def do_DELETE(self) -> None:
                """Stop a fault."""
                service.told.append(("DELETE", self.path, None))
                self._answer({})

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def _answer(self, body: object) -> None:
                status, data = service.answer or (200, json.dumps(body).encode())
                self.send_response(status)
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def running(self) -> Iterator["Service"]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    """A stand-in that runs."""
    with Service().running() as running:
        yield running


def command(*arguments: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    """The command line and its environment."""
    # A proxy must not be asked for what is on this machine.
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "all_proxy": "http://127.0.0.1:9", **variables}
    return [sys.executable, "-m", "genai_exporter", "demo", *arguments], environment


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    argv, environment = command(*arguments)
    return subprocess.run(argv, env=environment, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


class TestFaults:
    """``demo faults``."""

    def test_lists_faults_and_alerts(self, service: Service) -> None:
        """A table: name, alert, how long it takes, whether it is on, what happens."""
        done = run("--url", service.url, "faults")
        assert done.returncode == 0, done.stderr
        header, latency, killed = done.stdout.splitlines()
        assert header.split() == ["fault", "alert", "shows", "after", "on", "for", "what", "happens"]
        assert latency.split()[:4] == ["latency", "GenAIHighLatency", "7m", "-"]
        assert killed.split()[:4] == ["worker_killed", "none", "-", "-"]
        assert killed.endswith("One worker is killed.")

    def test_shows_how_long_a_fault_stays_on(self) -> None:
        """From the time until which it is on."""
        lines = demo.table([{**FAULTS[0], "active_until": 1090.0}], now=1000.0).splitlines()
        assert lines[1].split()[3] == "90s"


class TestFault:
    """``demo fault NAME``."""

    def test_starts_a_fault_and_says_what_will_come_of_it(self, service: Service) -> None:
        """Unless told otherwise until its alert shows and three minutes more, in whole minutes."""
        done = run("--url", service.url, "fault", "latency")
        assert done.returncode == 0, done.stderr
        assert service.told == [("POST", "/faults", {"name": "latency", "for_seconds": 600.0})]
        assert done.stdout == (
            "latency for 10m: Models take long.\n"
            "GenAIHighLatency and GenAIVeryHighLatency should fire after about 7m at the demo's own load; "
            "GenAISlowFirstToken may follow.\n"
        )

    def test_says_when_the_time_is_too_short(self, service: Service) -> None:
        """Windows take their time to fill; what has no alert has no such time either."""
        done = run("--url", service.url, "fault", "latency", "--for", "399s")
        assert done.stdout.endswith("load, but the fault ends before: give --for 10m to see it fire.\n")
        done = run("--url", service.url, "fault", "latency", "--for", "400s")
        assert done.stdout.endswith("; GenAISlowFirstToken may follow.\n")
        done = run("--url", service.url, "fault", "worker_killed")
        assert done.stdout == "worker_killed: One worker is killed.\nNo alert is meant to come of it.\n"

    @pytest.mark.parametrize("arguments", [("fault", "latncy"), ("fault", "latncy", "--stop")])
    def test_names_the_nearest_fault(self, service: Service, arguments: tuple[str, ...]) -> None:
        """Instead of a list of all; the service is told nothing."""
        done = run("--url", service.url, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: there is no fault 'latncy'; did you mean 'latency'?\n"
        assert service.told == []

    def test_stops_a_fault(self, service: Service) -> None:
        """At once."""
        done = run("--url", service.url + "/", "fault", "latency", "--stop")
        assert (done.returncode, done.stdout) == (0, "latency is off.\n")
        assert service.told == [("DELETE", "/faults/latency", None)]

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            ((404, b'{"error": "there is no fault latency; there are none"}'), "there is no fault latency"),
            ((500, b"Internal Server Error"), "/faults answers 500"),
            ((200, b"<html>"), "no demo answers at"),
        ],
    )
    def test_tells_of_a_refusal(self, service: Service, answer: tuple[int, bytes], expected: str) -> None:
        """In the service's own words, with exit code 1."""
        service.answer = answer
        done = run("--url", service.url, "fault", "latency")
        assert done.returncode == 1
        assert done.stderr.startswith("Error: ")
        assert expected in done.stderr

    @pytest.mark.parametrize("text", ["5", "-5m", "five minutes", ""])
    def test_refuses_what_is_no_time(self, service: Service, text: str) -> None:
        """With exit code 2 and an example; the service hears nothing."""
        done = run("--url", service.url, "fault", "latency", f"--for={text}")
        assert done.returncode == 2
        assert f"Invalid value for '--for': {text!r} is not a duration; give one such as 15s" in done.stderr
        assert service.told == []

    @pytest.mark.parametrize(("text", "expected"), [("0s", "is no time at all"), ("24h1s", "is longer than 24h")])
    def test_refuses_times_that_no_fault_lasts(self, service: Service, text: str, expected: str) -> None:
        """Neither none nor days; a whole day is allowed."""
        done = run("--url", service.url, "fault", "latency", "--for", text)
        assert done.returncode == 2
        assert f"{text!r} {expected}" in done.stderr
        assert service.told == []
        assert run("--url", service.url, "fault", "latency", "--for", "24h").returncode == 0


class TestFinding:
    """Where the demo is."""

    def test_finds_it_by_the_run_file(self, service: Service, tmp_path: Path) -> None:
        """In the working directory or above it, as `make up` leaves it."""
        run_file(tmp_path, service.url, tmp_path / "metrics")
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert run("faults", cwd=below).stdout.startswith("fault ")

    def test_says_what_is_wrong_with_a_run_file(self, tmp_path: Path) -> None:
        """Names the file and the remedy."""
        (tmp_path / ".run").mkdir()
        (tmp_path / ".run" / "demo.json").write_text('{"url": "http://127.0.0.1:1"}')
        done = run("faults", cwd=tmp_path)
        assert done.returncode == 1
        assert f"{tmp_path}/.run/demo.json cannot be read" in done.stderr
        assert "--url" in done.stderr

    def test_says_that_nothing_answers(self, tmp_path: Path) -> None:
        """At the usual address or the one that is given, and how to start a demo."""
        done = run("--url", "http://127.0.0.1:9", "faults", cwd=tmp_path)
        assert done.returncode == 1
        assert "no demo answers at http://127.0.0.1:9 (Connection refused); start one" in done.stderr
        assert "`make up`" in done.stderr

    @pytest.mark.parametrize("url", ["127.0.0.1:8200", "", "ftp://127.0.0.1"])
    def test_refuses_what_is_no_address(self, url: str) -> None:
        """Names the option and gives an example."""
        done = run("--url", url, "faults")
        assert done.returncode == 1
        assert f"--url {url!r} is no address; give one such as http://127.0.0.1:8200" in done.stderr

    def test_usual_address_is_that_of_the_service(self) -> None:
        """What the service listens on unless told otherwise."""
        found = demo.find(None, Path("/"))
        assert (found.url, found.metrics_dir) == ("http://127.0.0.1:8200", None)


class TestExporterDown:
    """The fault that the command provokes by itself: the exporter's process is halted."""

    @pytest.mark.parametrize("how", ["in time", "by SIGINT", "by SIGTERM"])
    def test_halts_the_exporter_for_a_while(self, tmp_path: Path, how: str) -> None:
        """It goes on when the time is over, or when the command is interrupted or ended."""
        run_file(tmp_path, "http://127.0.0.1:9", tmp_path / "metrics")
        with exporter(tmp_path / "metrics") as running:
            pid = running.process.pid
            argv, environment = command("fault", "exporter_down", "--for", "6s" if how == "in time" else "1h")
            process = subprocess.Popen(argv, env=environment, cwd=tmp_path, stdout=subprocess.PIPE)
            try:
                wait_for("the halt", lambda: state(pid) == "T")
                if how != "in time":
                    process.send_signal(signal.Signals[how.removeprefix("by ")])
                told, _ = process.communicate(timeout=60)
            finally:
                end(process)
            assert process.returncode == 0
            assert f"the exporter (process {pid}) is halted" in told.decode()
            assert "The exporter goes on." in told.decode()
            assert state(pid) != "T"
            assert b"genai_build_info" in get(f"http://127.0.0.1:{running.port}/metrics")

    def test_lets_it_go_on_when_told_to(self, tmp_path: Path) -> None:
        """After a command that was killed."""
        run_file(tmp_path, "http://127.0.0.1:9", tmp_path / "metrics")
        with exporter(tmp_path / "metrics") as running:
            os.kill(running.process.pid, signal.SIGSTOP)
            done = run("fault", "exporter_down", "--stop", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            wait_for("an answer", lambda: state(running.process.pid) != "T")

    def test_says_what_to_do_where_it_cannot(self, tmp_path: Path) -> None:
        """In containers, and when no exporter runs."""
        done = run("--url", "http://127.0.0.1:9", "fault", "exporter_down", cwd=tmp_path)
        assert (done.returncode, "docker compose pause exporter" in done.stderr) == (1, True)
        run_file(tmp_path, "http://127.0.0.1:9", tmp_path / "metrics")
        (tmp_path / "metrics").mkdir()
        (tmp_path / "metrics" / "exporter.lock").write_text(f"{os.getpid()}\n")
        done = run("fault", "exporter_down", cwd=tmp_path)
        assert done.returncode == 1
        assert f"no exporter runs over {tmp_path}/metrics" in done.stderr


def run_file(folder: Path, url: str, metrics_dir: Path) -> None:
    """Write what `make up` leaves."""
    (folder / ".run").mkdir()
    (folder / ".run" / "demo.json").write_text(json.dumps({"url": url, "metrics_dir": str(metrics_dir)}))


def state(pid: int) -> str:
    """What a process does, by the letter that the kernel has for it: T when it is halted."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
