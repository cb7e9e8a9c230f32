"""Tests of the demo's service as its users see it, and of what it records: two workers, a fake LLM server."""

import http.client
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fake_llm_process import FakeLlm
from rag_service_process import RagService, Scrape, fresh, quick_llm, rag_service
from servers import get, wait_for

from genai_metrics.catalog import BLOCK_KINDS

WEIGHT = "How much does the Heron 2 tent weigh?"
ORDER = "Where is my order F-20417?"
REPORT = "Summarise the study of batteries."

QUESTIONS = {"1": WEIGHT, "2": WEIGHT, "3": ORDER, "4": REPORT}
"""A question for each mode."""

ONLY_WHEN_WRONG = {
    "genai_llm_unpriced_calls_total": "the fault unknown_model",
    "genai_label_overflow_total": "more tenants than there may be",
    "genai_recorder_faults_total": "a mistake in the service",
}
"""Metrics that a healthy service has no series of, and what would make one."""

LATER = {"genai_cache_invalidations_total", "genai_cache_entry_lifetime_seconds"}
"""Metrics that have data once reports were read again and answers have expired: after minutes."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagService]:
    """A service whose models do not wait."""
    with quick_llm() as llm, rag_service(llm, tmp_path_factory.mktemp("rag")) as running:
        yield running


class TestAnswers:
    """What comes back, and that the service counts the same."""

    @pytest.mark.parametrize(("mode", "question"), QUESTIONS.items())
    def test_says_what_became_of_the_question(self, service: RagService, mode: str, question: str) -> None:
        """An answer of each mode names its sources, its models and its outcome, as the workflow was recorded."""
        with_number = question if mode == "4" else fresh(question)
        answers: list[tuple[int, Any]] = []
        grown = service.grows(lambda: answers.append(service.ask(with_number, mode)))
        status, body = answers[0]
        assert (status, body["outcome"], body["mode"], body["tenant"]) == (200, "success", mode, "acme")
        assert body["text"]
        assert body["sources"]
        assert body["models"]
        assert grown.sum("genai_workflow_duration_seconds_count", mode=mode, outcome="success") == 1

    def test_whoever_opens_the_address_is_told_what_it_is(self, service: RagService) -> None:
        """A page with links that work, and a command that asks this service, as it was addressed."""
        page = get(f"{service.url}/").decode()
        links = re.findall('href="(.+?)"', page)
        assert links == ["faults", "healthz"]
        assert all(get(f"{service.url}/{link}") for link in links)
        assert f"curl -s {service.url.removeprefix('http://')}/ask" in page

    def test_finds_the_document_that_is_meant(self, service: RagService) -> None:
        """Retrieval over the corpus is real: the product's own page is among the sources."""
        # Without a number, as fresh() would add: in so short a question it means as much to the ranking as a word.
        _, body = service.ask("How heavy is the Kiln multi-fuel stove?")
        assert "products-kiln-stove" in body["sources"]
        _, body = service.ask("Summarise the report on the failure of the parcel sorter.", "4")
        assert body["sources"] == ["reports-warehouse-incident"]

    def test_answers_again_from_the_cache(self, service: RagService) -> None:
        """Each worker has the answer after it was asked once; typing does not matter; what it saved is recorded."""
        question = fresh("Is the Squall jacket waterproof?")
        spelt = question.upper().replace(" ", "  ")
        grown = service.grows(lambda: service.ask_many([question] * 20 + [spelt] * 20))
        cached = grown.sum("genai_workflow_duration_seconds_count", outcome="cached", cache="hit")
        assert 20 <= cached < 40
        assert grown.sum("genai_llm_calls_total", outcome="cached", model="gpt-4o-mini") == cached
        assert grown.sum("genai_llm_cost_saved_usd_total", by="response_cache") > 0
        _, body = service.ask(question)
        assert body["text"]

    def test_streams_the_same_answer(self, service: RagService) -> None:
        """Server-sent events: pieces that add up to the answer, then what became of it; the cache streams, too."""
        question = fresh("How do I wash the Vesper?")
        for _ in range(3):
            *pieces, (last, answer) = service.events(question)
            assert last == "done"
            assert {name for name, _ in pieces} == {"piece"}
            assert "".join(data["text"] for _, data in pieces) == answer["text"]

    def test_uses_tools(self, service: RagService) -> None:
        """Agents are chosen by the question, and call the tools they have."""
        # The model draws a tool: of so many runs one that uses each is as good as certain.
        grown = service.grows(lambda: service.ask_many([ORDER, "How much are 3 * 49.90 euros?"] * 40, "3"))
        assert grown.sum("genai_workflow_agent_runs_total", agent="orders") == 40
        assert grown.sum("genai_workflow_agent_runs_total", agent="figures") == 40
        for tool in ("order_status", "delivery_date", "calculator", "unit_converter"):
            assert grown.sum("genai_tool_duration_seconds_count", tool=tool) > 0

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"question": "", "mode": "1"}, "question"),
            ({"question": WEIGHT, "mode": "5"}, "mode"),
            ({"question": WEIGHT, "tenant": ""}, "tenant"),
        ],
    )
    def test_refuses_what_is_no_question(self, service: RagService, body: dict[str, str], field: str) -> None:
        """Status 422 that names the field, and no workflow."""
        answers: list[tuple[int, object]] = []
        grown = service.grows(lambda: answers.append(service.request("POST", "/ask", body)))
        assert answers[0][0] == 422
        assert field in str(answers[0][1])
        assert grown.sum("genai_workflow_duration_seconds_count") == 0

    def test_forgets_an_answer_that_a_user_found_bad(self, service: RagService) -> None:
        """A thumb down takes the answer out of the cache of the worker that hears of it."""
        question = fresh("Can I rent a Ridge 45?")
        service.ask_many([question] * 8)
        said = {"mode": "1", "rating": "down", "satisfaction": 2, "question": question}

        def evicted() -> bool:
            return service.scrape().sum("genai_cache_evictions_total", cache="responses", reason="explicit") > 0

        def complain() -> bool:
            assert service.request("POST", "/feedback", said) == (204, None)
            return evicted()

        grown = service.grows(lambda: wait_for("an eviction", complain))
        assert grown.sum("genai_feedback_total", rating="down") > 0

    def test_counts_missing_documents_where_the_answer_is_to_come_from_them(self, service: RagService) -> None:
        """No text tells how to convert: who answers from texts has less to say, an agent has a tool for it."""
        question = "How many ounces are 1350 grams?"
        told = {mode: service.ask(question, mode)[1] for mode in ("1", "3")}
        assert {mode: (body["sources"], body["degraded"]) for mode, body in told.items()} == {
            "1": ([], ["no_documents"]),
            "3": ([], []),
        }


