"""The ASGI middleware under real FastAPI and Starlette, in memory and behind a real uvicorn."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from websockets.sync.client import connect

from genai_metrics import current_run, track_llm_call
from genai_metrics.integrations.fastapi import GenAIMiddleware
from genai_metrics.testing import sample

DURATION = "genai_workflow_duration_seconds_count"
ERRORS = "genai_workflow_errors_total"
FIRST_CONTENT = "genai_workflow_time_to_first_content_seconds_count"
CALLS = "genai_llm_calls_total"


def application(middleware: bool = True, **options: Any) -> FastAPI:
    """An application with an endpoint of every kind."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.started = True
        yield
        app.state.started = False

    app = FastAPI(lifespan=lifespan)
    if middleware:
        app.add_middleware(GenAIMiddleware, **options)

    @app.get("/chat/{name}")
    async def chat(name: str) -> dict[str, str]:
        track_llm_call(model="m", duration=0.1)
        return {"name": name}

    @app.get("/sync/{name}")
    def in_thread(name: str) -> dict[str, str]:
        track_llm_call(model="m", duration=0.1)
        return {"name": name, "thread": str(threading.current_thread() is threading.main_thread())}

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield ""
            yield "a"
            track_llm_call(model="m", duration=0.1)
            yield "b"

        return StreamingResponse(parts(), media_type="text/plain")

    @app.get("/broken-stream")
    async def broken_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            yield "a"
            raise ValueError("broken")

        return StreamingResponse(parts())

    @app.get("/raises")
    async def raises() -> None:
        raise KeyError("x")

    @app.get("/status/{code}")
    async def status(code: int) -> None:
        raise HTTPException(code)

    @app.get("/metrics")
    async def metrics() -> str:
        return "metrics"

    router = APIRouter(prefix="/items")

    @router.get("/{item}/parts/{part}")
    async def part(item: str, part: str) -> str:
        return item + part

    app.include_router(router, prefix="/v1")

    mounted = Starlette(routes=[Route("/inner/{x}", lambda _: PlainTextResponse("inner"))])
    app.mount("/sub", mounted)

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(f"{await socket.receive_text()} {current_run()}")
        await socket.close()

    return app


def get(app: Any, path: str, **options: Any) -> httpx.Response:
    """One GET, in memory; exceptions of the application come through."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=options.pop("raises", False))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get(path, **options)

    return asyncio.run(ask())


@contextmanager
def served(app: Any) -> Iterator[str]:
    """The address of a real uvicorn on a free loopback port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="websockets-sansio"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not (server.started and server.servers) and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        yield f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the server has got so far."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class TestModes:
    """What a request is counted under."""

    @pytest.mark.parametrize(
        ("path", "template"),
        [
            ("/chat/ann", "/chat/{name}"),
            ("/v1/items/a/parts/b", "/v1/items/{item}/parts/{part}"),
            ("/sub/inner/7", "/sub/inner/{x}"),
            ("/nothing/here", "unmatched"),
            ("/sub/nothing", "unmatched"),
        ],
    )
    def test_the_mode_is_the_template_of_the_route(self, path: str, template: str) -> None:
        """Whatever the path is, and however the route got into the application."""
        get(application(), path)
        assert sample(DURATION, mode=template) == 1
        assert sample(DURATION) == 1
        assert sample("genai_workflow_in_flight") == 0

    def test_a_wrong_method_is_of_the_route(self) -> None:
        """A 405 belongs to the route that refused it."""

        async def ask() -> int:
            transport = httpx.ASGITransport(application())
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return (await client.post("/chat/ann")).status_code

        assert asyncio.run(ask()) == 405
        assert sample(DURATION, mode="/chat/{name}", outcome="success") == 1

    def test_mode_and_tenant_come_from_the_scope(self) -> None:
        """As the application's own functions say; the calls inside take both."""
        app = application(
            mode=lambda scope: "chat", tenant=lambda scope: dict(scope["headers"]).get(b"x-tenant", b"").decode()
        )
        get(app, "/chat/ann", headers={"x-tenant": "acme"})
        assert sample(DURATION, mode="chat") == 1
        assert sample(CALLS, mode="chat") == 1
        assert sample("genai_tenant_requests_total", tenant="acme", mode="chat") == 1

    def test_a_function_that_raises_changes_nothing(self) -> None:
        """The request is served, and the fault counted."""

        def broken(scope: Any) -> str:
            raise RuntimeError("broken")

        response = get(application(mode=broken, tenant=broken), "/chat/ann")
        assert response.json() == {"name": "ann"}
        assert sample(DURATION, mode="unmatched") == 1
        assert sample("genai_recorder_faults_total", reason="internal") == 2

    def test_excluded_paths_are_no_workflows(self) -> None:
        """The usual ones by default, others by choice."""
        get(application(), "/metrics")
        get(application(excluded=["/chat/ann"]), "/chat/ann")
        assert sample(DURATION) == 0

    def test_an_application_without_routes_is_unmatched(self) -> None:
        """The middleware needs no framework."""

        async def bare(scope: Any, receive: Any, send: Any) -> None:
            await PlainTextResponse("bare")(scope, receive, send)

        assert get(GenAIMiddleware(bare), "/x").text == "bare"
        assert sample(DURATION, mode="unmatched", outcome="success") == 1


