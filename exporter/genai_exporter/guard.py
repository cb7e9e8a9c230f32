"""What every request passes before the application: rate limit, password, added headers, answers in small pieces.

An ASGI middleware around the whole application, so that nothing is served past it, health endpoints included.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genai_exporter.security import Security
from genai_exporter.webauth import BusyError, Passwords, parse
from genai_exporter.webconfig import RateLimit

PIECE_BYTES: Final = 64 * 1024
"""Most bytes handed to a connection at once: 10 MiB in one piece hold the event loop up for seconds under TLS."""


class Guard:
    """Lets in who may, and sends answers piece by piece; without ``security`` everybody may.

    ``clock`` counts seconds.
    """

    def __init__(self, app: ASGIApp, security: Security | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._security = security
        self._passwords = Passwords()
        self._bucket = _Bucket(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application answer it."""
        send = _in_pieces(send)
        if self._security is None:
            await self._app(scope, receive, send)
            return
        config = (await self._security.current()).config
        send = _with_headers(send, dict(config.headers))
        app = self._app
        if config.rate_limit is not None and not self._bucket.takes(config.rate_limit):
            app = PlainTextResponse("Too Many Requests\n", 429)
        elif config.users:
            app = await self._authenticated(scope, dict(config.users))
        await app(scope, receive, send)

    def close(self) -> None:
        """Let the thread that checks passwords end."""
        self._passwords.close()

    async def _authenticated(self, scope: Scope, users: dict[str, str]) -> ASGIApp:
        header = Headers(scope=scope).get("authorization")
        credentials = parse(None if header is None else header.encode("latin-1"))
        try:
            if credentials is not None and await self._passwords.are_right(credentials, users):
                return self._app
        except BusyError:
            return PlainTextResponse("Too many passwords are being checked\n", 503, {"Retry-After": "5"})
        return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": 'Basic realm="genai-exporter"'})


class _Bucket:
    """A token bucket that begins full."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tokens = float("inf")
        self._at = clock()

    def takes(self, limit: RateLimit) -> bool:
        """Whether a request may pass now; if so it is counted."""
        now = self._clock()
        self._tokens = min(limit.burst, self._tokens + (now - self._at) / limit.interval_seconds)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return wrapped if headers else send


def _in_pieces(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        body = memoryview(message.get("body", b""))
        if len(body) <= PIECE_BYTES:
            await send(message)
            return
        for start in range(0, len(body), PIECE_BYTES):
            piece = body[start : start + PIECE_BYTES]
            more = message.get("more_body", False) or start + len(piece) < len(body)
            await send({**message, "body": piece, "more_body": more})
            # The server waits only when the client is slower than we; others must have their turn in between.
            await asyncio.sleep(0)

    return wrapped
