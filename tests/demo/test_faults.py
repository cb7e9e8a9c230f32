"""Each fault changes the series that it should, about as much as asked, and they recover: two workers, real scrapes."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from rag_service_process import RagService, Scrape, fresh, quick_llm, rag_service
from servers import wait_for

from rag_service.faults import CATALOGUE

QUESTION = "How much does the Heron 2 tent weigh?"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RagService]:
    """A service whose models hardly wait."""
    with quick_llm() as llm, rag_service(llm, tmp_path_factory.mktemp("rag")) as running:
        yield running


@dataclass(frozen=True)
class Effect:
    """A fault, how it is looked for, and what is measured of what grew meanwhile: when quiet, and when it is on."""

    fault: str
    measure: Callable[[Scrape], float]
    quiet: tuple[float, float]
    on: tuple[float, float]
    mode: str = "1"
    asks: int = 40
    again: bool = False
    """Whether the same questions are asked each time."""


def share(part: float, whole: float) -> float:
    """A ratio; 0 of nothing is 0."""
    return part / whole if whole else 0.0


def of(name: str, **labels: str) -> Callable[[Scrape], float]:
    """The sum of some series."""
    return lambda grown: grown.sum(name, **labels)


def ratio(part: Callable[[Scrape], float], whole: Callable[[Scrape], float]) -> Callable[[Scrape], float]:
    """A share of one sum in another."""
    return lambda grown: share(part(grown), whole(grown))


CALLS = of("genai_llm_calls_total", mode="1")
WORKFLOWS = of("genai_workflow_duration_seconds_count", mode="1")
RETRIEVALS = "genai_retrieval_duration_seconds_count"
TOOLS = "genai_tool_duration_seconds_count"

EFFECTS = [
    Effect("error_burst", ratio(of("genai_llm_errors_total", error_type="500"), CALLS), (0, 0), (0.3, 0.8), asks=16),
    Effect("rate_limited", ratio(of("genai_llm_errors_total", error_type="429"), CALLS), (0, 0), (0.2, 0.7), asks=16),
    Effect(
        "provider_down",
        ratio(
            of("genai_llm_calls_total", provider="openai", outcome="error"),
            of("genai_llm_calls_total", provider="openai"),
        ),
        (0, 0),
        (1, 1),
        asks=16,
    ),
    Effect(
        "quality_drop",
        ratio(of("genai_quality_score_sum", mode="2"), of("genai_quality_score_count", mode="2")),
        (0.78, 0.92),
        (0.35, 0.65),
        mode="2",
    ),
    Effect(
        "cost_spike",
        ratio(of("genai_llm_cost_usd_total", mode="1"), WORKFLOWS),
        (0.00005, 0.0005),
        (0.001, 0.02),
    ),
    Effect("unknown_model", ratio(of("genai_llm_unpriced_calls_total"), WORKFLOWS), (0, 0), (1, 1)),
    Effect(
        "degradation",
        ratio(of("genai_degradations_total", mode="1", reason="shortened"), WORKFLOWS),
        (0, 0),
        (0.6, 1),
    ),
    Effect("tool_failures", ratio(of(TOOLS, outcome="error"), of(TOOLS)), (0, 0.1), (0.3, 0.7), mode="3", asks=60),
    Effect("retrieval_failures", ratio(of(RETRIEVALS, outcome="error"), of(RETRIEVALS)), (0, 0.06), (0.15, 0.45)),
    Effect(
        "cache_cleared",
        of("genai_cache_invalidations_total", cache="responses"),
        (0, 0),
        (2, 1000),
    ),
    Effect(
        "dependency_down",
        ratio(of("genai_degradations_total", mode="1", reason="keyword_search"), WORKFLOWS),
        (0, 0),
        (1, 1),
    ),
]

GAUGES: dict[str, tuple[Callable[[Scrape], float], tuple[float, float], tuple[float, float]]] = {
    "pool_exhausted": (
        ratio(of("genai_pool_connections", state="active"), of("genai_pool_size")),
        (0, 0),
        (0.95, 0.95),
    ),
    "cache_too_small": (
        ratio(of("genai_cache_entries", cache="responses"), of("genai_cache_capacity_entries", cache="responses")),
        (0, 0.5),
        (1, 1),
    ),
    "dependency_down": (of("genai_dependency_up", dependency="vector_store"), (1, 1), (0, 0)),
}
"""Faults that gauges show: what is measured, when quiet, when on."""


def within(value: float, limits: tuple[float, float]) -> bool:
    """Whether a value is within limits, both included, but for rounding."""
    return limits[0] - 1e-9 <= value <= limits[1] + 1e-9


class TestEffects:
    """What requests meet while a fault is on."""

    @pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.fault)
    def test_shows_and_recovers(self, service: RagService, effect: Effect) -> None:
        """The measure is quiet, then as asked, then quiet again; other workers than the one told know of it, too."""
        measured: list[float] = []

        def reaches(limits: tuple[float, float]) -> bool:
            # Workers look at the state now and then: what is asked right after a change may not see it yet.
            questions = [fresh(QUESTION) for _ in range(effect.asks)]
            grown = service.grows(lambda: service.ask_many(questions, effect.mode))
            measured.append(effect.measure(grown))
            return within(measured[-1], limits)

        wait_for(f"quiet {effect.fault}, {measured}", lambda: reaches(effect.quiet))
        service.start_fault(effect.fault)
        try:
            wait_for(f"{effect.fault} on, {measured}", lambda: reaches(effect.on))
        finally:
            service.stop_fault(effect.fault)
        wait_for(f"{effect.fault} over, {measured}", lambda: reaches(effect.quiet))

    def test_latency_makes_workflows_slow(self, service: RagService) -> None:
        """The LLM server is told of the factor, until the time that the service names, and workflows wait for it."""
        mean = ratio(of("genai_workflow_duration_seconds_sum", mode="1"), WORKFLOWS)
        service.start_fault("latency", 600)
        try:
            found = {fault["name"]: fault for fault in service.llm.request("GET", "/faults")}["latency"]
            assert found["parameters"]["factor"] == CATALOGUE["latency"].parameters["factor"] == 5
            listed = {fault["name"]: fault for fault in service.request("GET", "/faults")[1]}["latency"]
            assert abs(listed["active_until"] - time.time() - found["seconds_left"]) < 60
            with service.real_time():
                # Even the fastest model takes longer; a busy machine adds to it.
                assert mean(service.grows(lambda: service.ask_many([fresh(QUESTION) for _ in range(8)]))) > 0.6
        finally:
            service.stop_fault("latency")
        assert not {fault["name"]: fault for fault in service.llm.request("GET", "/faults")}["latency"]["active"]

    @pytest.mark.parametrize("fault", GAUGES)
    def test_shows_in_gauges(self, service: RagService, fault: str) -> None:
        """Gauges say so while the fault is on, with requests or without, and as before afterwards."""
        measure, quiet, on = GAUGES[fault]

        def reaches(limits: tuple[float, float]) -> bool:
            service.ask_many([fresh(QUESTION) for _ in range(16)])
            return within(measure(service.scrape()), limits)

        wait_for(f"quiet {fault}", lambda: reaches(quiet))
        service.start_fault(fault)
        try:
            wait_for(f"{fault} on", lambda: reaches(on))
        finally:
            service.stop_fault(fault)
        wait_for(f"{fault} over", lambda: reaches(quiet))

    def test_eviction_storm_pushes_out_entries_without_any_requests(self, service: RagService) -> None:
        """Entries leave the embedding cache for want of room, for as long as the fault is on."""
        evictions = of("genai_cache_evictions_total", cache="embeddings", reason="capacity")
        before = evictions(service.scrape())
        service.start_fault("eviction_storm")
        try:
            wait_for("100 evictions", lambda: evictions(service.scrape()) - before >= 100)
        finally:
            service.stop_fault("eviction_storm")
        room = of("genai_cache_capacity_entries", cache="embeddings")
        wait_for("the usual room", lambda: room(service.scrape()) > 1000)
        grown = service.grows(lambda: service.ask_many([fresh(QUESTION) for _ in range(16)]))
        assert evictions(grown) == 0

    def test_cleared_cache_has_no_answers(self, service: RagService) -> None:
        """What was answered a second ago is asked of the model again."""
        clears = of("genai_cache_invalidations_total", cache="responses")
        service.start_fault("cache_cleared")
        try:
            for _ in range(3):
                cleared = clears(service.scrape())
                service.ask_many([QUESTION] * 4)
                # By both workers, and once more: each clears at most once a second, but not at the same time.
                wait_for("a clear", lambda before=cleared: clears(service.scrape()) >= before + 6)
                assert service.ask(QUESTION)[1]["outcome"] == "success"
        finally:
            service.stop_fault("cache_cleared")


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
        assert {fault["name"]: fault["alert"] for fault in listed}["latency"] == (
            "GenAIHighLatency/GenAIVeryHighLatency"
        )

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