class TestOutcomes:
    """What is an error."""

    @pytest.mark.parametrize("code", [400, 404, 429])
    def test_4xx_is_no_error(self, code: int) -> None:
        """The client's mistake is not the service's."""
        assert get(application(), f"/status/{code}").status_code == code
        assert sample(DURATION, outcome="success", mode="/status/{code}") == 1
        assert sample(ERRORS) == 0

    @pytest.mark.parametrize("code", [500, 503])
    def test_5xx_is_an_error_of_its_status(self, code: int) -> None:
        """Whether or not an exception was behind it."""
        assert get(application(), f"/status/{code}").status_code == code
        assert sample(DURATION, outcome="error") == 1
        assert sample(ERRORS, mode="/status/{code}", error_type=str(code)) == 1

    def test_an_exception_goes_on_and_is_an_error_of_its_class(self) -> None:
        """The same exception that comes without the middleware."""
        with pytest.raises(KeyError, match="x"):
            get(application(), "/raises", raises=True)
        assert sample(ERRORS, mode="/raises", error_type="KeyError") == 1
        assert sample("genai_workflow_in_flight") == 0

    def test_an_empty_response_has_no_content(self) -> None:
        """Of which there is no first time."""
        app = Starlette(routes=[Route("/", lambda _: Response(b""))], middleware=[Middleware(GenAIMiddleware)])
        assert get(app, "/").content == b""
        assert sample(DURATION, mode="/", outcome="success") == 1
        assert sample(FIRST_CONTENT) == 0

    def test_no_response_is_an_error(self) -> None:
        """An application that returns without one."""

        async def silent(scope: Any, receive: Any, send: Any) -> None: ...

        async def ask() -> None:
            await GenAIMiddleware(silent)({"type": "http", "path": "/"}, None, None)  # type: ignore[arg-type]

        asyncio.run(ask())
        assert sample(ERRORS, error_type="no_response") == 1

    @pytest.mark.parametrize("path", ["/chat/ann", "/stream", "/status/503", "/nothing", "/v1/items/a/parts/b"])
    def test_responses_are_those_without_the_middleware(self, path: str) -> None:
        """Status, headers and body."""
        with_it, without = get(application(), path), get(application(middleware=False), path)
        assert (with_it.status_code, with_it.headers, with_it.content) == (
            without.status_code,
            without.headers,
            without.content,
        )


