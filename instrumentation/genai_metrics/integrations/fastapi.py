"""FastAPI and Starlette: each request is a workflow. ``app.add_middleware(GenAIMiddleware)``.

Pure ASGI: needs neither library, buffers nothing, and passes web sockets and lifespan through untouched.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from genai_metrics import runtime
from genai_metrics.workflows import workflow

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
FromScope = Callable[[Scope], str | None]

UNMATCHED = "unmatched"
"""Mode of requests that no route takes: never the raw path, of which there are arbitrarily many."""

UNTRACKED = frozenset({"/metrics", "/health", "/healthz", "/livez", "/ready", "/readyz", "/-/healthy", "/-/ready"})
"""Paths that are no workflows, by default."""


class GenAIMiddleware:
    """Records each HTTP request as a workflow, so that what is tracked inside takes mode and tenant from it.

    ``mode``: from the ASGI scope to the mode; by default the template of the route (``/chat/{id}``), and ``unmatched``
    without one. ``tenant``: from the scope to the tenant, ``None`` for nobody. ``excluded``: paths not recorded.

    The workflow lasts until the last part of the response is sent; a background task of the response runs in its
    context but does not prolong it. Time to first content is that of the first part that is not empty. An exception,
    a status of 500 and above, and a response that never ends are errors; 4xx are not.

    Requests, responses and exceptions stay as they are; a callable that raises counts as a fault.
    """

    def __init__(
        self,
        app: App,
        *,
        mode: FromScope | None = None,
        tenant: FromScope | None = None,
        excluded: Collection[str] = UNTRACKED,
    ) -> None:
        self._app = app
        self._mode = mode or _route_template
        self._tenant = tenant
        self._excluded = frozenset(excluded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope.get("path") in self._excluded:
            await self._app(scope, receive, send)
            return
        mode = _ask(self._mode, scope) or UNMATCHED
        tenant = None if self._tenant is None else _ask(self._tenant, scope)
        request = _Request(mode=mode, tenant=tenant)

        async def watched_send(message: Message) -> None:
            await send(message)
            request.sent(message)

        with request.current():
            try:
                await self._app(scope, receive, watched_send)
            except BaseException as error:
                request.end(error)
                raise
            request.returned()


class _Request(workflow):
    """The workflow of one request, which ends with its response rather than with the application's return."""

    _status: int | None = None
    _ended = False

    @contextmanager
    def current(self) -> Iterator[None]:
        """Begin, and be the workflow of the code inside, which ends this one by ``end``."""
        self.start()
        token = self._activate()
        try:
            yield
        finally:
            self._deactivate(token)

    def sent(self, message: Message) -> None:
        """Take note of a part of the response that has been sent; never raises."""
        try:
            if message["type"] == "http.response.start":
                self._status = message["status"]
            elif message["type"] == "http.response.body":
                if message.get("body"):
                    self.first_content()
                if not message.get("more_body"):
                    self.end()
            elif message["type"] == "http.response.pathsend":
                self.end()
        except Exception as error:
            runtime.internal_fault(error)

    def returned(self) -> None:
        """Take note that the application has returned: without a response it has failed."""
        if self._status is None:
            self.failed("no_response")
        self.end()

    def end(self, error: BaseException | None = None) -> None:
        """Record the workflow, once."""
        if self._ended:
            return
        self._ended = True
        if self._status is not None and self._status >= 500:
            self.failed(str(self._status))
        self.finish(error)


def _ask(question: FromScope, scope: Scope) -> str | None:
    try:
        return question(scope)
    except Exception as error:
        runtime.internal_fault(error)
        return None


def _route_template(scope: Scope) -> str | None:
    """Return the template of the route that the application in the scope will take.

    Worked out before the application does, so that what runs inside has the mode: routes match twice.
    """
    routes = getattr(scope.get("app"), "routes", None)
    return None if routes is None else _match(routes, scope)


def _match(routes: Iterable[Any], scope: Scope) -> str | None:
    partial = None
    for route in _flattened(routes):
        match, child_scope = route.matches(scope)
        if match.name == "NONE":
            continue
        template: str | None = getattr(route, "path_format", None) or getattr(route, "path", "")
        if inner := getattr(route, "routes", None):  # a mounted application, or a host
            below = _match(inner, {**scope, **child_scope})
            template = None if below is None else f"{template.removesuffix('/{path}')}{below}" if template else below
        if match.name == "FULL":
            return template
        partial = partial or template
    return partial


def _flattened(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield the routes themselves where FastAPI keeps those of an included router behind a route of its own."""
    for route in routes:
        included = getattr(route, "effective_route_contexts", None)
        if included is None:
            yield route
        else:
            for context in included():
                yield getattr(context, "starlette_route", None) or context
