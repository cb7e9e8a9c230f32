"""Tests of operations, tool calls and retrievals."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_metrics import operation, retrieval, stages, tool_call
from genai_metrics.stages import RERANKING, resident_bytes

if TYPE_CHECKING:
    from conftest import Metrics

ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.text(), st.floats(), st.integers(), st.booleans(), st.lists(st.integers())
)


class TestStages:
    """Duration and outcome."""

    @pytest.mark.parametrize(
        ("span", "metric", "label"),
        [
            (operation, "genai_operation_duration_seconds", "operation"),
            (tool_call, "genai_tool_duration_seconds", "tool"),
            (retrieval, "genai_retrieval_duration_seconds", "source"),
        ],
    )
    def test_every_form(self, metrics: "Metrics", span: Any, metric: str, label: str) -> None:
        """With, async with, decorated, failed."""

        async def asynchronous() -> None:
            async with span("x"):
                await asyncio.sleep(0.01)

        with span("x"):
            pass
        asyncio.run(asynchronous())
        assert span("x")(lambda: 1)() == 1
        error = KeyError()
        with pytest.raises(KeyError) as caught, span("x"):
            raise error
        assert caught.value is error
        assert metrics.value(f"{metric}_count", **{label: "x", "outcome": "success"}) == 3
        assert metrics.value(f"{metric}_count", **{label: "x", "outcome": "error"}) == 1
        assert 0.01 <= metrics.value(f"{metric}_sum") < 5
        assert metrics.faults() == {}

    def test_results(self, metrics: "Metrics") -> None:
        """None, some; what is not a number is left out."""
        with retrieval("docs") as found:
            found.results(0)
            found.results(7)
            found.results("many")  # type: ignore[arg-type]
        assert metrics.value("genai_retrieval_results_count", source="docs") == 2
        assert metrics.value("genai_retrieval_results_sum", source="docs") == 7
        assert metrics.faults() == {"bad_number": 1}

    def test_constants(self) -> None:
        """The named operations, each under its own name in lower case."""
        names = {name: value for name, value in vars(stages).items() if name.isupper() and isinstance(value, str)}
        assert len(names) == 9
        assert all(value == name.lower() for name, value in names.items())

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(name=ANYTHING, number=ANYTHING)
    def test_bad_input_never_raises(self, metrics: "Metrics", name: Any, number: Any) -> None:
        """Names and numbers of any kind."""
        with operation(name, memory=number), tool_call(name), retrieval(name) as found:
            found.results(number)
        assert "internal" not in metrics.faults()


class TestMemory:
    """What a stage left behind."""

    def test_delta(self, metrics: "Metrics") -> None:
        """The process grew by what the stage keeps; and shrinks count as negative."""
        with operation(RERANKING, memory=True):
            kept = bytearray(b"x" * 50_000_000)
        grown = metrics.value("genai_operation_memory_delta_bytes", operation=RERANKING)
        assert 40e6 < grown < 120e6
        with operation(RERANKING, memory=True):
            del kept
        assert metrics.value("genai_operation_memory_delta_bytes", operation=RERANKING) < -40e6

    def test_only_when_asked_for(self, metrics: "Metrics") -> None:
        """No series otherwise."""
        with operation(RERANKING):
            pass
        assert metrics.value("genai_operation_memory_delta_bytes") == 0

    def test_where_there_is_no_proc(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is recorded of memory, the duration is."""

        def missing(*_: object, **__: object) -> None:
            raise FileNotFoundError

        monkeypatch.setattr("builtins.open", missing)
        with suppress(KeyError), operation(RERANKING, memory=True):
            raise KeyError
        assert resident_bytes() is None
        monkeypatch.undo()
        assert metrics.value("genai_operation_duration_seconds_count", outcome="error") == 1
        assert metrics.faults() == {}

    def test_agrees_with_the_kernel(self) -> None:
        """VmRSS of /proc/self/status, which the kernel counts in batches."""
        status = Path("/proc/self/status").read_text()
        told = int(status.split("VmRSS:")[1].split()[0]) * 1024
        assert resident_bytes() == pytest.approx(told, rel=0.05)
