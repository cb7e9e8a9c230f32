"""Tests of workflows: what they record, and the context that they give to what runs inside."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import current_run, operation, track_llm_call, track_quality, track_warning, workflow
from genai_metrics.context import EMPTY, current

if TYPE_CHECKING:
    from conftest import Metrics

ENDED = "genai_workflow_duration_seconds_count"
IN_FLIGHT = "genai_workflow_in_flight"
ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.text(),
    st.binary(),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.lists(st.integers()),
    st.just(object),
)


class TestRecords:
    """What a run says of itself."""

    def test_outcomes(self, metrics: "Metrics") -> None:
        """Success, error with its class, an answer from the response cache."""
        with workflow(mode="1"):
            assert metrics.value(IN_FLIGHT, mode="1") == 1
        with suppress(KeyError), workflow(mode="1"):
            raise KeyError
        with workflow(mode="1") as run:
            run.cache_hit()
        with workflow(mode="1") as run:
            run.cache_miss()
        assert metrics.value(ENDED, mode="1", outcome="success", cache="none") == 1
        assert metrics.value(ENDED, mode="1", outcome="success", cache="miss") == 1
        assert metrics.value(ENDED, mode="1", outcome="cached", cache="hit") == 1
        assert metrics.value(ENDED, mode="1", outcome="error", cache="none") == 1
        assert metrics.value("genai_workflow_errors_total", mode="1", error_type="KeyError") == 1
        assert metrics.value(IN_FLIGHT) == 0

    def test_agents_iterations_and_the_rest(self, metrics: "Metrics") -> None:
        """Each method under the run's mode."""
        with workflow(mode="1", agent="support", priority="critical") as run:
            run.iteration()
            run.iteration()
            run.accepted()
            run.accepted(first_pass=False)
            run.first_content()
            run.first_content()
            run.degraded("no_retrieval")
            run.warning("slow")
            run.quality(7, evaluator="judge", scale=10)
        assert metrics.value("genai_workflow_agent_runs_total", agent="support", outcome="success") == 1
        assert metrics.value("genai_workflow_iterations_count", mode="1") == 1
        assert metrics.value("genai_workflow_iterations_sum", mode="1") == 2
        assert metrics.value("genai_workflow_first_pass_total", mode="1", accepted="true") == 1
        assert metrics.value("genai_workflow_first_pass_total", mode="1", accepted="false") == 1
        assert metrics.value("genai_workflow_time_to_first_content_seconds_count", mode="1") == 1
        assert metrics.value("genai_degradations_total", mode="1", reason="no_retrieval") == 1
        assert metrics.value("genai_warnings_total", mode="1", kind="slow") == 1
        assert metrics.value("genai_quality_score_sum", mode="1", evaluator="judge") == 0.7
        assert metrics.value("genai_quality_below_threshold_total", mode="1", evaluator="judge") == 1
        assert metrics.faults() == {}

    def test_failed(self, metrics: "Metrics") -> None:
        """An error of the type that was said last, for the agent too, although nothing is raised; even from a cache."""
        with workflow(mode="1", agent="support") as run:
            run.cache_hit()
            run.failed("refused")
            run.failed("content_filter")
        assert metrics.value(ENDED, mode="1", outcome="error", cache="hit") == metrics.value(ENDED) == 1
        assert metrics.value("genai_workflow_errors_total", mode="1", error_type="content_filter") == 1
        assert metrics.value("genai_workflow_errors_total") == 1
        assert metrics.value("genai_workflow_agent_runs_total", agent="support", outcome="error") == 1
        assert metrics.value(IN_FLIGHT) == 0

    def test_an_exception_wins_over_failed(self, metrics: "Metrics") -> None:
        """It is what ended the run; and the same object, used again, has not failed."""
        run = workflow(mode="1")
        with suppress(KeyError), run:
            run.failed("refused")
            raise KeyError
        with run:
            pass
        assert metrics.value("genai_workflow_errors_total", error_type="KeyError") == 1
        assert metrics.value("genai_workflow_errors_total") == 1
        assert metrics.value(ENDED, outcome="success") == 1

    def test_no_iterations_and_no_agent_leave_no_series(self, metrics: "Metrics") -> None:
        """A histogram of zeros would say that loops end at once."""
        with workflow(mode="1"):
            pass
        assert metrics.value("genai_workflow_iterations_count") == 0
        assert metrics.value("genai_workflow_agent_runs_total") == 0

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), asyncio.CancelledError(), GeneratorExit()])
    def test_in_flight_returns_to_zero(self, metrics: "Metrics", error: BaseException) -> None:
        """Whatever ends it, exceptions that are not errors too; they go on as they are."""
        with pytest.raises(type(error)) as caught, workflow(mode="1"), workflow(mode="2"):
            raise error
        assert caught.value is error
        assert metrics.value(IN_FLIGHT) == 0
        assert metrics.value(ENDED, outcome="error") == 2

    def test_one_object_again(self, metrics: "Metrics") -> None:
        """A second use begins anew."""
        run = workflow(mode="1")
        with run:
            run.cache_hit()
            run.iteration()
        with run:
            pass
        assert metrics.value(ENDED, outcome="cached") == 1
        assert metrics.value(ENDED, outcome="success", cache="none") == 1
        assert metrics.value("genai_workflow_iterations_count") == 1

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(value=ANYTHING, number=ANYTHING)
    def test_bad_input_never_raises(self, metrics: "Metrics", value: Any, number: Any) -> None:
        """Whatever is passed, every run ends and none stays in flight."""
        before = metrics.value(ENDED)
        with workflow(mode=value, tenant=value, agent=value, priority=value) as run:
            run.degraded(value)
            run.warning(value)
            run.failed(value)
            run.quality(number, evaluator=value, scale=number)
            run.accepted(first_pass=number)
            track_llm_call(model=value, input_tokens=number)
        assert metrics.value(ENDED) == before + 1
        assert metrics.value(IN_FLIGHT) == 0
        assert "internal" not in metrics.faults()


