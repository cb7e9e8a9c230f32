"""The main job on real input: what workers record is what PromQL answers, exactly, whatever ends in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from servers import Exporter, Prometheus, end, exporter, prometheus, wait_for

from genai_metrics.catalog import BLOCK_KINDS
from genai_stack import REPOSITORY
from replay.recorded import read_csv
from replay.synthetic import generate
from replay.workloads import Request, expected_cost, totals

WORKERS = 4
RECORDED = REPOSITORY.parent / "shared" / "data" / "agentic-sessions" / "requests.csv.gz"
WORKLOADS = {
    "synthetic": (["--workload", "synthetic", "--requests", "8000", "--seed", "7"], lambda: generate(8000, seed=7)),
    "recorded": (["--workload", "csv", "--file", str(RECORDED)], lambda: read_csv(RECORDED)),
}


def as_in_another_container() -> list[str]:
    """Return a command prefix that gives a process a pid namespace of its own, where it is process 1."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    return ["unshare", *user, "--pid", "--fork", "--kill-child", "--mount-proc"]


class Worker:
    """One replaying process; ``done`` blocks until so many of its rows are recorded."""

    def __init__(self, metrics_dir: Path, service: str, shard: int, options: list[str], prefix: list[str]) -> None:
        command = [
            *(*prefix, sys.executable, "-m", "replay", *options, "--metrics-dir", str(metrics_dir)),
            *("--service", service, "--speed", "0", "--shard", f"{shard}/{WORKERS}", "--acknowledge"),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def done(self, rows: int) -> None:
        """Wait until ``rows`` rows have been acknowledged."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if int(line) >= rows:
                return
        raise AssertionError(f"the worker ended with status {self.process.wait()} before row {rows}")

    def close(self) -> None:
        """Kill the process if it still runs."""
        end(self.process, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(params=[name for name in WORKLOADS if name != "recorded" or RECORDED.exists()])
def workload(request: pytest.FixtureRequest) -> tuple[list[str], list[Request]]:
    """Options of the replay and the requests that it replays; the recorded ones where they are present."""
    options, read = WORKLOADS[request.param]
    return options, read()


@pytest.fixture(params=["same pid namespace", "other pid namespaces"])
def prefix(request: pytest.FixtureRequest) -> list[str]:
    """Command prefix of the workers: as beside the exporter, and as in containers of their own."""
    return as_in_another_container() if request.param.startswith("other") else []


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[Exporter, Prometheus]]:
    """A real exporter over ``tmp_path/metrics`` and a real Prometheus that scrapes it every second."""
    metrics_dir = tmp_path / "metrics"
    metrics_dir.mkdir(mode=0o700)
    with (
        exporter(metrics_dir, "--born-at-zero-seconds", "3") as server,
        prometheus(tmp_path / "prometheus", {"genai-exporter": server.port}) as database,
    ):
        yield server, database


def test_promql_returns_the_workload_exactly(
    workload: tuple[list[str], list[Request]],
    prefix: list[str],
    servers: tuple[Exporter, Prometheus],
    tmp_path: Path,
) -> None:
    """Four workers of two services, one killed and replaced, an exporter stopped and killed: every sum is exact."""
    options, requests = workload
    server, database = servers
    expected = totals(requests)
    rows_of_first = len(requests[0::WORKERS])
    cut = rows_of_first // 3
    metrics_dir = tmp_path / "metrics"

    with ExitStack() as cleanup:

        def start(shard: int, *more: str) -> Worker:
            service = "chat" if shard < 2 else "batch"
            worker = Worker(metrics_dir, service, shard, [*options, *more], prefix)
            cleanup.callback(worker.close)
            return worker

        # The first worker records a third of its rows and is killed; another one replays its rest.
        first = start(0, "--hold-after", str(cut))
        others = [start(shard) for shard in (1, 2, 3)]
        first.done(cut)
        seen_alive = wait_for("first worker in Prometheus", lambda: database.value("sum(genai_llm_calls_total) > 0"))
        assert end(first.process, signal.SIGKILL) != 0
        assert server.restart(signal.SIGTERM) == 0
        replacement = start(0, "--skip", str(cut))
        for shard, worker in zip((1, 2, 3, 0), (*others, replacement), strict=True):
            worker.done(len(requests[shard::WORKERS]))
            assert worker.process.wait(60) == 0
        # Everybody has ended: what is left lies in the archive, or in files about to be folded.
        assert server.restart(signal.SIGKILL) == -signal.SIGKILL

        def sums(metric: str) -> dict[str, float]:
            return {key[0]: value for key, value in database.query(f"sum by (model) ({metric})").items()}

        calls = {model: float(total.calls) for model, total in expected.items()}
        wait_for("all calls in Prometheus", lambda: sums("genai_llm_calls_total") == calls)
        # A tenant whose first request came last is shown as zero for a while yet: it is born at zero.
        tenants = "sum(genai_tenant_requests_total)"
        wait_for("all tenants in Prometheus", lambda: database.value(tenants) == len(requests))

    assert 0 < seen_alive <= len(requests)
    for metric, field in {
        "genai_llm_input_tokens_total": "input_tokens",
        "genai_llm_output_tokens_total": "output_tokens",
        "genai_llm_cache_read_input_tokens_total": "cache_read_tokens",
    }.items():
        assert {model: float(getattr(total, field)) for model, total in expected.items()} == sums(metric)
    assert {model: float(t.errors) for model, t in expected.items() if t.errors} == sums("genai_llm_errors_total")

    costs = {model: float(cost) for model, cost in expected_cost(requests).items()}
    assert sums("genai_llm_cost_usd_total") == pytest.approx(costs, rel=1e-9, abs=0)
    assert database.value("sum(genai_tenant_cost_usd_total)") == pytest.approx(sum(costs.values()), rel=1e-9)
    assert database.value("sum(genai_llm_unpriced_calls_total)") in (None, 0.0)

    durations = [request.duration for request in requests if request.duration is not None]
    assert database.value("sum(genai_llm_call_duration_seconds_count)") == len(durations)
    assert database.value("sum(genai_llm_call_duration_seconds_sum)") == pytest.approx(sum(durations), rel=1e-9)
    by_service = {
        "chat": len(requests[0::WORKERS]) + len(requests[1::WORKERS]),
        "batch": len(requests[2::WORKERS]) + len(requests[3::WORKERS]),
    }
    assert {(name,): float(n) for name, n in by_service.items()} == database.query(
        "sum by (service) (genai_llm_calls_total)"
    )
    assert_no_resets(database)
    assert not list(metrics_dir.glob("*.blocks"))
    # Five files: four workers and the one that was killed.
    assert database.value('genai_exporter_files{state="folded"}') == 5.0


def assert_no_resets(database: Prometheus) -> None:
    """No counter of any application ever went back, over the whole run."""
    names = [
        f"{metric.name}{suffix}"
        for kind in BLOCK_KINDS
        for metric in kind.metrics
        for suffix in (("_bucket", "_count", "_sum") if metric.type == "histogram" else ("",))
        if metric.type != "gauge"
    ]
    present = [name for name in names if database.query(name)]
    assert len(present) > 15
    assert {name: database.query(f"resets({name}[1h]) > 0") for name in present} == {name: {} for name in present}
