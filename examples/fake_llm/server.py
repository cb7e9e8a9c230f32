"""The ASGI application: both providers' endpoints, the ledger, the faults.

Everything runs on one event loop, so that the ledger needs no locks.
"""

import itertools
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from types import ModuleType
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fake_llm import anthropic_wire, openai_wire
from fake_llm.answers import Content, compose
from fake_llm.delivery import Answer, Closed, Connections, Reply, Stream
from fake_llm.faults import KINDS, FaultError, Faults
from fake_llm.fits import (
    EMBEDDING,
    LONGEST_ANSWER_SECONDS,
    LONGEST_FIRST_SECONDS,
    SLOW_START_SHARE,
    draw_first,
    pace_of,
)
from fake_llm.ledger import Bill, Ledger, Price, Usage
from fake_llm.prompt_cache import PromptCache
from fake_llm.prompts import CHARACTERS_PER_TOKEN, BadRequest, Prompt
from fake_llm.troubles import Trouble, trouble_for

_LONGEST_MODEL_NAME = 200
# What reading a request of a wrong form raises: it is refused, whatever is wrong with it.
_MALFORMED = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves.

    ``seed`` decides, with the order in which requests come in, all lengths, latencies, texts and errors. ``speed``
    divides latencies, 0 is without any. ``errors`` is the share of requests that fail by themselves, ``slow_starts``
    that of answers whose model must be loaded first, ``quality`` the mean score of its evaluators; all 0 to 1.
    ``price`` adds costs to the ledger.
    """

    seed: int = 1
    speed: float = 1.0
    errors: float = 0.003
    slow_starts: float = SLOW_START_SHARE
    quality: float = 0.85
    price: Price | None = None


class Providers:
    """Both providers: what they have seen, billed, and been told to do wrong."""

    def __init__(
        self, settings: Settings, connections: Connections, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._numbers = itertools.count(1)
        self._cache = PromptCache(clock)
        self.ledger = Ledger(settings.price)
        self.faults = Faults(clock)

    async def chat(self, request: Request) -> ASGIApp:
        """OpenAI's chat completions."""
        return await self._answer(request, openai_wire)

    async def message(self, request: Request) -> ASGIApp:
        """Anthropic's messages."""
        return await self._answer(request, anthropic_wire)

    async def embeddings(self, request: Request) -> ASGIApp:
        """OpenAI's embeddings."""
        body = await _body(request)
        number = next(self._numbers)
        random = self._random(number)
        refused = self._refusal(number, openai_wire, request, body, random)
        if refused is not None:
            return refused
        bill = self.ledger.open(openai_wire.PROVIDER, body["model"])
        try:
            texts, tokens = openai_wire.read_embedding(body)
            answer = openai_wire.embeddings(body, texts, tokens)
        except _MALFORMED as error:
            return self._error(number, openai_wire, bill, _bad_request(error))
        seconds = self._seconds(EMBEDDING.draw(random, LONGEST_FIRST_SECONDS), openai_wire.PROVIDER)
        return Reply(bill, self._connections, answer, headers=_headers(number), usage=Usage(tokens), seconds=seconds)

    async def _answer(self, request: Request, wire: ModuleType) -> ASGIApp:
        body = await _body(request)
        number = next(self._numbers)
        random = self._random(number)
        refused = self._refusal(number, wire, request, body, random)
        if refused is not None:
            return refused
        drop = self.faults.active("quality_drop", wire.PROVIDER)
        quality = self._settings.quality if drop is None else drop["quality"]
        try:
            prompt: Prompt = wire.read(body)
            content = compose(prompt, random, quality)
        except _MALFORMED as error:
            return self._error(number, wire, self.ledger.open(wire.PROVIDER, body["model"]), _bad_request(error))
        answer = self._billable(request, prompt, content, random)
        bill = self.ledger.open(wire.PROVIDER, prompt.model)
        if prompt.streamed:
            events = wire.stream(number, prompt, content, answer.usage)
            return Stream(bill, self._connections, answer, events, _headers(number))
        seconds = answer.first_seconds + answer.character_seconds * len(content.text)
        body = wire.complete(number, prompt, content, answer.usage)
        return Reply(bill, self._connections, body, headers=_headers(number), usage=answer.usage, seconds=seconds)

    def _billable(self, request: Request, prompt: Prompt, content: Content, random: Random) -> Answer:
        """What is billed for an answer, and its pace."""
        cached = self._cache.use(_api_key(request), prompt)
        given, reasoning = prompt.input_tokens, content.reasoning_tokens

        def usage_until(characters: int) -> Usage:
            return Usage(given, content.tokens_until(characters), cached.read, cached.written, reasoning)

        pace = pace_of(prompt.provider, prompt.model)
        per_token = pace.per_token.draw(random)
        first = draw_first(pace, random, self._settings.slow_starts)
        first += reasoning * per_token  # what is thought comes before what is said
        visible = content.output_tokens - reasoning
        shrink = min(1.0, LONGEST_ANSWER_SECONDS / (first + visible * per_token))
        return Answer(
            usage=usage_until(len(content.text) + len(content.tool or "")),
            usage_until=usage_until,
            first_seconds=self._seconds(first * shrink, prompt.provider),
            character_seconds=self._seconds(per_token * shrink, prompt.provider, "token_seconds")
            / CHARACTERS_PER_TOKEN,
        )

    def _refusal(self, number: int, wire: ModuleType, request: Request, body: Any, random: Random) -> ASGIApp | None:
        """The answer to a request that gets no other, else ``None``."""
        model = body.get("model") if isinstance(body, Mapping) else None
        if not isinstance(model, str) or not 0 < len(model) <= _LONGEST_MODEL_NAME or not model.isprintable():
            # Nobody can be billed for this: it is in no account.
            message = "a JSON object with a model, a printable name of 1 to 200 characters, is required"
            return JSONResponse(wire.error(number, 400, message), 400)
        if not _api_key(request):
            return self._error(number, wire, self.ledger.open(wire.PROVIDER, model), Trouble(401, "No API key given."))
        trouble = trouble_for(wire.PROVIDER, self.faults, self._settings.errors, random)
        if trouble is None:
            return None
        return self._error(number, wire, self.ledger.open(wire.PROVIDER, model), trouble)

    def _error(self, number: int, wire: ModuleType, bill: Bill, trouble: Trouble) -> ASGIApp:
        if trouble.status == 0:
            return Closed(bill, self._connections)
        headers = _headers(number)
        if trouble.retry_after is not None:
            seconds = trouble.retry_after
            # At least 1: the libraries take 0 for no answer, and wait as long as they please.
            whole, thousandths = max(1, math.ceil(seconds)), max(1, math.ceil(seconds * 1000))
            headers |= {"retry-after": str(whole), "retry-after-ms": str(thousandths)}
        body = wire.error(number, trouble.status, trouble.message)
        return Reply(bill, self._connections, body, trouble.status, headers, seconds=self._at_speed(trouble.seconds))

    def _random(self, number: int) -> Random:
        """Each request's own, so that what one draws changes nothing for another."""
        return Random((self._settings.seed << 40) + number)

    def _at_speed(self, seconds: float) -> float:
        return seconds / self._settings.speed if self._settings.speed else 0.0

    def _seconds(self, seconds: float, provider: str, more: str = "add_seconds") -> float:
        """How long something takes at the server's speed, and with the fault ``latency``."""
        fault = self.faults.active("latency", provider)
        if fault is None:
            return self._at_speed(seconds)
        return self._at_speed(seconds * fault["factor"]) + float(fault[more])


