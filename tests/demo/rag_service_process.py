"""A real ``python -m rag_service`` for tests, on a free loopback port, and what an exporter says of it."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from fake_llm_process import FakeLlm, fake_llm
from prometheus_client.parser import text_string_to_metric_families
from servers import Exporter, end, exporter, get, wait_for

from fake_llm.fits import MOST_TOOL_CALLS
from genai_metrics import catalog

SPEED = 1000
"""How much faster than real ones the models of ``quick_llm`` are."""

NEVER_BY_ITSELF = ("--errors", "0", "--agent-steps", str(MOST_TOOL_CALLS + 1))
"""Options with which tools and retrievals do not fail, and agents do not give up, as they do now and then."""

QUEUE = catalog.QUEUE_LENGTH.metrics[0].name
IN_FLIGHT = catalog.LLM_IN_FLIGHT.metrics[0].name

_numbers = count(1)


def fresh(question: str) -> str:
    """A question that nobody has asked before, and that is about the same."""
    return f"{question} My number is {next(_numbers)}."


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape, or of what came between two."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all series of that name with these labels."""
        wanted = labels.items()
        return sum(value for (found, own), value in self.samples.items() if found == name and wanted <= own)

    def since(self, earlier: "Scrape") -> "Scrape":
        """How much each series has grown."""
        return Scrape({key: value - earlier.samples.get(key, 0.0) for key, value in self.samples.items()})

    def names(self) -> set[str]:
        """The names of all series whose value is not 0."""
        return {name for (name, _), value in self.samples.items() if value}


class RagService:
    """A service that runs, over a fake LLM server, with an exporter beside it."""

    def __init__(self, url: str, process: "subprocess.Popen[str]", llm: FakeLlm, scraped: Exporter) -> None:
        self.url = url
        self.process = process
        self.llm = llm
        self.exporter = scraped

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; returns the status and the JSON that is answered, if any."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read()
        return status, json.loads(text) if text else None

    def ask(self, question: str, mode: str = "1", **more: Any) -> tuple[int, Any]:
        """Ask one question."""
        return self.request("POST", "/ask", {"question": question, "mode": mode, "tenant": "acme", **more})

    def ask_many(self, questions: Sequence[str], mode: str = "1", **more: Any) -> Counter[str]:
        """Ask questions, eight at a time; returns how often each outcome came."""
        with ThreadPoolExecutor(8) as pool:
            answers = pool.map(lambda question: self.ask(question, mode, **more), questions)
            return Counter(body["outcome"] for _, body in answers)

    def events(self, question: str, mode: str = "1") -> list[tuple[str, Any]]:
        """Ask for a stream; returns its events and their data."""
        body = json.dumps({"question": question, "mode": mode, "stream": True}).encode()
        request = urllib.request.Request(f"{self.url}/ask", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            blocks = answer.read().decode().strip().split("\n\n")
        pairs = (block.removeprefix("event: ").split("\ndata: ", 1) for block in blocks)
        return [(name, json.loads(data)) for name, data in pairs]

    def start_fault(self, name: str, seconds: float = 3600) -> None:
        """Provoke a fault."""
        status, body = self.request("POST", "/faults", {"name": name, "for_seconds": seconds})
        assert status == 200, body

    def stop_fault(self, name: str) -> None:
        """End a fault."""
        status, body = self.request("DELETE", f"/faults/{name}")
        assert status == 200, body

    def scrape(self) -> Scrape:
        """What the exporter says now."""
        families = text_string_to_metric_families(self.exporter.scrape())
        return Scrape({(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples})

    def workers(self) -> set[int]:
        """Processes of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        # The other child is the resource tracker of multiprocessing.
        return {int(pid) for pid in children if b"spawn_main" in _command(pid)}

    @contextmanager
    def real_time(self, token_seconds: float = 0.0) -> Iterator[None]:
        """Have models take their time while the block runs, and so much more for each token."""
        self.llm.set_fault("latency", factor=SPEED, token_seconds=token_seconds)
        try:
            yield
        finally:
            self.llm.stop_faults()

    def settle(self) -> dict[str, Any]:
        """Wait until nothing is under way, as answers are judged after they were given; returns the models' ledger."""

        def settled() -> dict[str, Any] | None:
            before = self.llm.accounts()
            found = self.scrape()
            busy = found.sum(QUEUE, queue="evaluations") + found.sum(IN_FLIGHT)
            return before if not busy and self.llm.accounts() == before else None

        return wait_for("an end of all calls", settled)

    def grows(self, act: Callable[[], object]) -> Scrape:
        """How much all series grow while something is done."""
        before = self.scrape()
        act()
        return self.scrape().since(before)


@contextmanager
def rag_service(
    llm: FakeLlm, folder: Path, *options: str, workers: int = 2, born_at_zero_seconds: int = 0
) -> Iterator[RagService]:
    """Run a service, all of its workers ready, with its files and its exporter's below ``folder``.

    Nothing fails by itself, unless the options say otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics = folder / "metrics"
    command = [
        *(sys.executable, "-m", "rag_service", "--listen", "127.0.0.1:0", "--workers", str(workers), "--speed", "0"),
        *("--metrics-dir", str(metrics), "--llm-url", llm.url, "--state", str(folder / "faults.json")),
        *NEVER_BY_ITSELF,
        *options,
    ]
    with (
        exporter(metrics, "--born-at-zero-seconds", str(born_at_zero_seconds)) as scraped,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            service = RagService(process.stdout.readline().split()[-1], process, llm, scraped)
            wait_for("an answer", lambda: _answers(f"{service.url}/healthz"))
            if "--no-metrics" not in options:
                wait_for("workers that record", lambda: service.scrape().sum("genai_processes") == workers)
            yield service
        finally:
            end(process)  # type: ignore[arg-type]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return b""


def _answers(url: str) -> bool:
    try:
        return bool(get(url))
    except OSError:  # its workers still start
        return False


@contextmanager
def quick_llm() -> Iterator[FakeLlm]:
    """Run a fake LLM server that hardly waits, but can be made to."""
    with fake_llm("--speed", str(SPEED)) as llm:
        yield llm
