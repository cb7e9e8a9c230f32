"""The same numbers for ours and for prometheus_client: label tuples, and what one process records under each.

Also a program that records them and then stays, as an application does:
``python -m benchmarks.dataset ours|peer DIRECTORY NUMBER TUPLES``. It prints ``ready`` and ends with its input.
"""

import os
import sys
from collections.abc import Iterator
from itertools import islice, product

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.peers import CALL_METRICS, observations, prometheus_metrics
from genai_metrics.catalog import LLM_CALL, LLM_COST, LLM_STREAM, MetricSpec
from genai_metrics.exposition import lines_per_block

LINES_PER_TUPLE = sum(lines_per_block(metric) for kind in (LLM_CALL, LLM_STREAM, LLM_COST) for metric in kind.metrics)
"""Sample lines of one label tuple of a streamed, priced call."""

PROVIDER = "openai"
INPUT_USD, OUTPUT_USD = 0.003, 0.015  # for 1 000 tokens; cached input is charged as input


def label_tuples(count: int) -> list[tuple[str, str]]:
    """The given number of (mode, model) pairs, at most 7 600: within the caps of both labels."""
    modes, models = (f"mode-{i}" for i in range(40)), [f"model-{i}" for i in range(190)]
    return list(islice(product(modes, models), count))


def calls(process: int, tuples: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Mode, model and numbers of each call that the process of that number records; one call a label tuple."""
    for i, (mode, model) in enumerate(label_tuples(tuples)):
        yield (
            mode,
            model,
            {
                "input_tokens": 10_000 + i,
                "output_tokens": 100 + i % 400,
                "duration": 1.5 + 0.25 * (i % 60) + process / 8,
                "time_to_first_token": 0.125 * (i % 10),
                "cached_input_tokens": 64 * (i % 100),
                "cache_write_tokens": 10,
                "reasoning_tokens": 1 + process,
            },
        )


def record_ours(process: int, tuples: int) -> None:
    """Record with ``track_llm_call``, as ``genai_metrics`` is configured."""
    from genai_metrics import track_llm_call

    for mode, model, numbers in calls(process, tuples):
        track_llm_call(
            mode=mode,
            model=model,
            provider=PROVIDER,
            cost_per_1k_input=INPUT_USD,
            cost_per_1k_output=OUTPUT_USD,
            **numbers,  # type: ignore[arg-type]  # mypy checks the values against every parameter
        )


PeerMetrics = dict[MetricSpec, Counter | Histogram]


def peer_metrics(registry: CollectorRegistry) -> PeerMetrics:
    """The same families with prometheus_client."""
    return prometheus_metrics(CALL_METRICS + LLM_COST.metrics, registry)


def record_peer(process: int, tuples: int, made: PeerMetrics) -> None:
    """Record the same into prometheus_client's families."""
    for mode, model, numbers in calls(process, tuples):
        labels = (mode, PROVIDER, model, "chat", "success")
        for spec, value in observations(**numbers).items():
            child = made[spec].labels(*labels)
            if spec.type == "histogram":
                child.observe(value)  # type: ignore[union-attr]
            else:
                child.inc(value)  # type: ignore[union-attr]
        for spec in LLM_COST.metrics:
            for choice, usd in _costs(spec, numbers):
                made[spec].labels(*labels, choice).inc(usd)  # type: ignore[union-attr]


def _costs(spec: MetricSpec, numbers: dict[str, float]) -> Iterator[tuple[str, float]]:
    """What a call adds to each part of a cost metric; nothing is saved when cached input costs as much as other."""
    read, write = numbers["cached_input_tokens"], numbers["cache_write_tokens"]
    per_input, per_output = INPUT_USD / 1000, OUTPUT_USD / 1000
    known = {
        "input": (numbers["input_tokens"] - read - write) * per_input,
        "cache_read": read * per_input,
        "cache_write": write * per_input,
        "output": numbers["output_tokens"] * per_output,
    }
    assert spec.split is not None
    for choice in spec.split[1]:
        yield choice, known.get(choice, 0.0)


def main() -> None:
    """Record and stay until standard input ends."""
    kind, directory, number, tuples = sys.argv[1:]
    if kind == "ours":
        import genai_metrics

        genai_metrics.configure(metrics_dir=directory, service_name="benchmark")
        record_ours(int(number), int(tuples))
    else:
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR") != directory:
            raise SystemExit("PROMETHEUS_MULTIPROC_DIR must be set to the directory before Python starts")
        record_peer(int(number), int(tuples), peer_metrics(CollectorRegistry()))
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
