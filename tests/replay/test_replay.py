"""Tests of ``python -m replay`` in real processes: what it records equals the workload."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from genai_metrics.blockfile import decode_key, parse_blocks, parse_header
from genai_metrics.catalog import LLM_CALL, LLM_COST, TENANT_REQUESTS
from replay.recorded import read_csv
from replay.synthetic import generate
from replay.workloads import Request, Totals, expected_cost, totals

CSV = Path(__file__).parents[2].parent / "shared" / "data" / "agentic-sessions" / "requests.csv.gz"
SYNTHETIC = ["--requests", "4000", "--seed", "5"]
WORKLOADS = [SYNTHETIC] + [["--workload", "csv", "--file", str(CSV)]] * CSV.exists()
DEADLINE_SECONDS = 60.0


def command(directory: Path, *arguments: str) -> list[str]:
    """The command line of a replay into the directory."""
    return [sys.executable, "-m", "replay", "--metrics-dir", str(directory), *arguments]


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A replay that runs to its end."""
    return subprocess.run(command(directory, *arguments), capture_output=True, text=True, timeout=DEADLINE_SECONDS)


def sums(directory: Path) -> tuple[dict[str, Totals], dict[str, float], dict[str, float]]:
    """What all block files hold: totals and cost by model, and calls by tenant."""
    by_model: dict[str, Totals] = {}
    cost: dict[str, float] = {}
    tenants: dict[str, float] = {}
    kinds = {kind.layout_id: kind for kind in (LLM_CALL, LLM_COST, TENANT_REQUESTS)}
    for path in sorted(directory.glob("*.blocks")):
        data = path.read_bytes()
        header = parse_header(data)
        for block in parse_blocks(data, header.size, header.used):
            kind = kinds.get(block.layout_id)
            if kind is None:
                continue
            key = dict(zip(kind.labels, decode_key(block.key), strict=True))
            values = memoryview(data)[block.offset : block.offset + 8 * block.slots].cast("d")
            if kind is TENANT_REQUESTS:
                tenants[key["tenant"]] = tenants.get(key["tenant"], 0.0) + values[0]
            elif kind is LLM_COST:
                parts = slice(kind.offset("genai_llm_cost_usd_total"), kind.offset("genai_llm_cost_saved_usd_total"))
                cost[key["model"]] = cost.get(key["model"], 0.0) + sum(values[parts])
            else:
                before = by_model.get(key["model"], Totals())
                calls = int(values[kind.offset("genai_llm_calls_total")])
                by_model[key["model"]] = Totals(
                    before.calls + calls,
                    before.errors + (0 if key["outcome"] == "success" else calls),
                    before.input_tokens + int(values[kind.offset("genai_llm_input_tokens_total")]),
                    before.output_tokens + int(values[kind.offset("genai_llm_output_tokens_total")]),
                    before.cache_read_tokens + int(values[kind.offset("genai_llm_cache_read_input_tokens_total")]),
                )
    return dict(sorted(by_model.items())), cost, tenants


def calls_of(by_model: dict[str, Totals]) -> int:
    """Calls of all models."""
    return sum(model.calls for model in by_model.values())


def requests_of(arguments: list[str]) -> list[Request]:
    """The requests that the arguments of a command stand for."""
    return read_csv(CSV) if "csv" in arguments else generate(4000, seed=5)


def read_until(process: subprocess.Popen[str], wanted: str) -> None:
    """Read lines of a process's output until the wanted one; fails at its end or after the deadline."""
    assert process.stdout is not None
    for line in deadlined(process.stdout):
        if line.strip() == wanted:
            return
    raise AssertionError(f"no line {wanted!r}")


def deadlined(stream: Iterable[str]) -> Iterable[str]:
    """The lines of a stream until the deadline."""
    until = time.monotonic() + DEADLINE_SECONDS
    for line in stream:
        yield line
        if time.monotonic() > until:
            raise AssertionError("deadline passed")


