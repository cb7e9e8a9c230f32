"""Tests of how much memory recording takes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Metrics


@pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
def test_a_thousand_label_tuples(metrics: "Metrics", run_python: Callable[..., str], files: bool) -> None:
    """1 000 label tuples of streamed, priced calls of 50 tenants take less than 2 MiB, the file included."""
    out = run_python(
        """
        import collections, gc, pathlib, sys, tracemalloc
        from genai_metrics import configure, runtime, track_llm_call
        from genai_metrics.blockfile import parse_header

        directory = sys.argv[1]
        configure(metrics_dir=directory or None, price_file=sys.argv[2])

        def record(number):
            track_llm_call(
                mode=f"mode-{number % 40}",
                model=("gpt-4", "full", "tiered")[number // 40 % 3],
                operation=f"operation-{number // 120}",
                provider="openai",
                tenant=f"tenant-{number % 50}",
                input_tokens=1000,
                output_tokens=500,
                duration=1.5,
                time_to_first_token=0.5,
                cost_per_1k_input=0.03,
                cost_per_1k_output=0.06,
            )

        def used():
            paths = pathlib.Path(directory or "/nowhere").glob("*.blocks")
            return sum(parse_header(path.read_bytes()[:4096]).used for path in paths)

        record(0)  # loads what is loaded late
        before_file = used()
        tracemalloc.start()
        for number in range(1, 1000):
            record(number)
            record(number)  # the second one is kept for the hot path
        gc.collect()  # gives back what CPython keeps for reuse
        memory = tracemalloc.get_traced_memory()[0]
        blocks = collections.Counter(block.kind.name for block in runtime.recorder().blocks())
        assert blocks["llm_call"] == blocks["llm_stream"] == blocks["llm_cost"] == 1000, blocks
        assert (blocks["tenant"], blocks["tenant_requests"]) == (50, 200), blocks
        print(memory + used() - before_file)
        """,
        str(metrics.directory) if files else "",
        str(metrics.price_file),
    )
    assert int(out) < 2 * 1024 * 1024
