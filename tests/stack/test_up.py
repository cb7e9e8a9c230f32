"""``python -m genai_stack``: the whole stack without containers, with the real servers and the demo load."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from genai_stack import places, ports, runfile
from genai_stack.children import OPENER

COMMAND = [sys.executable, "-m", "genai_stack"]


def finished(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command's end and output, whatever its exit code."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)


def fetched(url: str) -> Any:
    """JSON at a loopback address, or None when there is no answer."""
    try:
        with OPENER.open(url, timeout=5) as response:
            return json.load(response)
    except OSError:
        return None


def read(url: str) -> bytes:
    """What a loopback address answers; raises ``OSError`` for anything but success."""
    with OPENER.open(url, timeout=5) as response:
        return bytes(response.read())


class Stack:
    """A native stack of its own in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self._output = folder / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "up", "--native", "--free-ports", "--run-dir", self.run], stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Wait until it prints something."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, f"no {text!r} within {seconds} s in:\n{self.output}"
            time.sleep(0.1)

    def url(self, job: str) -> str:
        """Address of a service, from the target file that Prometheus reads."""
        (group,) = yaml.safe_load((self.run / "prometheus" / "targets" / f"{job}.yml").read_text())
        return f"http://{group['targets'][0]}/"

    def query(self, expression: str) -> list[Any]:
        """Result of a PromQL query."""
        answer = fetched(f"{self.url('prometheus')}api/v1/query?{urllib.parse.urlencode({'query': expression})}")
        return list(answer["data"]["result"]) if answer else []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack, stopped after the last test."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    try:
        running.wait_for("All ready")
        yield running
    finally:
        running.process.terminate()
        try:
            running.process.wait(timeout=30)
        finally:
            running.process.kill()


# What the first rows of the dashboards show, each from another part of the demo.
FIRST_LOOK = (
    "sum(rate(genai_workflow_duration_seconds_count[1m]))",
    'sum(rate(genai_cache_lookups_total{result="hit"}[1m]))',
    "sum(rate(genai_llm_cost_usd_total[1m])) > 0",
    "sum by (tool) (rate(genai_tool_duration_seconds_count[2m])) > 0",
    "sum(genai_dependency_up)",
    "service:genai_llm_cost_usd:month_to_date >= 0",
    "service:genai_llm_cost_usd:projected_day > 0",
    "service:genai_llm_cost_usd:increase1d offset 1w > 0",
    "service_cache:genai_cache_hits_per_lookup:ratio_rate15m offset 1w > 0",
    "genai_host_memory_used_bytes",
)


