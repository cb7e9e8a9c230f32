"""Faults as they are listed, started and stopped; what comes of each is in test_fault_matrix_*.py."""

import time
from collections.abc import Iterator

import pytest
from rag_service_process import RagService, fresh, quick_llm, rag_service
from servers import wait_for

from rag_service.faults import CATALOGUE

QUESTION = "How much does the Heron 2 tent weigh?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagService]:
    """A service whose models hardly wait."""
    with quick_llm() as llm, rag_service(llm, tmp_path_factory.mktemp("rag")) as running:
        yield running


class TestLatency:
    """A fault that the LLM server is told to provoke."""

    def test_tells_the_llm_server(self, service: RagService) -> None:
        """Of the factor, until the time that the service names; and of its end."""
        service.start_fault("latency", 600)
        try:
            found = {fault["name"]: fault for fault in service.llm.request("GET", "/faults")}["latency"]
            assert found["parameters"]["factor"] == CATALOGUE["latency"].parameters["factor"] == 5
            listed = {fault["name"]: fault for fault in service.request("GET", "/faults")[1]}["latency"]
            assert abs(listed["active_until"] - time.time() - found["seconds_left"]) < 60
        finally:
            service.stop_fault("latency")
        assert not {fault["name"]: fault for fault in service.llm.request("GET", "/faults")}["latency"]["active"]


class TestWorkerKilled:
    """The fault whose point is that nothing shows."""

    def test_loses_nothing(self, service: RagService) -> None:
        """One worker dies and is replaced; no count falls, and later ones are added to it."""
        before, workers = service.scrape(), service.workers()
        service.start_fault("worker_killed")
        wait_for("another worker", lambda: len(service.workers() - workers) == 1)
        wait_for("two that record", lambda: service.scrape().sum("genai_processes") == 2)
        assert service.ask_many([fresh(QUESTION) for _ in range(16)]) == {"success": 16}
        grown = service.scrape().since(before)
        assert grown.sum("genai_workflow_duration_seconds_count", outcome="success") == 16
        assert [
            key for key, value in grown.samples.items() if value < 0 and key[0].endswith(("_total", "_count"))
        ] == []


class TestList:
    """What the service says of its faults."""

    def test_lists_all_with_their_alerts(self, service: RagService) -> None:
        """All of the catalogue; none is on."""
        status, listed = service.request("GET", "/faults")
        assert status == 200
        assert [fault["name"] for fault in listed] == list(CATALOGUE)
        alerts = {fault["name"]: (fault["alert"], set(fault["follows"])) for fault in listed}
        assert alerts["retrieval_failures"] == ("GenAIRetrievalFailureRate", {"GenAIHighDegradationRate"})
        assert alerts["cache_cleared"] == ("GenAILowCacheHitRate/GenAICacheHitRateCollapsed", set())

        def is_quiet() -> bool:
            return not [fault for fault in service.request("GET", "/faults")[1] if fault["active_until"]]

        wait_for("no fault that is on", is_quiet)

    def test_pauses_the_load_for_a_while(self, service: RagService) -> None:
        """The fault no_traffic is only said; it ends by itself."""

        def until() -> float | None:
            _, listed = service.request("GET", "/faults")
            found: float | None = next(fault["active_until"] for fault in listed if fault["name"] == "no_traffic")
            return found

        began = time.time()
        service.start_fault("no_traffic", 2)
        said = wait_for("the fault", until)
        assert began < said < time.time() + 2
        wait_for("its end", lambda: until() is None)

    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            ({"name": "earthquake", "for_seconds": 60}, 404, "there are latency, error_burst"),
            ({"name": "exporter_down", "for_seconds": 60}, 409, "genai-exporter demo fault exporter_down"),
            ({"name": "latency", "for_seconds": 0}, 422, "for_seconds"),
            ({"name": "latency"}, 422, "for_seconds"),
        ],
    )
    def test_refuses_with_the_remedy(
        self, service: RagService, body: dict[str, object], status: int, said: str
    ) -> None:
        """A fault that is none, that is not the service's, or that is to last for no time."""
        found, answer = service.request("POST", "/faults", body)
        assert found == status
        assert said in str(answer)
