"""LLM calls of instrumented clients on the short way: whole answers that report their usage as usual.

A call is surrounded by a request, which leaves the processor's caches full of other things: every function, object and
name touched here costs several times what it does in a loop. So what is the same for all calls of a model and mode, a
``Route``, is found once, and the rest is one look at the answer and the additions. Whatever is not as usual (a stream,
an error, a retry, an answer with anything unexpected in it) is left for ``llm_call``, which takes over from the route.
"""

import os

from genai_metrics import runtime
from genai_metrics.blocks import Block
from genai_metrics.catalog import LLM_CALL_EXEMPLARS, LLM_IN_FLIGHT
from genai_metrics.context import current
from genai_metrics.labels import UNKNOWN
from genai_metrics.llm_calls import CallSeries, add_call, calls, tenants
from genai_metrics.numbers import LARGEST_COUNT, LARGEST_SECONDS
from genai_metrics.observations import find
from genai_metrics.traces import offer, tracing
from genai_metrics.usage import counts_of

_MOST_ROUTES = 1000
_INT: object = int
_current_context = current.get


class Route:
    """Where calls of one model, operation and mode go. ``series`` is ``None`` when that must be found anew each time.

    ``process``: the one that made it; in a forked child its blocks are the parent's.
    """

    __slots__ = ("flying", "mode", "model", "operation", "process", "series")

    def __init__(self, model: str | None, operation: str, mode: str, flying: Block, series: CallSeries | None) -> None:
        self.model = model
        self.operation = operation
        self.mode = mode
        self.flying = flying
        self.series = series
        self.process = os.getpid()


routes: dict[tuple[object, ...], Route] = {}
"""Routes by provider, path of the URL, model and mode; only those that have series."""


def _forget() -> None:
    # Calls under way hold on to their routes; without series they are left for llm_call.
    for route in list(routes.values()):
        route.series = None
    routes.clear()


runtime.on_new_recorder(_forget)


def find_route(provider: str, url: str, operation: str, model: str | None) -> Route:
    """Return the route of a call that begins now, and keep it if calls like it were recorded before."""
    mode = _current_context().mode
    # Under the model that was asked for: what the response says is not known yet.
    flying = find(LLM_IN_FLIGHT, (mode, UNKNOWN if model is None else model))
    recorder = runtime.recorder()
    series = None
    if isinstance(model, str) and recorder.is_settled():
        series = calls.get((mode, provider, model, operation, False))
    route = Route(model, operation, mode, flying, series)
    if series is not None:
        if len(routes) >= _MOST_ROUTES:
            routes.clear()
        key = provider, url, model, mode
        routes[key] = route
        # Checked after storing: configure() installs the new recorder first and forgets what was found then.
        if runtime.existing_recorder() is not recorder:
            routes.pop(key, None)
            route.series = None
    return route


def record_answer(route: Route, answer: object, seconds: float) -> bool:
    """Record a call that ends now, after ``seconds``, with a whole answer; ``False`` when it is left for ``llm_call``.

    Adds what ``llm_call`` would; never raises.
    """
    try:
        given, output, read, write, reasoning, apart = counts_of(answer)  # type: ignore[misc]  # None raises, too
        if apart:
            given += read + write
        series = route.series
        # Exactly ints: anything else, their subclasses too, may bring an addition of its own.
        if not (
            series is not None
            and _INT is given.__class__ is output.__class__ is read.__class__ is write.__class__ is reasoning.__class__
            and given >= read + write
            and output >= reasoning
            and read >= 0
            and write >= 0
            and reasoning >= 0
            and output < LARGEST_COUNT
            and seconds < LARGEST_SECONDS
        ):
            return False
        if given <= series.flat_up_to:
            rates = series.rates
        elif given < LARGEST_COUNT:
            rates = series.rates_for(given)
        else:
            return False
        tenant = _current_context().tenant
        payer = None if tenant is None else tenants[tenant, route.mode]
    except Exception:
        return False  # a tenant not met before, or an answer of another kind
    try:
        route.flying.add(0, -1.0)
        add_call(series, payer, given, read, write, output, reasoning, seconds, None, rates)
        if tracing.on:
            offer(LLM_CALL_EXEMPLARS, series.call, seconds)
    except Exception as error:
        runtime.internal_fault(error)
    return True
