"""From an address to a served application, and to a clean end at SIGTERM or SIGINT."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_GRACE_SECONDS = 1


class ListenError(Exception):
    """The address cannot be listened on; the text names it, and says why."""


class OpenConnections:
    """The connections that are open, by the address of the client, so that an application can ask for one."""

    def __init__(self) -> None:
        self._transports: dict[tuple[str, int], asyncio.Transport] = {}

    def is_open(self, scope: Scope) -> bool:
        """Whether the connection that a request came on is there, and its client has not said that it goes."""
        transport = self._transports.get(tuple(scope["client"]))
        return transport is not None and not transport.is_closing()

    def close(self, scope: Scope) -> None:
        """Close the connection that a request came on; what was not sent yet is lost."""
        transport = self._transports.get(tuple(scope["client"]))
        if transport is not None:
            transport.abort()

    def close_all(self) -> None:
        """Close every connection."""
        for transport in list(self._transports.values()):
            transport.abort()

    def protocol(self) -> type[asyncio.Protocol]:
        """uvicorn's protocol for one connection, which enters it here."""
        transports = self._transports

        class Entered(H11Protocol):
            """A connection that can be closed."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                """Enter it."""
                self._peer = tuple(transport.get_extra_info("peername")[:2])
                transports[self._peer] = transport
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                """Forget it."""
                transports.pop(self._peer, None)
                super().connection_lost(exc)

        return Entered


def listen(address: str) -> socket.socket:
    """Listen on ``HOST:PORT``, port 0 being any free one. Raises ``ListenError``."""
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise ListenError(f"{address}: not HOST:PORT, such as 127.0.0.1:0")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, _, _, _, name = min(found, key=lambda info: info[0] != socket.AF_INET)
        listener = socket.create_server(name, family=family, backlog=1024)
    except OSError as error:
        raise ListenError(f"cannot listen on {address}: {error.strerror or error}; choose another address") from error
    # For its connections, which asyncio sets it on only where the protocol is named: else each piece that is sent after
    # another waits for the client's acknowledgement, up to 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(app: ASGIApp, connections: OpenConnections, listener: socket.socket, ready: Callable[[], Any]) -> None:
    """Serve until SIGTERM or SIGINT, then give answers under way a second; calls ``ready`` once it answers."""
    config = uvicorn.Config(
        app,
        http=connections.protocol(),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=1024,
        timeout_keep_alive=60,  # longer than the SDKs keep a connection, so that none is closed under a request
    )
    _Server(config, connections, ready).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that ends with status 0 on a signal: uvicorn's own raises the signal once more."""

    def __init__(self, config: uvicorn.Config, connections: OpenConnections, ready: Callable[[], Any]) -> None:
        super().__init__(config)
        self._connections = connections
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; what takes longer than the grace sees its client gone, and ends like that."""
        asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._connections.close_all)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal, once."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