class TestUp:
    """In this order: the last test stops the stack."""

    def test_the_first_look_shows_data(self, stack: Stack) -> None:
        """Rates, money of the day and of the month, last week: within two minutes; what is empty is named."""
        empty = FIRST_LOOK
        deadline = time.monotonic() + 120
        while empty and time.monotonic() < deadline:
            empty = tuple(query for query in empty if not stack.query(query))
            time.sleep(1)
        assert empty == ()

    def test_history_and_the_present_are_one_series(self, stack: Stack) -> None:
        """The live counters go on where the week of history ends, under the same labels."""
        recorded = "count(count_over_time(instance_service_mode_model:genai_llm_cost_usd_total:sum[{}]{}))"
        before = float(stack.query(recorded.format("1h", " offset 3h"))[0]["value"][1])
        together = float(stack.query(recorded.format("4h", ""))[0]["value"][1])
        assert together - before <= 2, "a model that was rare in the profiled run may be new; the others may not"

    def test_it_says_where_everything_is_and_what_to_do(self, stack: Stack) -> None:
        """The addresses answer, and the suggested command finds the demo."""
        places = dict(re.findall(r"^  (\S[^:]*?) +(http://\S+)$", stack.output, re.MULTILINE))
        assert {"Prometheus", "Alertmanager", "Inbox", "Exporter", "Demo service"} <= set(places)
        shown = [f"Dashboard {topic}" in places for topic in ("Performance", "Cache", "Cost", "Health")]
        assert all(shown) or "Grafana is missing" in stack.output
        assert all(read(places[name]) for name in ("Exporter", "Inbox", "Demo service"))
        suggested = re.search(r"^Next: (.+)$", stack.output, re.MULTILINE)
        assert suggested
        command = suggested[1].replace("fault latency", "faults").split()
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=Path.cwd())
        assert "GenAIHighLatency" in listed.stdout

    def test_links_to_dashboards_lead_to_a_page(self, stack: Stack) -> None:
        """Without Grafana to one of the inbox that says so, instead of to a port that nobody listens on."""
        links = (stack.run / "secrets" / "alertmanager" / "templates" / "links.tmpl").read_text()
        base = re.search('"genai.base.grafana" }}(.*){{', links)
        assert base
        page = read(f"{base[1]}/d/genai-cost").decode()
        assert ("no Grafana runs beside this stack" in page) == ("Grafana is missing" in stack.output)

    def test_what_has_no_page_has_a_command(self, stack: Stack) -> None:
        """Those that stand for Prometheus's page and Alertmanager's form can be pasted as they are."""
        for query in re.findall(r"^  (.*promtool .+)$", stack.output, re.MULTILINE):
            subprocess.run(query, shell=True, capture_output=True, timeout=60, check=True)
        for silence in re.findall(r"^  (.*amtool .+)$", stack.output, re.MULTILINE):
            subprocess.run(silence, shell=True, capture_output=True, timeout=60, check=True)
            kept = fetched(f"{stack.url('alertmanager')}api/v2/silences")
            assert [matcher["value"] for each in kept for matcher in each["matchers"]] == ["GenAIHighLatency"]

    def test_every_target_is_scraped(self, stack: Stack) -> None:
        """Exporter, Prometheus and Alertmanager are up under their job names."""
        up: dict[str, str] = {}
        deadline = time.monotonic() + 60  # the first scrape of each comes within its interval of 15 s
        while up != {"genai-exporter": "1", "prometheus": "1", "alertmanager": "1"}:
            assert time.monotonic() < deadline, up
            up = {sample["metric"]["job"]: sample["value"][1] for sample in stack.query("up")}
            time.sleep(0.5)

    def test_the_watchdog_reaches_alertmanager(self, stack: Stack) -> None:
        """Prometheus finds Alertmanager by its target file, and an alert arrives at its receiver."""
        # An alert that was sent before Alertmanager listened is sent again after a minute.
        deadline = time.monotonic() + 120
        alerts: list[Any] = []
        while not alerts:
            assert time.monotonic() < deadline
            alerts = fetched(f"{stack.url('alertmanager')}api/v2/alerts?filter=alertname=Watchdog") or []
            time.sleep(0.5)
        assert [receiver["name"] for receiver in alerts[0]["receivers"]] == ["dead-mans-switch"]

    def test_live_numbers_are_shown(self, stack: Stack) -> None:
        """Whoever looks at the output sees that data arrives, and what Grafana's absence means."""
        stack.wait_for("Last minute: ")
        assert re.search(r"Last minute: [\d.,]+ LLM calls/s, .*p95 [\d.]+ s, [\d,]+ tokens/s, \$", stack.output)
        assert "Grafana" in stack.output

    def test_a_second_one_in_the_same_directory_is_refused(self, stack: Stack) -> None:
        """The message names the running process and the way to stop it."""
        second = subprocess.run(
            [*COMMAND, "up", "--native", "--run-dir", stack.run],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert f"(process {stack.process.pid}); stop it with `make down`" in second.stderr

    def test_down_stops_it_cleanly(self, stack: Stack) -> None:
        """`down` ends everything with exit code 0 and leaves no port open."""
        listening = [
            int(stack.url(job).rpartition(":")[2].rstrip("/")) for job in ("exporter", "prometheus", "alertmanager")
        ]
        down = ("down", "--run-dir", str(stack.run))
        answer = finished(*down)
        assert answer.returncode == 0, answer.stderr
        assert f"process {stack.process.pid}" in answer.stdout
        assert stack.process.wait(timeout=30) == 0, stack.output
        assert all(ports.is_free(port) for port in listening)
        assert runfile.running(stack.run) is None
        assert not (stack.run / "demo.json").exists(), "the demo would be looked for where none is any more"
        assert "ended (" not in stack.output
        assert "level=WARN" not in (stack.run / "logs" / "alertmanager.log").read_text()
        again = finished(*down)
        assert "Nothing to stop" in again.stdout


class TestPorts:
    """Which ports a run takes."""

    def test_a_taken_port_is_replaced_and_named(self) -> None:
        """The others keep their defaults, and a line says what moved."""
        with socket.socket() as taken:
            taken.bind((ports.HOST, 0))
            taken.listen()
            number = taken.getsockname()[1]
            chosen, notes = ports.choose(["exporter"], offset=number - ports.DEFAULT_PORTS["exporter"])
        assert chosen["exporter"] != number
        assert notes == [f"Port {number} is taken: exporter listens on {chosen['exporter']} instead."]

    def test_an_offset_outside_the_range_is_an_error(self) -> None:
        """The message names the option, the service and the range."""
        with pytest.raises(ValueError, match=r"--port-offset 60000 puts exporter on port 69840; ports are 1 to 65535"):
            ports.choose(["exporter"], offset=60_000)

    def test_a_bad_duration_is_a_usage_error(self) -> None:
        """`--for` says how a duration is written."""
        answer = subprocess.run(
            [*COMMAND, "up", "--for", "soon"], capture_output=True, text=True, timeout=60, check=False
        )
        assert answer.returncode == 2
        assert "'soon' is not a duration; give one such as 15s, 5m or 1h30m" in answer.stderr


class TestPlaces:
    """What the output names, in both ways of running."""

    def test_with_grafana_the_four_dashboards_come_first(self) -> None:
        """Under the addresses that Grafana gives them."""
        lines = places.lines(lambda name: f"http://{name}/", grafana=True, demo=True, inbox=True)
        assert [line.split() for line in lines[:4]] == [
            ["Dashboard", "Performance", "http://grafana/d/genai-performance"],
            ["Dashboard", "Cache", "http://grafana/d/genai-cache"],
            ["Dashboard", "Cost", "http://grafana/d/genai-cost"],
            ["Dashboard", "Health", "http://grafana/d/genai-health"],
        ]
        assert len({line.index("http") for line in lines}) == 1

    def test_without_the_demo_it_says_how_to_record(self) -> None:
        """A command line whose directory the shell takes for what it is."""
        line = places.recording(Path("/run/my metrics"))
        assert line == "Next: GENAI_METRICS_DIR='/run/my metrics' GENAI_SERVICE_NAME=chat python app.py"

    def test_what_does_not_run_is_not_named(self) -> None:
        """Neither Grafana nor inbox nor demo."""
        lines = places.lines(lambda name: f"http://{name}/", grafana=False, demo=False, inbox=False)
        assert [line.split()[-1] for line in lines] == [
            "http://prometheus/",
            "http://alertmanager/",
            "http://exporter/",
        ]
