"""The service's routes. Imports FastAPI; what they do is in ``pipelines`` and ``control``."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse

from genai_metrics import track_feedback, warm_up
from rag_service.answers import Answer, Asked, FaultWanted, Feedback
from rag_service.backends import Backends, connect
from rag_service.caches import Caches
from rag_service.control import Control, FaultRefused
from rag_service.effects import Effects
from rag_service.pipelines import answered
from rag_service.settings import Settings

_FAILED = 502
"""Status of an answer that failed: by then the providers have."""


_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>rag_service</title></head>
<body>
<h1>rag_service</h1>
<p>The service that the demo monitors. It has no pages but this one; programs ask it:</p>
<pre>curl -s localhost:8200/ask -H 'Content-Type: application/json' -d '{"question": "How heavy is the Heron 2?"}'</pre>
<ul>
<li><code>POST /ask</code>: answers a question</li>
<li><code>POST /feedback</code>: takes a thumb up or down</li>
<li><a href="faults"><code>/faults</code></a>: what <code>genai-exporter demo fault NAME</code> can provoke</li>
<li><a href="healthz"><code>/healthz</code></a>: whether it runs</li>
</ul>
</body>
</html>
"""


def build(settings: Settings) -> FastAPI:
    """Make the application of one worker."""
    backends = connect(settings)
    control = Control(settings, backends.faults)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        warm_up()
        tasks = [asyncio.create_task(Effects(backends).work()), asyncio.create_task(backends.evaluations.work())]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await backends.models.close()
        await control.close()

    app = FastAPI(title="rag_service", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(FaultRefused)
    async def refuse(_: Request, refused: FaultRefused) -> Response:
        return JSONResponse({"error": str(refused)}, refused.status)

    @app.post("/ask")
    async def ask(asked: Asked) -> Response:
        if asked.stream:
            return StreamingResponse(_events(asked, backends), media_type="text/event-stream")
        answer = Answer()
        try:
            async for _ in answered(asked, answer, backends):
                pass
        except Exception:
            if answer.outcome != "error":
                raise
        return JSONResponse(answer.as_json(asked), _FAILED if answer.outcome == "error" else 200)

    @app.post("/feedback", status_code=204)
    async def feedback(said: Feedback) -> None:
        track_feedback(said.rating, satisfaction=said.satisfaction, scale=5, mode=said.mode)
        if said.rating == "down" and said.question is not None:
            # An answer that a user found bad is not given to others.
            backends.caches.responses.pop(Caches.key(said.mode, said.question), None)

    @app.get("/", response_class=HTMLResponse)
    async def page(request: Request) -> str:
        return _PAGE.replace("localhost:8200", escape(request.url.netloc))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/faults")
    async def faults() -> list[dict[str, Any]]:
        return await control.listed()

    @app.post("/faults")
    async def start_fault(wanted: FaultWanted) -> dict[str, Any]:
        return await control.start(wanted.name, wanted.for_seconds)

    @app.delete("/faults/{name}")
    async def stop_fault(name: str) -> dict[str, Any]:
        return await control.stop(name)

    return app


async def _events(asked: Asked, backends: Backends) -> AsyncGenerator[bytes, None]:
    """Yield server-sent events: the answer's pieces, then ``done`` or ``error`` with what became of it."""
    answer = Answer()
    async with aclosing(answered(asked, answer, backends)) as pieces:
        try:
            async for piece in pieces:
                yield _event("piece", {"text": piece})
        except Exception:
            if answer.outcome != "error":
                raise
    yield _event("error" if answer.outcome == "error" else "done", answer.as_json(asked))


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
