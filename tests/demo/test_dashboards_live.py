"""Every query of every panel, asked of a real Prometheus that watches the demo: none is dead, all are in range."""

import json
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from committed import BOARDS, Panel, panels
from fake_llm_process import fake_llm
from rag_service_process import rag_service
from servers import Prometheus, get, prometheus, wait_for

from genai_metrics import catalog
from genai_stack import REPOSITORY

FAULTS = (
    *("unknown_model", "tool_failures", "retrieval_failures", "degradation", "rate_limited", "error_burst"),
    *("eviction_storm", "cache_too_small"),
)
"""What the demo goes through, so that panels of failures have something to show."""

ABSENT = {
    "no last week": {
        ("cache", "Hit rate over time", "B"),
        ("cost", "Cost of 24 hours against last week", "B"),
        ("cost", "Cost per hour against usual", "B"),
    },
    "no GPU": {
        *(("health", "GPU power", ref) for ref in "AB"),
        *(("health", "GPU errors", ref) for ref in "ABC"),
        *(
            ("health", title, "A")
            for title in (
                *("GPU utilization", "GPU memory in use", "GPU temperature"),
                *("GPU throttling by reason", "GPU memory by process"),
            )
        ),
    },
    "no container with a CPU quota": {("health", "CPU quota used up", "A")},
    "no blackbox exporter": {("health", "Dependencies", "B")},
    "no tenant has a budget": {("cost", "Most expensive tenants", "G")},
    "nothing fires yet": {("health", "Alerts that fire now", ref) for ref in "AB"},
    "no label is at its cap": {("health", "Label values beyond the cap", "B")},
    "the models report their usage": {("cost", "Cost by model, in figures", "E")},
    "retries and fallbacks may have saved every workflow": {("health", "Errors by type", "B")},
}
"""Queries whose subject the demo does not have here, by reason."""

_SHORT = {"genai": "genai", "more": "0ms"}  # values of the hidden variables over a short time range

Query = tuple[str, str, str]
"""Topic, title and letter."""


@dataclass(frozen=True)
class Watched:
    """The demo after its work: a Prometheus that has seen it, and what the models have billed."""

    server: Prometheus
    billed_usd: float

    def ask(self, expression: str, at: float | None = None, **selected: str) -> list[dict[str, Any]]:
        """Result of a panel's query, now or at a Unix time; ``selected`` are values of variables, else all."""
        values = {
            "__rate_interval": "2m",
            "__range": "4m",
            "__range_s": "240",
            "__interval": "15s",
            **_SHORT,
            **selected,
        }
        filled = re.sub(r"\$\{?(\w+)\}?", lambda name: values.get(name[1], ".+"), expression)
        asked = {"query": filled} if at is None else {"query": filled, "time": str(at)}
        body = get(f"{self.server.url}/api/v1/query?{urllib.parse.urlencode(asked)}")
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result


def queries() -> Iterator[tuple[Query, Panel, str]]:
    """Yield every query with its panel."""
    for panel in panels():
        for target in panel.content["targets"]:
            yield (panel.topic, panel.title, target["refId"]), panel, target["expr"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Let people ask the demo for a while, with faults; Prometheus evaluates the rules of the bundle."""
    folder = tmp_path_factory.mktemp("watched")
    rules = f"rule_files: [{REPOSITORY}/prometheus/rules/*.yml]\n"
    with (
        fake_llm("--speed", "5", "--errors", "0.02", "--price-notes") as llm,
        rag_service(llm, folder / "rag", born_at_zero_seconds=3) as service,
        prometheus(folder / "prometheus", {"genai-exporter": service.exporter.port}, config=rules) as server,
    ):
        command = [sys.executable, "-m", "load_scenarios", "baseline", "--host", service.url, "--users", "100"]
        with subprocess.Popen([*command, "--duration", "45s"], stdout=subprocess.DEVNULL) as load:
            asked = f"sum({catalog.WORKFLOW.metrics[0].name}_count)"
            for number, fault in enumerate(FAULTS):
                # Between two faults the service works as usual for a few requests.
                wait_for(fault, lambda least=20 * number + 20: (server.value(asked) or 0) >= least or load.poll() == 0)
                service.start_fault(fault, seconds=6 if fault == "eviction_storm" else 3)
            assert load.wait(timeout=200) == 0
        billed = sum(account["cost_usd"] for account in service.settle().values())
        # Everything is shown with its value, and the rules have seen all of it.
        for spent in (catalog.LLM_COST.metrics[0].name, "instance_service_mode_part:genai_llm_cost_usd_total:sum"):
            wait_for(spent, lambda spent=spent: (server.value(f"sum({spent})") or 0) >= billed * 0.999)
        yield Watched(server, billed)


def test_no_query_is_dead(watched: Watched) -> None:
    """Each returns data, but for those whose subject is absent; a dead one is named."""
    dead = {query for query, _, expression in queries() if not watched.ask(expression)}
    assert dead - set().union(*ABSENT.values()) == set()


def test_absences_are_of_panels_that_exist() -> None:
    """The list above names no panel that was renamed or removed."""
    assert set().union(*ABSENT.values()) <= {query for query, _, _ in queries()}


def test_values_are_in_the_range_of_their_unit(watched: Watched) -> None:
    """Shares are 0 to 1; nothing that has no negative values has any."""
    wrong = []
    for query, panel, expression in queries():
        defaults = panel.defaults
        unit, low, high = defaults.get("unit"), defaults.get("min"), defaults.get("max")
        if unit == "percentunit" and low == 0:
            high = 1 if high is None else high
        for sample in watched.ask(expression):
            value = float(sample["value"][1])
            if (low is not None and value < low - 1e-9) or (high is not None and value > high + 1e-9):
                wrong.append((query, sample["metric"], value))
    assert wrong == []


@pytest.mark.parametrize("selected", [{"service": "rag"}, {"mode": "1"}, {"service": "rag", "mode": "1|2"}])
def test_variables_select(watched: Watched, selected: dict[str, str]) -> None:
    """With some values chosen every query still works, and returns at most what it returns for all."""
    for query, _, expression in queries():
        chosen, everything = watched.ask(expression, **selected), watched.ask(expression)
        assert len(chosen) <= len(everything), query


def test_variables_have_values(watched: Watched) -> None:
    """Each variable's query finds what can be chosen."""
    for topic, board in BOARDS.items():
        for variable in board["templating"]["list"]:
            if variable["type"] != "query" or variable.get("hide"):
                continue
            text = variable["query"]["query"] if isinstance(variable["query"], dict) else variable["query"]
            found = re.fullmatch(r"label_values\((.*), (\w+)\)", text)
            assert found, text
            matcher = re.sub(r"\$\{?(\w+)\}?", ".+", found[1])
            query = urllib.parse.urlencode({"match[]": matcher})
            body = get(f"{watched.server.url}/api/v1/label/{found[2]}/values?{query}")
            assert json.loads(body)["data"], (topic, variable["name"])


def test_the_cost_is_what_the_models_billed(watched: Watched) -> None:
    """The dashboard's total over the whole run is the workload's own sum, within 1 %."""
    (expression,) = (expression for (topic, title, _), _, expression in queries() if (topic, title) == ("cost", "Cost"))
    # At the moment of the last sample: after it `increase` extrapolates, which is much for a load of a minute.
    last = watched.server.query("timestamp(instance_service_mode_part:genai_llm_cost_usd_total:sum)")
    (total,) = watched.ask(expression, at=max(last.values()), __range="1h")
    assert float(total["value"][1]) == pytest.approx(watched.billed_usd, rel=0.01)
