"""Instruments one client object of the OpenAI or Anthropic library, whose clients are built alike.

Every call of such a client goes through its method ``request``, raw responses, streams and parsed ones too. That one
method is replaced on the object, with what makes copies of it; its class and other clients stay as they are. Imports
neither library.
"""

import functools
import inspect
import json
import weakref
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from genai_metrics import runtime
from genai_metrics.catalog import LLM_RETRY
from genai_metrics.context import current
from genai_metrics.labels import UNKNOWN
from genai_metrics.llm import llm_call
from genai_metrics.llm_usual import Route, find_route, record_answer, routes
from genai_metrics.observations import count
from genai_metrics.streams import Observation, ObservedStream

_REPLACED = ("request", "_sleep_for_retry", "copy", "with_options")
_current_context = current.get


class Instrumentation:
    """Records the calls of one client, and of copies made of it with ``with_options``, until ``uninstrument()``."""

    def __init__(self, client: Any, provider: str, operations: Mapping[str, str]) -> None:
        self._client = weakref.ref(client)
        self._provider = provider
        self._operations = operations
        self.enabled = True
        self._replace(client)

    def uninstrument(self) -> None:
        """Give the client its own methods back; calls and streams under way are still recorded. Safe to repeat."""
        self.enabled = False  # for copies, and for methods that another library has wrapped since
        client = self._client()
        if client is not None:
            for name in _REPLACED:
                if _owner(vars(client).get(name)) is self:
                    del vars(client)[name]

    def _replace(self, client: Any) -> None:
        wrap_request = self._async_request if inspect.iscoroutinefunction(type(client).request) else self._sync_request
        wraps: tuple[Callable[[Any], Any], ...] = (wrap_request, self._sleep, self._copy, self._copy)
        for name, wrap in zip(_REPLACED, wraps, strict=True):
            original = getattr(client, name, None)
            # Another library's replacement on the object is left alone but for the request, which is wrapped once more.
            if original is not None and name not in vars(client):
                replacement = functools.wraps(original)(wrap(original))
                replacement.__dict__["genai_metrics"] = self
                vars(client)[name] = replacement

    def _sync_request(self, original: Any) -> Any:
        begin = self._begin

        def request(cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None, **more: Any) -> Any:
            route = begin(options)
            if route is None:
                return original(cast_to, options, stream=stream, stream_cls=stream_cls, **more)
            began = perf_counter()
            try:
                if more:  # of a later library
                    result = original(cast_to, options, stream=stream, stream_cls=stream_cls, **more)
                else:  # keywords by name take a tenth of what a dict of them does
                    result = original(cast_to, options, stream=stream, stream_cls=stream_cls)
            except BaseException as error:
                self._call(route, options, began).finish(error)
                raise
            if not record_answer(route, result, perf_counter() - began):
                _settle(self._call(route, options, began), result)
            return result

        return request

    def _async_request(self, original: Any) -> Any:
        begin = self._begin

        async def request(
            cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None, **more: Any
        ) -> Any:
            route = begin(options)
            if route is None:
                return await original(cast_to, options, stream=stream, stream_cls=stream_cls, **more)
            began = perf_counter()
            try:
                if more:  # of a later library
                    result = await original(cast_to, options, stream=stream, stream_cls=stream_cls, **more)
                else:  # keywords by name take a tenth of what a dict of them does
                    result = await original(cast_to, options, stream=stream, stream_cls=stream_cls)
            except BaseException as error:
                self._call(route, options, began).finish(error)
                raise
            if not record_answer(route, result, perf_counter() - began):
                _settle(self._call(route, options, began), result)
            return result

        return request

    def _sleep(self, original: Any) -> Any:
        def sleep_for_retry(*arguments: Any, **settings: Any) -> Any:
            if self.enabled:
                self._count_retry(settings.get("options"), settings.get("response"))
            return original(*arguments, **settings)

        return sleep_for_retry

    def _copy(self, original: Any) -> Any:
        def copy(*arguments: Any, **settings: Any) -> Any:
            made = original(*arguments, **settings)
            if self.enabled:
                self._replace(made)
            return made

        return copy

    def _begin(self, options: Any) -> Route | None:
        """Begin a call, ``None`` when the request is none that is recorded."""
        if not self.enabled:
            return None
        try:
            asked = options.__dict__
            route = routes[self._provider, asked["url"], asked["json_data"]["model"], _current_context().mode]
        except Exception:  # the first calls of a model, or no call at all
            try:
                operation = self._operation(options)
                if operation is None:
                    return None
                route = find_route(self._provider, options.url, operation, _model(options))
            except Exception as error:
                runtime.internal_fault(error)
                return None
        route.flying.add(0, 1.0)
        return route

    def _count_retry(self, options: Any, response: Any) -> None:
        """Count that the client tries once more, after a response or, without one, a failed connection."""
        try:
            operation = self._operation(options)
            if operation is not None:
                status = getattr(response, "status_code", None)
                reason = "connection" if status is None else str(status)
                model = _model(options)
                labels = _current_context().mode, self._provider, UNKNOWN if model is None else model, operation, reason
                count(LLM_RETRY, labels)
        except Exception as error:
            runtime.internal_fault(error)

    def _operation(self, options: Any) -> str | None:
        url = options.url
        return self._operations.get(url) or self._operations.get(url.partition("?")[0])

    def _call(self, route: Route, options: Any, began: float) -> llm_call:
        """Return a call under way as one that takes anything."""
        call = llm_call(
            model=route.model,
            provider=self._provider,
            operation=route.operation,
            mode=route.mode,
            tenant=_current_context().tenant,
        )
        call.take_over(route.flying, began, route.process)
        call.request(options.json_data)
        return call