def application(providers: Providers) -> Starlette:
    """The application that serves both providers, the ledger and the faults."""
    faults = providers.faults

    async def ledger(request: Request) -> Response:
        return JSONResponse(providers.ledger.as_json())

    async def clear_ledger(request: Request) -> Response:
        providers.ledger.clear()
        return Response(status_code=204)

    async def list_faults(request: Request) -> Response:
        return JSONResponse([faults.describe(name) for name in KINDS])

    async def start_fault(request: Request) -> Response:
        return JSONResponse(faults.start(request.path_params["name"], await _body(request)))

    async def stop_fault(request: Request) -> Response:
        faults.stop(request.path_params["name"])
        return Response(status_code=204)

    async def stop_faults(request: Request) -> Response:
        faults.stop_all()
        return Response(status_code=204)

    async def refuse(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 404 if request.path_params.get("name") not in KINDS else 400)

    async def list_models(request: Request) -> Response:
        wire = openai_wire if request.url.path.startswith("/openai/") else anthropic_wire
        return JSONResponse(wire.models())

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return Starlette(
        routes=[
            Route("/openai/v1/chat/completions", providers.chat, methods=["POST"]),
            Route("/openai/v1/embeddings", providers.embeddings, methods=["POST"]),
            Route("/openai/v1/models", list_models),
            Route("/anthropic/v1/messages", providers.message, methods=["POST"]),
            Route("/anthropic/v1/models", list_models),
            Route("/ledger", ledger),
            Route("/ledger", clear_ledger, methods=["DELETE"]),
            Route("/faults", list_faults),
            Route("/faults", stop_faults, methods=["DELETE"]),
            Route("/faults/{name}", start_fault, methods=["PUT"]),
            Route("/faults/{name}", stop_fault, methods=["DELETE"]),
            Route("/healthz", health),
        ],
        exception_handlers={FaultError: refuse},
    )


async def _body(request: Request) -> Any:
    """What was sent, ``None`` when it is no JSON."""
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        return None


def _bad_request(error: Exception) -> Trouble:
    said = str(error) if isinstance(error, BadRequest) else f"malformed: {type(error).__name__}: {error}"
    return Trouble(400, said)


def _api_key(request: Request) -> str:
    return request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ").strip()


def _headers(number: int) -> dict[str, str]:
    return {"x-request-id": f"req_{number:08d}", "request-id": f"req_{number:08d}"}