class TestReplay:
    """The command that starts workers and follows them."""

    @pytest.mark.parametrize("arguments", WORKLOADS, ids=["synthetic", "csv"][: len(WORKLOADS)])
    def test_records_exactly_the_workload(self, tmp_path: Path, arguments: list[str]) -> None:
        """Calls and tokens by model and tenant are equal, and cost agrees with genai-prices to 1e-9."""
        requests = requests_of(arguments)
        result = run(tmp_path, *arguments, "--speed", "0", "--processes", "3", "--service", "svc")
        assert (result.returncode, result.stderr) == (0, "")
        by_model, cost, tenants = sums(tmp_path)
        assert totals(requests) == by_model
        expected = {model: float(usd) for model, usd in expected_cost(requests).items()}
        assert cost == pytest.approx(expected, rel=1e-9)
        assert len(requests) == sum(tenants.values())
        assert {request.session for request in requests} == set(tenants)
        assert len(list(tmp_path.glob("svc-*.blocks"))) == 3
        assert f"replayed {len(requests)} calls in 3 processes" in result.stdout
        for model, model_sums in totals(requests).items():
            (line,) = [line for line in result.stdout.splitlines() if line.split()[:1] == [model]]
            numbers = (model_sums.calls, model_sums.errors, model_sums.input_tokens)
            assert [str(number) for number in numbers] == line.split()[1:4]

    def test_ends_all_workers_on_sigterm(self, tmp_path: Path) -> None:
        """An endless replay ends with status 0, and no worker is left that records or holds its file."""
        arguments = (*SYNTHETIC, "--forever", "--speed", "0", "--processes", "2")
        process = subprocess.Popen(command(tmp_path, *arguments), stdout=subprocess.PIPE, text=True)
        # More calls than the workload has: it did start over.
        until = time.monotonic() + DEADLINE_SECONDS
        while calls_of(sums(tmp_path)[0]) <= 4000:
            assert time.monotonic() < until
        process.terminate()
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
        assert f"replayed {calls_of(sums(tmp_path)[0])} calls in 2 processes" in output

    def test_says_how_to_replay_the_rest_of_a_killed_worker(self, tmp_path: Path) -> None:
        """The others go on, the status is 1, and the printed command completes the workload."""
        arguments = (*SYNTHETIC, "--processes", "2", "--speed", "20")
        process = subprocess.Popen(command(tmp_path, *arguments), stdout=subprocess.PIPE, text=True)
        until = time.monotonic() + DEADLINE_SECONDS
        while len(files := list(tmp_path.glob("*.blocks"))) < 2 or calls_of(sums(tmp_path)[0]) < 10:
            assert time.monotonic() < until
        os.kill(parse_header(files[0].read_bytes()).pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 1
        (line,) = [line for line in output.splitlines() if "killed by signal 9" in line]
        assert calls_of(sums(tmp_path)[0]) < 4000
        rest = line.partition("to replay the rest: ")[2].replace("--speed 20", "--speed 0").split()
        assert subprocess.run(rest, timeout=DEADLINE_SECONDS).returncode == 0
        assert calls_of(sums(tmp_path)[0]) in (4000, 4001)  # one call may have been in doubt


class TestWorker:
    """One worker, as a test drives it."""

    def test_resumes_exactly_where_a_killed_worker_was_held(self, tmp_path: Path) -> None:
        """Killed while it holds, no call is in doubt: with the rest replayed, every sum is exact."""
        fast = (*SYNTHETIC, "--speed", "0")
        held = command(tmp_path, *fast, "--shard", "1/2", "--acknowledge", "--hold-after", "700")
        process = subprocess.Popen(held, stdout=subprocess.PIPE, text=True)
        read_until(process, "700")
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)
        assert calls_of(sums(tmp_path)[0]) == 700
        assert run(tmp_path, *fast, "--shard", "0/2").returncode == 0
        assert run(tmp_path, *fast, "--shard", "1/2", "--skip", "700").returncode == 0
        assert totals(generate(4000, seed=5)) == sums(tmp_path)[0]

    def test_has_recorded_what_it_acknowledged_and_at_most_one_call_more(self, tmp_path: Path) -> None:
        """Killed at any moment: the last acknowledged number is the recorded one, or one less."""
        for attempt in range(5):
            directory = tmp_path / str(attempt)
            arguments = (*SYNTHETIC, "--speed", "0", "--shard", "0/1", "--acknowledge")
            process = subprocess.Popen(command(directory, *arguments), stdout=subprocess.PIPE, text=True)
            read_until(process, str(100 * (attempt + 1)))
            process.kill()
            assert process.stdout is not None
            # Not communicate(): it would lose what the text layer has read ahead.
            acknowledged = int([str(100 * (attempt + 1)), *process.stdout.read().split()][-1])
            process.stdout.close()
            process.wait(timeout=DEADLINE_SECONDS)
            assert calls_of(sums(directory)[0]) - acknowledged in (0, 1)

    def test_goes_on_at_once_with_the_first_row_that_was_not_skipped(self, tmp_path: Path) -> None:
        """At real-time speed a resumed worker does not wait out the two minutes of the skipped rows."""
        arguments = (*SYNTHETIC, "--shard", "0/1", "--skip", "3990")
        assert run(tmp_path, *arguments).returncode == 0
        assert calls_of(sums(tmp_path)[0]) == 10

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_ends_on_a_signal_while_it_waits(self, tmp_path: Path, number: int) -> None:
        """A worker that holds, or waits for its next row, ends with status 0."""
        for arguments in (("--hold-after", "5", "--speed", "0"), ("--speed", "0.0001")):
            waiting = command(tmp_path, *SYNTHETIC, "--shard", "0/1", "--acknowledge", *arguments)
            process = subprocess.Popen(waiting, stdout=subprocess.PIPE, text=True)
            if "--hold-after" in arguments:
                read_until(process, "5")
            else:  # its handlers are set before it makes its file
                until = time.monotonic() + DEADLINE_SECONDS
                while not list(tmp_path.glob(f"*-{process.pid}-*.blocks")):
                    assert time.monotonic() < until
                    assert process.poll() is None
            process.send_signal(number)
            process.communicate(timeout=DEADLINE_SECONDS)
            assert process.returncode == 0

    def test_ends_when_nobody_reads_its_acknowledgements(self, tmp_path: Path) -> None:
        """A worker does not outlive the supervisor, and says nothing about it."""
        arguments = (*SYNTHETIC, "--shard", "0/1", "--acknowledge", "--forever", "--speed", "0")
        process = subprocess.Popen(command(tmp_path, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=DEADLINE_SECONDS) == 1
        process.stderr.close()


class TestCommandLine:
    """Errors say what is wrong and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--workload", "csv"], "--workload csv needs --file PATH"),
            (
                ["--workload", "csv", "--file", "/nowhere/x.csv"],
                "/nowhere/x.csv: cannot be read: No such file",
            ),
            (["--file", "x.csv"], "leave out --file"),
            (["--skip", "3"], "add --shard I/N"),
            (["--shard", "4/4"], "'4/4' is not a shard; write i/n with 0 <= i < n"),
            (["--shard", "0/4", "--requests", "8", "--skip", "3"], "3 of 2 rows; the shard has no more"),
            (["--speed", "-1"], "--speed"),
        ],
    )
    def test_names_the_argument_and_the_remedy(self, tmp_path: Path, arguments: list[str], message: str) -> None:
        """No traceback, a status above 0, and nothing recorded."""
        result = run(tmp_path, *arguments)
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert result.returncode > 0
        assert list(tmp_path.iterdir()) == []

    def test_needs_a_metrics_directory(self, tmp_path: Path) -> None:
        """Without one, nobody would ever see the calls."""
        environment = {name: value for name, value in os.environ.items() if name != "GENAI_METRICS_DIR"}
        arguments = [sys.executable, "-m", "replay"]
        result = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
        assert result.returncode == 2
        assert "no metrics directory: give --metrics-dir DIR" in result.stderr

    def test_takes_the_metrics_directory_from_the_environment(self, tmp_path: Path) -> None:
        """GENAI_METRICS_DIR is what applications use too; workers are given it."""
        environment = {**os.environ, "GENAI_METRICS_DIR": str(tmp_path / "new")}
        arguments = [sys.executable, "-m", "replay", "--requests", "20", "--speed", "0"]
        result = subprocess.run(arguments, env=environment, capture_output=True, timeout=DEADLINE_SECONDS)
        assert result.returncode == 0
        assert calls_of(sums(tmp_path / "new")[0]) == 20