class TestFailures:
    """Users see a failure as the service counts it."""

    def test_tells_of_a_failure(self, service: RagService) -> None:
        """When all providers fail, the status is 502, and the outcome and the error's type are those recorded."""
        service.llm.set_fault("error_burst", share=1.0)
        try:
            answers = []
            grown = service.grows(lambda: answers.append(service.ask(fresh(WEIGHT))))
            events = service.events(fresh(WEIGHT))
        finally:
            service.llm.stop_faults()
        status, body = answers[0]
        assert (status, body["outcome"]) == (502, "error")
        assert grown.sum("genai_workflow_errors_total", error_type=body["error_type"]) == 1
        assert events[-1][0] == "error"
        assert events[-1][1]["error_type"] == body["error_type"]

    def test_counts_a_user_who_leaves_as_no_failure(self, service: RagService) -> None:
        """A stream that is left in the middle ends the call and is told as a warning."""

        def grown() -> Scrape:
            return service.scrape().since(before)

        before = service.scrape()
        with service.real_time(token_seconds=5.0):
            leave_early(service.url)
            wait_for("the warning", lambda: grown().sum("genai_warnings_total", kind="user_left") == 1)
        assert grown().sum("genai_workflow_duration_seconds_count", outcome="error") == 0
        assert grown().sum("genai_llm_estimated_usage_calls_total", model="gpt-4o-mini") == 1
        wait_for("an end of all calls", lambda: service.scrape().sum("genai_llm_calls_in_flight") == 0)

    def test_fails_by_itself_as_often_as_told(self, llm: FakeLlm, tmp_path: Path) -> None:
        """All retrievals, and agents that may call the model once: most of them want a tool first."""
        with rag_service(llm, tmp_path, "--errors", "1", "--agent-steps", "1", workers=1) as service:
            status, body = service.ask(fresh(WEIGHT))
            assert (status, body["sources"], body["degraded"]) == (200, [], ["no_documents"])
            assert service.ask_many([fresh(ORDER) for _ in range(16)], "3")["error"] > 0
            found = service.scrape()
        assert found.sum("genai_workflow_errors_total", mode="3", error_type="AgentGaveUp") > 0
        of_retrievals = "genai_retrieval_duration_seconds_count"
        assert found.sum(of_retrievals, outcome="error") == found.sum(of_retrievals) == 34


