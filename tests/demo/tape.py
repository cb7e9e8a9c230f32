"""Records the demo while faults come and go: what a real Prometheus sees of it, scrape by scrape.

The demo has about 15 times the requests of its gentle daily mix, and is scraped 15 times as often. So one column of the
tape, a second of real time, is one scrape of 15 seconds of that mix: rates come out as there, latencies and gauges as
they are.
"""

import json
import math
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from fake_llm_process import fake_llm
from fault_table import AFTER_SECONDS, EFFECTS, Effect
from rag_service_process import RagService, rag_service
from servers import Prometheus, end, get, prometheus, wait_for

from genai_stack import REPOSITORY

LAPSE = 15
"""How many seconds of the gentle mix one second of the tape is: the scrape interval as it is shipped."""

QUIET_SECONDS = 60
_PEOPLE = 260
_WARM_SECONDS = 40
"""Until all people are there, and answers in the cache begin to expire."""
# The few seconds of a fault are played again and again: what is rare by nature must not happen to be among them, or it
# comes out as frequent. So models fail by themselves in the quiet minute only, the service never does, no model is slow
# to start, and scores vary less.
_BACKGROUND_ERRORS = 0.003
_QUALITY = 0.92
_JOB = "genai-exporter"

Key = tuple[tuple[str, str], ...]
"""A series by its labels, ``__name__`` among them, sorted."""


@dataclass(frozen=True)
class Phase:
    """Columns of the tape: a fault was on from ``began`` to before ``ended``, and its effect passed until ``over``."""

    began: int
    ended: int
    over: int


@dataclass(frozen=True)
class Tape:
    """What was recorded: values of each series by column, ``None`` where a scrape has none.

    ``measured``: of each fault what its expression in the table came to before, with, and after it.
    """

    series: Mapping[Key, Sequence[float | None]]
    quiet: range
    phases: Mapping[str, Phase]
    measured: Mapping[str, tuple[float, float, float]]

    @property
    def scraped(self) -> list[bool]:
        """Of each column, whether its scrape succeeded."""
        (up,) = (values for key, values in self.series.items() if ("__name__", "up") in key)
        return [value == 1 for value in up]


class _Recorder:
    """The demo at work, and the Prometheus that watches it."""

    def __init__(self, service: RagService, server: Prometheus, folder: Path) -> None:
        self._service = service
        self._server = server
        self._folder = folder

    def last_scrape(self) -> float:
        """Return the Unix time of the last scrape, failed or not; 0 before the first."""
        return self._server.value(f'timestamp(up{{job="{_JOB}"}})') or 0.0

    def wait_until(self, moment: float) -> None:
        """Wait until Prometheus has scraped what came before a Unix time."""
        wait_for("the next scrapes", lambda: self.last_scrape() > moment, deadline=300)

    def background(self, on: bool) -> None:
        """Let requests fail now and then, as they do without any fault, or not."""
        if on:
            self._service.llm.set_fault("error_burst", share=_BACKGROUND_ERRORS)
        else:
            self._service.llm.stop_faults()

    def provoke(self, effect: Effect) -> tuple[float, float, float]:
        """Have a fault for as long as its effect says; returns when it began, when it ended, when that had passed."""
        began = time.time()
        if effect.fault == "exporter_down":
            command = [sys.executable, "-m", "genai_exporter", "demo", "fault", effect.fault]
            subprocess.run([*command, "--for", f"{effect.on_seconds}s"], cwd=self._folder, check=True, timeout=120)
        else:
            self._service.start_fault(effect.fault)
            self.wait_until(began + effect.on_seconds)
            self._service.stop_fault(effect.fault)
        ended = time.time()
        over = ended + effect.settle_seconds + AFTER_SECONDS
        self.wait_until(over)
        return began, ended, over

    def measure(self, effect: Effect, seconds: int, at: float) -> float:
        """Return what an effect's expression comes to in some time before a moment."""
        query = {"query": effect.expression.replace("$w", f"{seconds}s"), "time": f"{at:.3f}"}
        rows = json.loads(get(f"{self._server.url}/api/v1/query?{urllib.parse.urlencode(query)}"))["data"]["result"]
        assert len(rows) <= 1, (effect.expression, rows)
        return float(rows[0]["value"][1]) if rows else math.nan

    def read(self, names: Sequence[str], begin: float) -> dict[Key, list[float | None]]:
        """Read back everything since a scrape, a column a second."""
        end = time.time()
        seconds = math.ceil(end - begin)
        found: dict[Key, list[float | None]] = {}
        for name in names:
            query = {"query": f'{{__name__="{name}", job="{_JOB}"}}[{seconds}s]', "time": f"{end:.3f}"}
            body = json.loads(get(f"{self._server.url}/api/v1/query?{urllib.parse.urlencode(query)}"))
            for row in body["data"]["result"]:
                values: list[float | None] = [None] * (seconds + 1)
                for moment, value in row["values"]:
                    if moment >= begin:
                        values[round(moment - begin)] = float(value)
                found[tuple(sorted(row["metric"].items()))] = values
        return found