class TestContext:
    """Who sees it, and who does not."""

    def call(self) -> None:
        """Record one call."""
        track_llm_call(model="gpt-4")

    def test_calls_take_mode_and_tenant(self, metrics: "Metrics") -> None:
        """Inside, and only inside."""
        with workflow(mode="1", tenant="acme"):
            self.call()
        self.call()
        assert metrics.value("genai_llm_calls_total", mode="1") == 1
        assert metrics.value("genai_llm_calls_total", mode="default") == 1
        assert metrics.value("genai_tenant_requests_total", tenant="acme", mode="1") == 1
        assert metrics.value("genai_tenant_requests_total") == 1

    def test_explicit_arguments_win(self, metrics: "Metrics") -> None:
        """Of calls, scores and warnings."""
        with workflow(mode="1", tenant="acme", priority="low"):
            track_llm_call(model="gpt-4", mode="2", tenant="other")
            track_quality(0.7, mode="2", priority="critical")
            track_quality(0.55)
            track_warning("w", mode="2")
        assert metrics.value("genai_tenant_requests_total", tenant="other", mode="2") == 1
        assert metrics.value("genai_tenant_requests_total") == 1
        assert metrics.value("genai_quality_below_threshold_total", mode="2") == 1
        assert metrics.value("genai_quality_below_threshold_total", mode="1") == 0
        assert metrics.value("genai_warnings_total", mode="2") == 1

    def test_nested_workflows_inherit(self, metrics: "Metrics") -> None:
        """What the inner one does not say, the outer one does; then the outer one's is back."""
        with workflow(mode="1", tenant="acme", agent="a", priority="critical") as outer:
            with workflow(mode="2") as inner:
                assert current_run() is inner
                context = current.get()
                assert (context.mode, context.tenant, context.agent, context.priority) == ("2", "acme", "a", "critical")
            assert current_run() is outer
            with workflow(tenant="other"):
                assert (current.get().mode, current.get().tenant) == ("1", "other")
        assert current_run() is None
        assert current.get() is EMPTY

    def test_a_thousand_tasks_keep_their_own(self, metrics: "Metrics") -> None:
        """Interleaved at every await; each call lands at its task's tenant."""
        gate: asyncio.Event

        async def request(number: int) -> None:
            async with workflow(mode=str(number % 7), tenant=f"t{number}") as run:
                await gate.wait()
                for _ in range(3):
                    self.call()
                    await asyncio.sleep(0)
                    assert current_run() is run
                await asyncio.gather(*(asyncio.create_task(child(run)) for _ in range(2)))

        async def child(run: workflow) -> None:
            await asyncio.sleep(0)
            assert current_run() is run
            self.call()

        async def serve() -> None:
            nonlocal gate
            gate = asyncio.Event()
            tasks = [asyncio.create_task(request(number)) for number in range(1000)]
            while metrics.value(IN_FLIGHT) < 1000:
                await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)

        asyncio.run(serve())
        for number in range(1000):
            assert metrics.value("genai_tenant_requests_total", tenant=f"t{number}", mode=str(number % 7)) == 5
        assert metrics.value("genai_tenant_requests_total") == 5000
        assert metrics.value(IN_FLIGHT) == 0

    def test_threads(self, metrics: "Metrics") -> None:
        """A thread sees it with the copied context (as asyncio.to_thread does), and not without."""
        seen = []

        def look() -> None:
            seen.append(current.get().mode)

        with workflow(mode="1"), ThreadPoolExecutor(1) as pool:
            pool.submit(look).result()
            pool.submit(contextvars.copy_context().run, look).result()
            asyncio.run(asyncio.to_thread(look))
        assert seen == ["default", "1", "1"]

    def test_methods_from_other_threads(self, metrics: "Metrics") -> None:
        """A run may be told things by threads that are not part of it."""
        with workflow(mode="1") as run, ThreadPoolExecutor(8) as pool:
            for _ in range(100):
                pool.submit(run.warning, "w")
        assert metrics.value("genai_warnings_total", mode="1", kind="w") == 100

    def test_async_generator_closed_elsewhere(self, metrics: "Metrics") -> None:
        """Begun in one task and ended in another: recorded once, and no context is left behind."""

        @workflow(mode="1")
        async def answers() -> AsyncGenerator[str, None]:
            yield current.get().mode
            yield "never"

        async def consume() -> None:
            generator = answers()
            assert await asyncio.create_task(anext(generator)) == "1"
            await asyncio.create_task(generator.aclose())
            assert current.get() is EMPTY

        asyncio.run(consume())
        assert metrics.value(ENDED, outcome="success") == 1
        assert metrics.value(IN_FLIGHT) == 0

    def test_with_block_ended_in_another_context(self, metrics: "Metrics") -> None:
        """A fixture or a framework may enter and leave in different contexts: nothing is raised."""
        run = workflow(mode="1")
        contextvars.copy_context().run(run.__enter__)
        run.__exit__(None, None, None)
        assert current.get() is EMPTY
        assert metrics.value(ENDED) == 1