class TestWorkers:
    """Several processes that are one service."""

    def test_replaces_a_worker_that_is_killed(self, service: RagService) -> None:
        """After SIGKILL there are two workers again, and nothing that was counted is lost."""
        before, counted = service.workers(), service.scrape()
        os.kill(min(before), signal.SIGKILL)
        wait_for("another worker", lambda: len(service.workers() - before) == 1)
        wait_for("two that record", lambda: service.scrape().sum("genai_processes") == 2)
        name = "genai_workflow_duration_seconds_count"
        assert service.scrape().sum(name) == counted.sum(name)
        assert service.ask_many([fresh(WEIGHT) for _ in range(8)]) == {"success": 8}

    def test_ends_on_sigterm(self, llm: FakeLlm, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """With status 0 and without a word, its workers with it, and the port is free again."""
        with rag_service(llm, tmp_path, workers=1) as other:
            workers = other.workers()
            other.process.send_signal(signal.SIGTERM)
            assert other.process.wait(30) == 0
            assert capfd.readouterr().err == ""
            assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", urlsplit(other.url).port))


class TestMetrics:
    """What is recorded."""

    def test_has_data_for_every_metric(self, service: RagService) -> None:
        """A short run fills every metric that an application has, but for those that tell of mistakes."""
        kinds = {metric for kind in BLOCK_KINDS for metric in kind.metrics}
        # Gauges of what goes on at the moment are there, and 0 in between.
        moments = {metric.name for metric in kinds if metric.type == "gauge"}
        wanted = {metric.name for metric in kinds} - ONLY_WHEN_WRONG.keys() - moments - LATER

        def complete() -> bool:
            for mode, question in QUESTIONS.items():
                service.ask_many([fresh(question) for _ in range(20)], mode, priority="critical")
            service.ask_many([WEIGHT] * 4)
            service.request("POST", "/feedback", {"rating": "down", "satisfaction": 4, "question": WEIGHT})
            found = service.scrape().names()
            return not {name for name in wanted if not found & {name, f"{name}_count"}}

        with service.real_time():
            leave_early(service.url)
        service.llm.set_fault("error_burst", share=0.05)
        try:
            wait_for("all metrics", complete)
        finally:
            service.llm.stop_faults()
        text = service.exporter.scrape()
        assert [name for name in sorted(moments) if f"\n{name}{{" not in text] == []
        assert service.scrape().sum("genai_recorder_faults_total") == 0
        assert service.scrape().sum("genai_label_overflow_total") == 0

    def test_agrees_with_the_providers_ledger(self, service: RagService) -> None:
        """Calls and tokens of each model equal what the fake server has billed."""
        service.settle()
        service.llm.clear()
        before = service.scrape()
        for mode, question in QUESTIONS.items():
            service.ask_many([fresh(question) for _ in range(12)], mode)
        for _ in range(4):
            service.events(fresh(WEIGHT))
        accounts, found = service.settle(), service.scrape().since(before)
        assert len(accounts) >= 4
        for name, account in accounts.items():
            provider, _, model = name.partition("/")
            of_model = {"provider": provider, "model": model}
            assert found.sum("genai_llm_calls_total", outcome="success", **of_model) == account["succeeded"]
            for metric, tokens in (
                ("genai_llm_input_tokens_total", "input_tokens"),
                ("genai_llm_output_tokens_total", "output_tokens"),
                ("genai_llm_cache_read_input_tokens_total", "cache_read_tokens"),
                ("genai_llm_cache_write_input_tokens_total", "cache_write_tokens"),
                ("genai_llm_reasoning_output_tokens_total", "reasoning_tokens"),
            ):
                assert found.sum(metric, **of_model) == account[tokens], f"{metric} of {name}"

    def test_records_nothing_without_instrumentation(self, llm: FakeLlm, tmp_path: Path) -> None:
        """The same answers, and no file in the metrics directory."""
        with rag_service(llm, tmp_path, "--no-metrics", workers=1) as service:
            for mode, question in QUESTIONS.items():
                assert service.ask_many([question] * 4, mode).keys() <= {"success", "cached"}
            assert list((tmp_path / "metrics").glob("*.blocks")) == []


def leave_early(url: str) -> None:
    """Ask for a stream and go away after its first piece."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    body = json.dumps({"question": fresh(WEIGHT), "stream": True, "tenant": "acme"})
    connection.request("POST", "/ask", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.readline()
    answer.close()
    connection.close()
