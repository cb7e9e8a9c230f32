"""How applications use workflows, stages, statistics, test helpers, and how they must not: read by mypy, never run."""

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type

from prometheus_client import CollectorRegistry

from genai_metrics import (
    current_run,
    export_json,
    health,
    operation,
    print_report,
    report,
    reset,
    retrieval,
    snapshot,
    tool_call,
    track_dependency,
    track_feedback,
    track_pool,
    track_quality,
    track_queue,
    workflow,
)
from genai_metrics.testing import assert_increment, isolated_store, sample


@workflow(mode="1")
def plain(a: int, *, b: str = "") -> float:
    """Keeps its signature."""
    return a + len(b)


@operation("x")
async def awaited(a: int) -> str:
    """Stays a coroutine function."""
    return str(a)


@tool_call("search")
def generated() -> Iterator[int]:
    """Stays a generator function."""
    yield 1


@retrieval("docs")
async def streamed() -> AsyncIterator[int]:
    """Stays an async generator function."""
    yield 1


async def usage() -> None:
    """What is right."""
    assert_type(plain(1, b="x"), float)
    assert_type(await awaited(1), str)
    assert_type(generated(), Iterator[int])
    assert_type(streamed(), AsyncIterator[int])
    with workflow(mode="1", tenant="acme", agent=None, priority="critical") as run:
        assert_type(run, workflow)
        run.quality(7, scale=10)
    async with retrieval("docs") as found:
        found.results(3)
    assert_type(current_run(), workflow | None)
    track_pool("db", active=1)
    track_queue("jobs", 3, shared=True)
    track_dependency("redis", True)
    track_feedback("up", satisfaction=0.5)
    assert_type(snapshot().llm.cost_usd, float)
    assert_type(report(), dict[str, Any])
    print_report(io.StringIO())
    export_json(Path("report.json"))
    assert_type(health(error_rate=None).issues, tuple[str, ...])
    reset()
    with isolated_store() as registry, assert_increment("genai_llm_calls_total", 2, model="m"):
        assert_type(registry, CollectorRegistry)
    assert_type(sample("genai_llm_calls_total", model="m"), float)


def misuse() -> None:
    """What is wrong."""
    plain("1")  # type: ignore[arg-type]
    plain(1, c="x")  # type: ignore[call-arg]
    workflow("1")  # type: ignore[call-arg]
    workflow(mode=1)  # type: ignore[arg-type]
    operation()  # type: ignore[call-arg]
    operation("x", True)  # type: ignore[call-arg]
    operation("x").results(3)  # type: ignore[attr-defined]
    track_quality("good")  # type: ignore[arg-type]
    track_feedback(5)  # type: ignore[arg-type]
    track_queue("jobs")  # type: ignore[call-arg]
    health(memory="1 GB")  # type: ignore[call-arg]
    snapshot().llm.calls = 5  # type: ignore[misc]
    current_run().first_content()  # type: ignore[union-attr]
    sample("genai_llm_calls_total", mode=1)  # type: ignore[arg-type]
    assert_increment("genai_llm_calls_total", by=2)  # type: ignore[arg-type]
    export_json()  # type: ignore[call-arg]
