"""Times calls of a real ``openai`` client to a server on loopback: ``python -m benchmarks.openai_worker NAME URL``.

Reads numbers of comparisons from standard input; answers each with microseconds of processor time per call without
instrumentation, and what it adds. A worker is a process of its own, as some instrumentors change the library for good.
"""

import gc
import sys
import time
from collections.abc import Callable
from importlib import import_module
from statistics import median
from typing import Any

from openai import OpenAI

BATCH = 40
"""Calls between one switch and the next: few, so that both sides see the same mood of the machine."""

SETTLING = 16
"""Calls after each switch that are not timed: the interpreter adapts to the client's new methods meanwhile."""

Switch = Callable[[bool], None]
"""Turns the instrumentation on or off."""


def nothing(client: OpenAI) -> Switch:
    """No instrumentation: what differences mean nothing."""
    return lambda on: None


def wrapper(client: OpenAI) -> Switch:
    """A function in the place of ``instrument_openai``'s that does nothing but call the original."""
    original = client.request

    def request(cast_to: Any, options: Any, **settings: Any) -> Any:
        return original(cast_to, options, **settings)

    return _on_object(client, {"request": request})


def ours(client: OpenAI) -> Switch:
    """``instrument_openai``, with prices."""
    import genai_metrics
    from genai_metrics.integrations.openai import instrument_openai

    genai_metrics.warm_up()
    before = dict(vars(client))
    instrument_openai(client)
    return _on_object(client, {name: value for name, value in vars(client).items() if name not in before})


def _on_object(client: OpenAI, methods: dict[str, Any]) -> Switch:
    """Put methods on a client and take them off: the same ones each time, as they stay in an application."""

    def switch(on: bool) -> None:
        for name, method in methods.items():
            if on:
                vars(client)[name] = method
            else:
                vars(client).pop(name, None)

    return switch


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
    "a plain function": wrapper,
    "instrument_openai": ours,
    "opentelemetry-instrumentation-openai-v2": opentelemetry,
    "OpenLIT": openlit,
}


def _on_change(switch: Switch) -> Switch:
    """Switch only what is not so already: some instrumentors complain."""
    states = [False]

    def changed(on: bool) -> None:
        if on is not states[-1]:
            states[:] = [on]
            switch(on)

    return changed


def timed(client: OpenAI, count: int) -> list[float]:
    """Microseconds of this thread's processor time of each call, without the first ones."""
    messages: Any = [{"role": "user", "content": "A question of some length?"}]
    create = client.chat.completions.create
    times = []
    for _ in range(SETTLING + count):
        begun = time.thread_time_ns()
        create(model="gpt-4o", messages=messages)
        times.append((time.thread_time_ns() - begun) / 1000)
    return times[SETTLING:]


def compared(client: OpenAI, switch: Switch) -> tuple[float, float]:
    """Off, on, on, off: the median call without, and how much longer the median call with it takes."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for on in (False, True, True, False):
        switch(on)
        times[on] += timed(client, BATCH)
    return median(times[False]), median(times[True]) - median(times[False])


def main() -> None:
    """Serve until standard input ends."""
    name, url = sys.argv[1:]
    client = OpenAI(api_key="key", base_url=url)
    timed(client, 100)
    switch = _on_change(WAYS[name](client))
    before = median(timed(client, 10 * BATCH))
    switch(True)
    timed(client, 5 * BATCH)
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    for line in sys.stdin:
        if name == "OpenLIT":  # cannot be switched off
            pairs = [(before, median(timed(client, BATCH)) - before) for _ in range(int(line))]
        else:
            pairs = [compared(client, switch) for _ in range(int(line))]
        gc.collect()
        print(median(without for without, _ in pairs), median(added for _, added in pairs), flush=True)


if __name__ == "__main__":
    main()