def record(folder: Path, faults: Sequence[str], names: Sequence[str]) -> Tape:
    """Record a quiet time, then these faults one after the other; keep the series of these names."""
    effects = {effect.fault: effect for effect in EFFECTS if effect.fault in faults}
    moments: dict[str, tuple[float, float, float]] = {}
    with _demo(folder) as recorder:
        recorder.wait_until(time.time() + _WARM_SECONDS)
        begin = recorder.last_scrape()
        recorder.background(True)
        recorder.wait_until(begin + QUIET_SECONDS)
        recorder.background(False)
        for fault in faults:
            moments[fault] = recorder.provoke(effects[fault])
        measured = {
            fault: (
                recorder.measure(effects[fault], effects[fault].window_seconds, began),
                recorder.measure(effects[fault], effects[fault].window_seconds, ended),
                recorder.measure(effects[fault], AFTER_SECONDS, over),
            )
            for fault, (began, ended, over) in moments.items()
        }
        series = recorder.read(names, begin)
    phases = {
        fault: Phase(math.ceil(began - begin), math.ceil(ended - begin), math.ceil(over - begin))
        for fault, (began, ended, over) in moments.items()
    }
    return Tape(series, range(1, QUIET_SECONDS), phases, measured)


@contextmanager
def _demo(folder: Path) -> Iterator[_Recorder]:
    """Run the demo under load, and a Prometheus with the shipped way to scrape it, but 15 times as often."""
    shipped = yaml.safe_load((REPOSITORY / "prometheus" / "prometheus.yml").read_text())
    targets = folder / "targets.yml"
    (job,) = (job for job in shipped["scrape_configs"] if job["job_name"] == _JOB)
    job["file_sd_configs"] = [{"files": [str(targets)]}]
    rag = folder / "rag"
    with ExitStack() as stack:
        llm = stack.enter_context(fake_llm("--speed", "1", "--slow-starts", "0", "--quality", str(_QUALITY)))
        options = ("--speed", "1", "--time-lapse", str(LAPSE))
        service = stack.enter_context(rag_service(llm, rag, *options, born_at_zero_seconds=2))
        targets.write_text(yaml.safe_dump([{"targets": [f"127.0.0.1:{service.exporter.port}"]}]))
        (folder / ".run").mkdir()
        told = {"url": service.url, "metrics_dir": str(rag / "metrics")}
        (folder / ".run" / "demo.json").write_text(json.dumps(told))
        server = stack.enter_context(prometheus(folder / "prometheus", {}, "1s", config=yaml.safe_dump([job])))
        command = [sys.executable, "-m", "load_scenarios", "peak", "--host", service.url]
        log = stack.enter_context((folder / "load.log").open("w"))
        load = subprocess.Popen([*command, "--users", str(_PEOPLE), "--duration", "1h"], stdout=log, stderr=log)
        stack.callback(end, load)
        yield _Recorder(service, server, folder)