class TestContext:
    """What runs inside a request is part of its workflow."""

    @pytest.mark.parametrize(("path", "mode"), [("/sync/a", "/sync/{name}"), ("/stream", "/stream")])
    def test_calls_in_threads_and_streams_have_the_mode(self, path: str, mode: str) -> None:
        """A synchronous endpoint runs in a thread, a stream after the endpoint has returned."""
        get(application(), path)
        assert sample(CALLS, mode=mode) == 1

    def test_a_thousand_requests_at_once_keep_their_own(self) -> None:
        """Each one's tenant, not another's."""
        app = application(tenant=lambda scope: scope["path"].rpartition("/")[2])

        async def ask() -> None:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                await asyncio.gather(*(client.get(f"/chat/{n % 10}") for n in range(1000)))

        asyncio.run(ask())
        assert [sample("genai_tenant_requests_total", tenant=str(n)) for n in range(10)] == [100] * 10

    def test_background_tasks_do_not_prolong_the_workflow(self) -> None:
        """It has ended when they begin, and is still their context."""
        seen: dict[str, Any] = {}

        def task() -> None:
            seen["ended"] = sample(DURATION, mode="/later")
            track_llm_call(model="m", duration=0.1)

        async def later(request: Request) -> Response:
            return JSONResponse({}, background=BackgroundTask(task))

        app = Starlette(routes=[Route("/later", later)], middleware=[Middleware(GenAIMiddleware)])
        get(app, "/later")
        assert seen == {"ended": 1}
        assert sample(CALLS, mode="/later") == 1
        assert sample(DURATION) == 1

    def test_routes_of_a_host_or_a_mount_of_a_mount(self) -> None:
        """Templates are put together from all levels."""
        inner = Mount("/b/{y}", routes=[Route("/c", lambda _: PlainTextResponse("c"))])
        app = Starlette(routes=[Mount("/a", routes=[inner])], middleware=[Middleware(GenAIMiddleware)])
        assert get(app, "/a/b/7/c").text == "c"
        assert sample(DURATION, mode="/a/b/{y}/c") == 1


class TestStreams:
    """Behind a real server."""

    def test_first_content_and_end_of_a_stream(self) -> None:
        """First content counts at the first part that is not empty, the duration to the last."""
        release = threading.Event()
        app = application()

        @app.get("/slow")
        def slow() -> StreamingResponse:
            def parts() -> Iterator[str]:
                yield ""
                yield "first"
                release.wait(20)
                yield "last"

            return StreamingResponse(parts())

        with served(app) as address, httpx.stream("GET", f"http://{address}/slow") as response:
            parts = response.iter_text()
            assert next(parts) == "first"
            wait_for(lambda: sample(FIRST_CONTENT, mode="/slow") == 1)
            assert sample(DURATION) == 0
            assert sample("genai_workflow_in_flight", mode="/slow") == 1
            release.set()
            assert "".join(parts) == "last"
            wait_for(lambda: sample(DURATION, mode="/slow", outcome="success") == 1)
        assert sample("genai_workflow_in_flight") == 0
        assert sample(FIRST_CONTENT) == 1

    def test_a_stream_that_breaks_is_an_error(self) -> None:
        """After the first part, when the status has long been sent."""
        with served(application()) as address, pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"http://{address}/broken-stream")
        assert sample(ERRORS, mode="/broken-stream") == 1
        assert sample(DURATION, mode="/broken-stream", outcome="error") == 1

    def test_a_client_that_leaves_is_no_error(self) -> None:
        """It has seen enough; the workflow ends all the same, once."""
        app = application()

        @app.get("/endless")
        async def endless() -> StreamingResponse:
            async def parts() -> AsyncIterator[str]:
                while True:
                    yield "part"
                    await asyncio.sleep(0.01)

            return StreamingResponse(parts())

        with served(app) as address:
            with httpx.stream("GET", f"http://{address}/endless") as response:
                next(response.iter_text())
            wait_for(lambda: sample(DURATION, mode="/endless") == 1)
        assert sample(ERRORS) == 0
        assert sample("genai_workflow_in_flight") == 0


class TestUntouched:
    """What is no HTTP request."""

    def test_web_sockets_and_lifespan_pass_through(self) -> None:
        """They work, and nothing is recorded of them."""
        app = application()
        with served(app) as address:
            assert app.state.started
            with connect(f"ws://{address}/ws") as socket:
                socket.send("hello")
                assert socket.recv() == "hello None"
        assert not app.state.started
        assert sample(DURATION) == 0

    def test_a_send_that_fails_goes_on_unchanged(self) -> None:
        """An exception of the server's own ``send``."""

        async def app(scope: Any, receive: Any, send: Callable[..., Awaitable[None]]) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})

        async def send(message: Any) -> None:
            raise OSError("gone")

        async def ask() -> None:
            await GenAIMiddleware(app)({"type": "http", "path": "/"}, None, send)  # type: ignore[arg-type]

        with pytest.raises(OSError, match="gone"):
            asyncio.run(ask())
        assert sample(ERRORS, error_type="OSError") == 1
