"""Clients on bare sockets, and an application with answers of several lengths for them."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

DEADLINE_SECONDS = 60.0
LONG = b"0123456789abcdef" * (1024 * 1024)  # 16 MiB, beyond any socket's buffers
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LATE_SECONDS = 5.5


def make_app() -> Starlette:
    """An application with a short, a long and a late answer."""

    async def short(request: Request) -> Response:
        return PlainTextResponse(request.url.query or "short")

    async def long(request: Request) -> Response:
        return Response(LONG)

    async def late(request: Request) -> Response:
        await asyncio.sleep(LATE_SECONDS)
        return PlainTextResponse("late")

    return Starlette(routes=[Route("/", short), Route("/long", long), Route("/late", late)])


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
        yield client


def read_all(client: socket.socket) -> bytes:
    """Read until the server ends the connection, in whatever way."""
    received = b""
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return received


def read_until(client: socket.socket, end: bytes) -> bytes:
    """Read until some bytes have come."""
    received = b""
    while end not in received:
        chunk = client.recv(65536)
        assert chunk, received
        received += chunk
    return received


def send_all(client: socket.socket, data: bytes) -> None:
    """Send; a server that ends the connection meanwhile is no fault."""
    try:
        client.sendall(data)
    except ConnectionError:
        pass
