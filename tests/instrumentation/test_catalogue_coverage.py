"""Every metric of the catalogue is emitted through the public API, and nothing else is."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import genai_metrics
from genai_metrics import runtime
from genai_metrics.catalog import BLOCK_KINDS

if TYPE_CHECKING:
    from conftest import Metrics


def record_everything() -> None:
    """Use the public API such that each kind of block is made and each metric becomes other than 0."""
    with genai_metrics.workflow(mode="1", tenant="acme", agent="support", priority="critical") as run:
        run.iteration()
        run.accepted()
        run.first_content()
        run.degraded("smaller_model")
        run.warning("slow")
        run.quality(3, scale=10)
        with genai_metrics.operation("reranking", memory=True):
            kept = bytearray(b"x" * 50_000_000)  # memory that the stage gained
        with genai_metrics.tool_call("search"), genai_metrics.retrieval("docs") as found:
            found.results(3)
        genai_metrics.track_llm_call(
            model="full",
            provider="openai",
            input_tokens=1000,
            output_tokens=100,
            cached_input_tokens=300,
            cache_write_tokens=200,
            reasoning_tokens=50,
            duration=2.0,
            time_to_first_token=0.5,
            retries=1,
            retry_reason="rate_limit",
            estimated=True,
        )
        genai_metrics.track_llm_call(model="full", input_tokens=10, output_tokens=10, cached=True)
        genai_metrics.track_llm_call(model="gpt-4", error_type="Timeout")
        genai_metrics.track_llm_call(model="nobodys", input_tokens=1)
        genai_metrics.track_llm_fallback(from_model="gpt-4", to_model="full")
    with suppress(KeyError), genai_metrics.workflow(mode="1"):
        raise KeyError
    del kept
    genai_metrics.track_feedback("up", satisfaction=5, scale=5)
    for shared in (False, True):
        cache = genai_metrics.track_cache(f"answers {shared}", capacity=1000, shared=shared)
        with cache.lookup() as looked_up:
            looked_up.hit(age=5.0)
        cache.miss(0.001)
        cache.write()
        cache.evict("expired", age=60.0)
        cache.invalidate()
        cache.size(entries=17, bytes=4096)
        genai_metrics.track_queue("jobs", 4, shared=shared)
    genai_metrics.track_pool("db", active=3, idle=2, size=10)
    genai_metrics.track_dependency("redis", True)
    # Own trouble: a number that is none, and a label beyond its cap.
    genai_metrics.track_quality(-1)
    for number in range(51):
        genai_metrics.track_dependency(f"d{number}", True)


def test_every_metric_is_emitted(metrics: "Metrics") -> None:
    """Emitted names equal the catalogue's in both directions, and each has a value other than 0."""
    with genai_metrics.workflow(mode="1"), genai_metrics.llm_call_in_flight(model="full"):
        record_everything()
        emitted = {family.name for family in metrics.registry.collect() if family.samples}
        moved = {
            metric.name
            for block in runtime.recorder().blocks()
            for metric, offset in block.kind.layout()
            if any(block.read()[offset : offset + metric.slots])
        }
    in_catalogue = [metric for kind in BLOCK_KINDS for metric in kind.metrics]
    assert emitted == {metric.family for metric in in_catalogue}
    assert moved == {metric.name for metric in in_catalogue}


def test_every_kind_of_block_is_made(metrics: "Metrics", tmp_path: Path) -> None:
    """Also the second kinds of metrics that merge differently over processes, in a metrics directory."""
    metrics.configure(files=True)
    with genai_metrics.workflow(mode="1"), genai_metrics.llm_call_in_flight(model="full"):
        record_everything()
        made = {block.kind for block in runtime.recorder().blocks()}
    assert made == set(BLOCK_KINDS)


def test_every_value_of_a_split_label(metrics: "Metrics") -> None:
    """Slots are where the exposition shows them: each listed value can be made to move alone."""
    record_everything()
    before = {str(s.labels): s.value for f in metrics.registry.collect() for s in f.samples if "by" in s.labels}
    assert len([value for value in before.values() if value > 0]) == 2  # by the response cache, by the prompt cache
    genai_metrics.track_feedback("down")
    assert metrics.value("genai_feedback_total", rating="down") == 1
    assert metrics.value("genai_feedback_total", rating="up") == 1
    cache = genai_metrics.track_cache("answers")
    for number, reason in enumerate(("capacity", "expired", "explicit"), 1):
        cache.evict(reason, n=number)
    found = [
        metrics.value("genai_cache_evictions_total", cache="answers", reason=reason)
        for reason in ("capacity", "expired", "explicit")
    ]
    assert found == [1, 2, 3]
