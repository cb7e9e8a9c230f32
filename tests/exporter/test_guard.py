"""Tests of what every request passes first."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import bcrypt
import httpx
import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genai_exporter.guard import PIECE_BYTES, Guard
from genai_exporter.security import Security

USER = f"basic_auth_users:\n  alice: {bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n"
HEADERS = "http_server_config:\n  headers:\n    X-Frame-Options: deny\n"
APP: ASGIApp = PlainTextResponse("inside", headers={"X-Frame-Options": "sameorigin"})

Ask = Callable[..., list[httpx.Response]]


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A function that asks a guard over a web configuration for paths: (configuration, paths, auth, clock)."""

    def send(
        text: str,
        *paths: str,
        auth: tuple[str, str] | None = None,
        clock: Clock | None = None,
        method: str = "GET",
        step: float = 0.0,
    ) -> list[httpx.Response]:
        (tmp_path / "web.yml").write_text(text)
        security = Security(tmp_path / "web.yml")
        ticking = clock or Clock()
        guard = Guard(APP, security, ticking)

        async def run() -> list[httpx.Response]:
            responses = []
            transport = httpx.ASGITransport(guard)
            async with httpx.AsyncClient(transport=transport, base_url="http://test", auth=auth) as client:
                for path in paths:
                    responses.append(await client.request(method, path))
                    ticking.now += step
            return responses

        try:
            return asyncio.run(run())
        finally:
            guard.close()
            security.close()

    return send


class TestUsers:
    """Basic authentication."""

    @pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/-/reload", "/nothing"])
    @pytest.mark.parametrize("auth", [None, ("alice", "wrong"), ("eve", "secret"), ("", "")])
    def test_nothing_is_served_without_a_password(self, ask: Ask, path: str, auth: tuple[str, str] | None) -> None:
        """Every path says 401, also those of health checks, as in the toolkit, and says how to log in."""
        (response,) = ask(USER + HEADERS, path, auth=auth)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == 'Basic realm="genai-exporter"'
        assert response.headers["x-frame-options"] == "deny"
        assert response.text == "Unauthorized\n"

    def test_the_right_password_opens_it(self, ask: Ask) -> None:
        """For every request of the connection."""
        responses = ask(USER, "/metrics", "/", auth=("alice", "secret"))
        assert [response.text for response in responses] == ["inside", "inside"]

    def test_without_users_everybody_is_let_in(self, ask: Ask) -> None:
        """A file that is only about TLS or headers asks for no password."""
        assert ask(HEADERS, "/")[0].text == "inside"


class TestHeaders:
    """Added headers."""

    def test_replace_those_of_the_page(self, ask: Ask) -> None:
        """What the operator says wins, and is there once."""
        (response,) = ask(HEADERS, "/")
        assert response.headers.get_list("x-frame-options") == ["deny"]


class TestRateLimit:
    """The token bucket."""

    def test_lets_a_burst_and_then_one_an_interval(self, ask: Ask) -> None:
        """Three at once, then one each two seconds; refused ones cost nothing, and passwords are not even looked at."""
        limit = "rate_limit: {interval: 2s, burst: 3}\n"
        codes = [response.status_code for response in ask(limit + USER, *["/"] * 12, step=1.0)]
        assert codes == [401, 401, 401, 401, 401, 429, 401, 429, 401, 429, 401, 429]

    def test_a_rest_never_saves_up_more_than_the_burst(self, ask: Ask) -> None:
        """After an hour there are still only three."""
        clock = Clock()
        clock.now = 3600.0
        codes = [r.status_code for r in ask("rate_limit: {interval: 1s, burst: 3}\n", *["/"] * 4, clock=clock)]
        assert codes == [200, 200, 200, 429]


class TestPieces:
    """Long answers."""

    @pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES, 5 * PIECE_BYTES + 7])
    def test_are_sent_piece_by_piece(self, size: int) -> None:
        """No piece is longer than the limit, together they are the answer, and others have their turn in between."""
        body = bytes(range(256)) * (size // 256 + 1)
        body = body[:size]
        messages: list[Message] = []
        turns = 0

        async def send(message: Message) -> None:
            messages.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async def run() -> None:
            task = asyncio.ensure_future(others())
            scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
            await Guard(Response(body), None)(scope, receive, send)
            task.cancel()

        asyncio.run(run())
        pieces = [message for message in messages if message["type"] == "http.response.body"]
        assert b"".join(bytes(piece["body"]) for piece in pieces) == body
        assert all(len(piece["body"]) <= PIECE_BYTES for piece in pieces)
        assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
        assert turns >= len(pieces) - 1

    def test_of_a_stream_go_on(self) -> None:
        """A long piece of a stream is not taken for its end."""
        messages: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.body", "body": b"x" * (PIECE_BYTES + 1), "more_body": True})

        async def send(message: Message) -> None:
            messages.append(message)

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        asyncio.run(Guard(app, None)({"type": "http"}, receive, send))
        assert [message["more_body"] for message in messages] == [True, True]