class TestDecorator:
    """Each kind of function is a run of its own at each call."""

    def test_all_kinds(self, metrics: "Metrics") -> None:
        """Sync, async, generator, async generator see the context and are recorded."""
        decorate = workflow(mode="1")

        @decorate
        def plain() -> str:
            return current.get().mode

        @decorate
        async def awaited() -> str:
            await asyncio.sleep(0)
            return current.get().mode

        @decorate
        def generated() -> Generator[str, None, str]:
            yield current.get().mode
            return "done"

        @decorate
        async def streamed() -> AsyncGenerator[str, None]:
            yield current.get().mode

        async def collect() -> list[str]:
            return [item async for item in streamed()]

        assert [plain(), asyncio.run(awaited()), *generated(), *asyncio.run(collect())] == ["1"] * 4
        assert metrics.value(ENDED, mode="1", outcome="success") == 4
        assert metrics.value(IN_FLIGHT) == 0

    def test_current_run_is_the_calls_own(self, metrics: "Metrics") -> None:
        """What one call says does not stay for the next."""

        @workflow(mode="1")
        def answer(hit: bool) -> None:
            run = current_run()
            assert run is not None
            if hit:
                run.cache_hit()

        answer(True)
        answer(False)
        assert metrics.value(ENDED, outcome="cached") == 1
        assert metrics.value(ENDED, outcome="success") == 1


class TestThreads:
    """Exact under load."""

    def test_32_threads(self, metrics: "Metrics") -> None:
        """Every run, stage and score is counted, by mode, and nothing stays in flight."""
        barrier = threading.Barrier(32)

        def work(number: int) -> None:
            barrier.wait()
            for _ in range(50):
                with workflow(mode=str(number % 4), agent="a") as run, operation("reranking"):
                    run.iteration()
                    run.quality(0.5)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert metrics.value(ENDED) == 32 * 50
        for mode in "0123":
            assert metrics.value(ENDED, mode=mode, outcome="success") == 8 * 50
        assert metrics.value("genai_operation_duration_seconds_count", operation="reranking") == 1600
        assert metrics.value("genai_workflow_iterations_sum") == 1600
        assert metrics.value("genai_quality_score_sum") == 800
        assert metrics.value("genai_workflow_agent_runs_total", agent="a", outcome="success") == 1600
        assert metrics.value(IN_FLIGHT) == 0
