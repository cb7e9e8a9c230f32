"""The demo under load: people, the models' own ledger and Prometheus count the same, whatever is killed meanwhile."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_llm_process import fake_llm
from rag_service_process import RagService, rag_service
from servers import Prometheus, prometheus, wait_for

from genai_metrics import catalog

SECONDS = int(os.environ.get("GENAI_DEMO_SECONDS", "15"))
"""Length of each of the two rounds of load; more for a long proof, with pytest's ``--timeout`` to match."""

WORKFLOWS = catalog.WORKFLOW.metrics[0].name
COST = catalog.LLM_COST.metrics[0].name
TOKENS = {
    "input_tokens": "genai_llm_input_tokens_total",
    "output_tokens": "genai_llm_output_tokens_total",
    "cache_read_tokens": "genai_llm_cache_read_input_tokens_total",
    "cache_write_tokens": "genai_llm_cache_write_input_tokens_total",
    "reasoning_tokens": "genai_llm_reasoning_output_tokens_total",
}


def load(service: RagService, folder: Path, seed: int) -> dict[str, Any]:
    """Let people ask for a while; returns what they got."""
    command = [
        *(sys.executable, "-m", "load_scenarios", "baseline", "--host", service.url, "--seed", str(seed)),
        *("--users", "120", "--duration", f"{SECONDS}s", "--report", str(folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 185, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads((folder / "report.json").read_text())["load"]
    return told


def by_model(server: Prometheus, metric: str) -> dict[str, float]:
    """Sum of a counter by ``provider/model``, where it is above 0."""
    # Labels come in the order of their names.
    found = server.query(f"sum by (model, provider) ({metric}) > 0")
    return {f"{provider}/{model}": value for (model, provider), value in found.items()}


def test_everybody_counts_the_same(tmp_path: Path) -> None:
    """Requests, errors, tokens and dollars by model are equal after two rounds of load with a worker killed between."""
    with (
        fake_llm("--speed", "5", "--errors", "0.02", "--seed", "3", "--price-notes") as llm,
        rag_service(llm, tmp_path / "rag") as service,
        prometheus(tmp_path / "prometheus", {"genai-exporter": service.exporter.port}) as server,
    ):
        first = load(service, tmp_path / "first", seed=1)
        service.settle()
        workers = service.workers()
        os.kill(min(workers), signal.SIGKILL)
        wait_for("a new worker", lambda: len(service.workers() - workers) == 1)
        wait_for("workers that record", lambda: service.scrape().sum("genai_processes") == 2)
        second = load(service, tmp_path / "second", seed=2)
        ledger = {model: account for model, account in service.settle().items() if account["requests"]}
        server.wait_for_scrape("genai-exporter")

        asked = {name: first[name] + second[name] for name in ("requests", "failed", "cached", "lost")}
        assert asked["requests"] > 100
        assert asked["cached"] > 0
        assert asked["lost"] == 0
        told = {outcome: count for (outcome,), count in server.query(f"sum by (outcome) ({WORKFLOWS}_count)").items()}
        assert sum(told.values()) == asked["requests"]
        assert told.get("error", 0) == asked["failed"]
        assert told["cached"] == asked["cached"]

        assert all(account["aborted"] == 0 for account in ledger.values())
        for name, metric in TOKENS.items():
            assert by_model(server, metric) == {model: one[name] for model, one in ledger.items() if one[name]}
        assert by_model(server, COST) == pytest.approx(
            {model: one["cost_usd"] for model, one in ledger.items() if one["cost_usd"]}, rel=1e-9
        )
        assert max(server.query(f"resets({WORKFLOWS}_count[1h])").values()) == 0