def _model(options: Any) -> Any:
    body = options.json_data
    return body.get("model") if isinstance(body, Mapping) else None


def instrument(client: Any, provider: str, operations: Mapping[str, str]) -> Instrumentation:
    """Instrument a client, once: the one that records its calls already is returned.

    ``operations``: by path of the URL. Raises ``TypeError`` for anything that is no client.
    """
    if not callable(getattr(type(client), "request", None)) or not hasattr(client, "base_url"):
        raise TypeError(f"expected a client object, not {type(client).__name__}")
    found = _owner(vars(client).get("request"))
    if isinstance(found, Instrumentation) and found.enabled:
        return found
    return Instrumentation(client, provider, operations)


def _owner(method: Any) -> Any:
    return getattr(method, "genai_metrics", None)


def _settle(call: llm_call, result: Any) -> None:
    """Record a call whose request has been answered, or have its stream record it."""
    try:
        how = _ways.get(type(result))
        if how is None:
            how = _ways[type(result)] = _way(result)
        how(call, result)
    except Exception as error:
        runtime.internal_fault(error)
    call.finish()


_ways: "dict[type, Callable[[llm_call, Any], None]]" = {}
"""What to do with each type of result; found out once, as asking models for what they lack takes long."""


def _way(result: Any) -> Callable[[llm_call, Any], None]:
    if _is_stream(result):
        return _attach
    return _watch_raw if hasattr(result, "http_response") else llm_call.usage


def _is_stream(result: Any) -> bool:
    return hasattr(type(result), "__stream__")


def _attach(call: llm_call, stream: Any, observation: Observation | None = None) -> None:
    """See the chunks of a library's own stream object, which stays the same object."""
    if observation is None:
        observation = call.observe()
        _on_close(stream.response, observation)
    stream._iterator = ObservedStream(stream._iterator, observation)


def _on_close(response: Any, observation: Observation) -> None:
    """Have the end of an HTTP response end the observation: every way to close a stream leads there."""
    # Weakly, as the method is kept on the response itself: the two must go as soon as the application lets go.
    own = weakref.ref(response)
    if hasattr(type(response), "close"):

        def close() -> None:
            target = own()
            if target is not None:
                observation.closed()
                type(target).close(target)

        response.close = close
    if hasattr(type(response), "aclose"):

        async def aclose() -> None:
            target = own()
            if target is not None:
                observation.closed()
                await type(target).aclose(target)

        response.aclose = aclose


def _watch_raw(call: llm_call, raw: Any) -> None:
    """See what a raw response is parsed into, or else what was read of it."""
    http = raw.http_response
    if http.is_closed:  # read already, whole
        call.usage(json.loads(http.content))
        return
    observation = call.observe()
    _on_close(http, observation)

    def seen(result: Any) -> Any:
        observation.busy = False
        try:
            if _is_stream(result):
                if not isinstance(result._iterator, ObservedStream):
                    _attach(call, result, observation)
            elif http.is_closed:
                call.usage(json.loads(http.content))
                observation.end()
        except Exception as error:
            runtime.internal_fault(error)
        return result

    for name in ("parse", "read", "json", "text"):
        method = getattr(type(raw), name, None)
        if callable(method):
            vars(raw)[name] = _seen(raw, method, observation, seen)


def _seen(raw: Any, method: Any, observation: Observation, seen: Callable[[Any], Any]) -> Any:
    """Return a method of a raw response that shows its result to ``seen``; what it closes ends nothing before."""
    own = weakref.ref(raw)
    if inspect.iscoroutinefunction(method):

        async def read_later(**settings: Any) -> Any:
            observation.busy = True
            try:
                result = await method(own(), **settings)
            except BaseException as error:
                observation.end(error)
                raise
            return seen(result)

        return read_later

    def read(**settings: Any) -> Any:
        observation.busy = True
        try:
            result = method(own(), **settings)
        except BaseException as error:
            observation.end(error)
            raise
        return seen(result)

    return read
