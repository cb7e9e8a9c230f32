"""Times calls of a real ``openai`` client over an in-process transport: ``python -m benchmarks.openai_worker NAME``.

Reads numbers of calls from standard input; answers each with microseconds of processor time per call without and with
instrumentation, in turns. A worker is a process of its own, as some instrumentors change the library for good.
"""

import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import httpx
from openai import OpenAI

BATCH = 40
"""Calls between one switch and the next: short, so that both sides see the same mood of the machine."""

SETTLING = 20
"""Calls after each switch that are not timed: the interpreter adapts to the client's new methods meanwhile."""

ANSWER = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "A short answer. " * 20, "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 1200,
            "completion_tokens": 100,
            "total_tokens": 1300,
            "prompt_tokens_details": {"cached_tokens": 1024},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }
).encode()

Switch = Callable[[bool], None]
"""Turns the instrumentation on or off."""


def nothing(client: OpenAI) -> Switch:
    """No instrumentation: what differences mean nothing."""
    return lambda on: None


def ours(client: OpenAI) -> Switch:
    """``instrument_openai``, with prices and a workflow's mode and tenant."""
    import genai_metrics
    from genai_metrics.integrations.openai import instrument_openai

    genai_metrics.warm_up()
    return lambda on: None if on and instrument_openai(client) else instrument_openai(client).uninstrument()


def opentelemetry(client: OpenAI) -> Switch:
    """opentelemetry-instrumentation-openai-v2 with the SDK's metrics; no spans are recorded."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader
    from opentelemetry.sdk.metrics import MeterProvider

    provider = MeterProvider(metric_readers=[PrometheusMetricReader()])
    instrumentor = import_module("opentelemetry.instrumentation.openai_v2").OpenAIInstrumentor()
    return lambda on: instrumentor.instrument(meter_provider=provider) if on else instrumentor.uninstrument()


def openlit(client: OpenAI) -> Switch:
    """OpenLIT with metrics and traces that nobody collects; cannot be turned off again."""
    from opentelemetry.metrics import set_meter_provider
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import set_tracer_provider

    begun: list[bool] = []

    def switch(on: bool) -> None:
        if on and not begun:
            begun.append(True)
            set_meter_provider(MeterProvider())
            set_tracer_provider(TracerProvider())
            import_module("openlit").init()

    return switch


WAYS: dict[str, Callable[[OpenAI], Switch]] = {
    "nothing": nothing,
    "instrument_openai": ours,
    "opentelemetry-instrumentation-openai-v2": opentelemetry,
    "OpenLIT": openlit,
}


def answer(request: httpx.Request) -> httpx.Response:
    """The provider."""
    return httpx.Response(200, content=ANSWER, headers={"content-type": "application/json"})


def timed(client: OpenAI, count: int) -> float:
    """Microseconds of processor time per call."""
    messages: Any = [{"role": "user", "content": "A question of some length?"}]
    create = client.chat.completions.create
    begun = time.thread_time_ns()
    for _ in range(count):
        create(model="gpt-4o", messages=messages)
    return (time.thread_time_ns() - begun) / count / 1000


def main() -> None:
    """Serve until standard input ends."""
    client = OpenAI(api_key="key", http_client=httpx.Client(transport=httpx.MockTransport(answer)))
    timed(client, 100)
    switch = WAYS[sys.argv[1]](client)
    reversible = sys.argv[1] != "OpenLIT"
    before = timed(client, 5 * BATCH)
    switch(True)
    timed(client, 5 * BATCH)
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        without = with_it = 0.0
        batches = max(1, int(line) // BATCH)
        for _ in range(batches):
            if reversible:
                switch(False)
                timed(client, SETTLING)
                without += timed(client, BATCH)
                switch(True)
                timed(client, SETTLING)
            else:
                without += before
            with_it += timed(client, BATCH)
        gc.collect()
        print(without / batches, with_it / batches, flush=True)


if __name__ == "__main__":
    main()
