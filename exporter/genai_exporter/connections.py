"""One client's connection: uvicorn's, with TLS from the certificates of the moment, and with limits.

uvicorn has neither a time limit for a request's head nor one for a client that does not read, and a server of its
kind has one TLS context for its whole life; so its protocol is extended here, through asyncio's and h11's public
interfaces.
"""

import asyncio
import http
import logging
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from genai_exporter.limits import Limits, Parser
from genai_exporter.security import Security
from genai_exporter.tlscontext import has_allowed_name

log = logging.getLogger(__name__)

# Beyond the limit that many are still told so; then connections are dropped without a word.
_REFUSED_POLITELY = 64


class ServingConfig(uvicorn.Config):
    """uvicorn's configuration, and ours for each connection."""

    def __init__(self, app: Any, security: Security | None, limits: Limits, **options: Any) -> None:
        super().__init__(
            app,
            http=Connection,
            ws="none",
            loop="asyncio",
            timeout_keep_alive=limits.idle_seconds,
            **options,
        )
        self.security = security
        self.limits = limits


class Connection(H11Protocol):
    """A connection from its acceptance on; lives on the event loop."""

    def __init__(
        self,
        config: ServingConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._security = config.security
        self.conn: Parser = Parser(config.limits)
        self._early: list[bytes] = []
        self._begun = False
        self._refused = False
        self._lost = False
        self._for_head = _Deadline(self.loop, self._cut_off)
        self._for_reading = _Deadline(self.loop, self._cut_off_if_unread)

    # asyncio calls from here on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection on, if there are not too many; with TLS, begin the handshake."""
        self.transport = transport
        excess = len(self.connections) - self._limits.connections
        self.connections.add(self)
        has_tls = self._security is not None and self._security.has_tls
        if excess >= 0 and (has_tls or excess >= _REFUSED_POLITELY):
            transport.abort()
        elif excess >= 0:
            self._refuse(http.HTTPStatus.SERVICE_UNAVAILABLE)
        elif has_tls:
            transport.pause_reading()
            task = self.loop.create_task(self._shake_hands(transport))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self._begin(transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless the client has been refused."""
        if self._refused:
            return
        if not self._begun:  # sent with the end of the handshake, before that has been noticed
            self._early.append(data)
            return
        if not self._is_answering():
            self._for_head.start(self._limits.head_seconds)
            if self.transport.get_write_buffer_size() == 0:
                self._for_reading.stop()
        super().data_received(data)
        if self._is_answering():
            self._for_head.stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._lost:
            return
        self._lost = True
        self._for_head.stop()
        self._for_reading.stop()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def pause_writing(self) -> None:
        """Give the client, which does not keep up, its time for the rest of the answer."""
        super().pause_writing()
        self._for_reading.start(self._limits.write_seconds)

    # uvicorn calls from here on

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection without requests, even if its client has not read the last answer."""
        if self.transport.get_write_buffer_size() > 0:
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, or too much of it, with the status that says so."""
        # Never during an answer: what follows a request is parsed after it, and bodies in chunks are refused.
        self._refuse(self.conn.status)

    def shutdown(self) -> None:
        """Close the connection, after the answer that it waits for."""
        if self._refused or not self._begun:
            self.transport.abort()
        else:
            super().shutdown()

    # Ours

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        assert self._security is not None
        limits = self._limits
        try:
            in_force = await self._security.current()
            assert in_force.context is not None
            secured = await self.loop.start_tls(
                transport,
                self,
                in_force.context,
                server_side=True,
                ssl_handshake_timeout=limits.handshake_seconds,
                ssl_shutdown_timeout=limits.close_seconds,
            )
        except OSError as error:  # also ssl.SSLError and the time limit's ConnectionAbortedError
            log.debug("no TLS connection", extra={"fields": {"error": error}})
            transport.abort()
            self.connection_lost(error)
            return
        if secured is None or self._lost:  # gone meanwhile
            self.connection_lost(None)
            return
        tls = in_force.config.tls
        if tls is not None and tls.allowed_sans is not None:
            peer: ssl.SSLObject = secured.get_extra_info("ssl_object")
            if not has_allowed_name(peer.getpeercert(), tls.allowed_sans):
                log.debug("client certificate without an allowed name")
                secured.abort()
                return
        self._begin(secured)
        for data in self._early:
            self.data_received(data)
        self._early.clear()

    def _begin(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._begun = True
        self._for_head.start(self._limits.head_seconds)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _cut_off(self) -> None:
        self.transport.abort()

    def _cut_off_if_unread(self) -> None:
        if self._is_answering() or self.transport.get_write_buffer_size() > 0:
            self.transport.abort()

    def _refuse(self, status: http.HTTPStatus) -> None:
        """Answer with ``status`` and end the connection, giving the client time to read that.

        Closed at once, with something unread in it, the connection would be reset and the answer lost.
        """
        self._refused = True
        self._unset_keepalive_if_required()
        text = f"{status.phrase}\n"
        self.transport.write(
            f"HTTP/1.1 {status} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._for_head.stop()
        self._for_head.start(self._limits.close_seconds)


class _Deadline:
    """Calls back once, unless stopped before; started while it runs, it keeps its time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float) -> None:
        """Call back after that many seconds."""
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._fire)

    def stop(self) -> None:
        """Do not call back."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        self._callback()
