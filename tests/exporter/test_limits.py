"""Tests of what one client may take: real sockets against the real server, with small limits."""

import asyncio
import logging
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.server import ServerState

from genai_exporter.connections import Connection, ServingConfig
from genai_exporter.limits import Limits
from genai_exporter.server import Server

DEADLINE_SECONDS = 60.0
LONG = b"0123456789abcdef" * (1024 * 1024)  # 16 MiB, beyond any socket's buffers
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
REFUSED_POLITELY = 64
LATE_SECONDS = 2.2

Serve = Callable[..., tuple[Server, int]]
Eventually = Callable[[Callable[[], bool]], None]


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


class TestHead:
    """What is asked for."""

    @pytest.mark.parametrize(
        ("request_", "status"),
        [
            (b"GET /?" + b"a" * 8200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414 Request-URI Too Long"),
            (b"GET /" + b"a" * 20_000, b"414 Request-URI Too Long"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17_000 + b"\r\n\r\n", b"431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 17_000, b"431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100 + b"\r\n", b"431 Request Header Fields Too Large"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n", b"413 Request Entity Too Large"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"413 Request Entity Too Large"),
            (
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"a" * 300_000,
                b"413 Request Entity Too Large",
            ),
            (
                b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9999\r\n\r\n",
                b"413 Request Entity Too Large",
            ),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400 Bad Request"),
            (b"GET / HTTP/1.1\r\n\r\n", b"400 Bad Request"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", b"400 Bad Request"),
            (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400 Bad Request"),
        ],
        ids=lambda value: repr(value[:40]),
    )
    def test_too_much_is_refused_and_the_connection_ended(
        self, serve: Serve, caplog: pytest.LogCaptureFixture, request_: bytes, status: bytes
    ) -> None:
        """The status says what was too much, the client gets to read it, and nobody's log grows by it."""
        _, port = serve(make_app())
        caplog.clear()
        with connected(port) as client:
            send_all(client, request_)
            client.shutdown(socket.SHUT_WR)
            received = read_all(client)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status + b"\r\n")
        assert b"\r\nConnection: close" in head
        assert body == status.partition(b" ")[2] + b"\n"
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    def test_what_comes_after_a_refusal_is_thrown_away(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """The client sees the end at once, may go on sending for a while, and nothing of it is parsed."""
        _, port = serve(make_app(), limits=Limits(close_seconds=2 * DEADLINE_SECONDS))
        caplog.clear()
        with connected(port) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
            assert read_all(client).endswith(b"Request Entity Too Large\n")
            send_all(client, b"a" * 1000)
            send_all(client, GET)
        with connected(port) as client:
            client.sendall(GET)
            assert read_until(client, b"short")
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    def test_just_within_the_limits_is_answered(self, serve: Serve) -> None:
        """A long path, many headers and a small body, which is not read."""
        _, port = serve(make_app())
        query = b"a" * 8000
        fields = b"A: b\r\n" * 98 + b"Content-Length: 1024\r\n"
        with connected(port) as client:
            client.sendall(b"GET /?" + query + b" HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + b"x" * 1024 + GET)
            assert read_until(client, b"short").count(b"HTTP/1.1 200 OK") == 2

    def test_an_upgrade_is_not_taken_up(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """Neither WebSocket nor HTTP/2: the request is answered as it is, without a word in the log."""
        _, port = serve(make_app())
        caplog.clear()
        with connected(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            assert read_until(client, b"short").startswith(b"HTTP/1.1 200 OK")
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    def test_pipelined_requests_are_answered_in_order(self, serve: Serve) -> None:
        """A hundred in one go."""
        _, port = serve(make_app())
        with connected(port) as client:
            client.sendall(b"".join(b"GET /?<%d> HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(100)))
            received = read_until(client, b"<99>")
        places = [received.index(b"\r\n\r\n<%d>" % number) for number in range(100)]
        assert places == sorted(places)

    def test_rubbish_after_a_request_does_not_spoil_its_answer(self, serve: Serve) -> None:
        """It is looked at once the request is answered, and then refused."""
        _, port = serve(make_app())
        with connected(port) as client:
            client.sendall(GET + b"\0\0\0\r\n\r\n")
            received = read_all(client)
        first, second = received.split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200 OK")
        assert first.endswith(b"short")
        assert second.startswith(b"400 Bad Request")


class TestSlowClients:
    """Slow on purpose, or dead."""

    @pytest.mark.parametrize("begin", [b"", b"GET / HT", GET + b"G"])
    def test_a_head_that_does_not_end_is_cut_off(self, serve: Serve, begin: bytes) -> None:
        """Slowloris: a byte now and then does not keep a connection, neither for the first request nor a later one."""
        _, port = serve(make_app(), limits=Limits(head_seconds=0.2))
        with connected(port) as client:
            client.sendall(begin)
            deadline = time.monotonic() + DEADLINE_SECONDS
            try:
                while time.monotonic() < deadline:
                    client.sendall(b"a")
                    if select.select([client], [], [], 0.02)[0] and not client.recv(65536):
                        break
            except ConnectionError:
                pass
            assert time.monotonic() < deadline

    def test_a_silent_client_is_cut_off(self, serve: Serve) -> None:
        """One that connects and says nothing at all."""
        _, port = serve(make_app(), limits=Limits(head_seconds=0.2))
        with connected(port) as client:
            assert read_all(client) == b""

    def test_a_body_that_does_not_come_is_cut_off(self, serve: Serve) -> None:
        """The answer does not wait for it, and the connection not for long."""
        _, port = serve(make_app(), limits=Limits(head_seconds=0.2, idle_seconds=1))
        with connected(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
            assert read_all(client).endswith(b"short")

    def test_an_idle_connection_is_closed_in_the_end(self, serve: Serve) -> None:
        """After the idle time, and with a clean end."""
        _, port = serve(make_app(), limits=Limits(head_seconds=0.1, idle_seconds=1))
        with connected(port) as client:
            client.sendall(GET)
            assert read_until(client, b"short")
            assert not select.select([client], [], [], 0.3)[0]  # the time for a head does not run meanwhile
            client.sendall(GET)
            assert read_all(client).endswith(b"short")

    def test_a_client_that_does_not_read_is_cut_off(self, serve: Serve, eventually: Eventually) -> None:
        """It asks for a long answer and leaves it: the server's memory is free again."""
        server, port = serve(make_app(), limits=Limits(write_seconds=0.2))
        with connected(port) as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1)
            eventually(lambda: not server.server_state.connections)

    def test_a_client_that_reads_too_slowly_is_cut_off(self, serve: Serve) -> None:
        """A little now and then does not keep the answer alive."""
        server, port = serve(make_app(), limits=Limits(write_seconds=0.2))
        size = 0
        with connected(port) as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            size += len(client.recv(16384))
            while server.server_state.connections:
                select.select([], [], [], 0.005)
                size += len(client.recv(16384))
                assert size < len(LONG)

    @pytest.mark.parametrize("path", [b"/", b"/late"])
    def test_a_client_that_reads_keeps_its_connection(self, serve: Serve, eventually: Eventually, path: bytes) -> None:
        """The time for an answer ends with it: a rest, or a later answer that takes its time, is not cut off."""
        server, port = serve(make_app(), limits=Limits(write_seconds=2))
        with connected(port) as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: any(connection.flow.write_paused for connection in server.server_state.connections))
            size = len(read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")[2])
            while size < len(LONG):
                size += len(client.recv(65536))
            if path == b"/":
                assert not select.select([client], [], [], LATE_SECONDS)[0]
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_until(client, b"late" if path == b"/late" else b"short")

    @pytest.mark.parametrize(("unread", "ends"), [(0, ["close"]), (1, ["abort"])])
    def test_an_idle_client_with_an_unread_rest_is_not_waited_for(self, unread: int, ends: list[str]) -> None:
        """A rest too small for the write limit to begin would keep a connection that is merely closed."""
        ended: list[str] = []

        class Rest(asyncio.Transport):
            """A transport that has not got rid of some bytes."""

            def get_write_buffer_size(self) -> int:
                """Bytes."""
                return unread

            def is_closing(self) -> bool:
                """Not yet."""
                return False

            def close(self) -> None:
                """Wait for the rest."""
                ended.append("close")

            def abort(self) -> None:
                """Drop the rest."""
                ended.append("abort")

        async def run() -> None:
            config = ServingConfig(make_app(), None, Limits(), lifespan="off", log_config=None)
            connection = Connection(config, ServerState(), {}, asyncio.get_running_loop())
            connection.connection_made(Rest())
            connection.timeout_keep_alive_handler()
            connection.connection_lost(ConnectionResetError())

        asyncio.run(run())
        assert ended == ends

    def test_two_hundred_slow_sockets_do_not_keep_others_waiting(self, serve: Serve) -> None:
        """They hold their connections, half a head each; an honest client is answered meanwhile."""
        server, port = serve(make_app())
        with ExitStack() as stack:
            slow = [stack.enter_context(connected(port)) for _ in range(200)]
            for client in slow:
                client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
            for _ in range(5):
                with connected(port) as honest:
                    honest.sendall(GET)
                    assert read_until(honest, b"short").startswith(b"HTTP/1.1 200 OK")
                for client in slow:
                    client.sendall(b"a")
            assert len(server.server_state.connections) >= 200


class TestConnections:
    """How many at once."""

    def test_one_too_many_is_told_so(self, serve: Serve, eventually: Eventually) -> None:
        """503 without a request, so that a load balancer knows; when one goes, the next gets in."""
        server, port = serve(make_app(), limits=Limits(connections=3))
        with ExitStack() as stack:
            first, *_ = [stack.enter_context(connected(port)) for _ in range(3)]
            eventually(lambda: len(server.server_state.connections) == 3)
            with connected(port) as client:
                client.sendall(GET)
                received = read_all(client)
            assert received.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"Connection: close" in received
            first.close()
            eventually(lambda: len(server.server_state.connections) == 2)
            with connected(port) as client:
                client.sendall(GET)
                assert read_until(client, b"short")

    def test_far_too_many_are_dropped(self, serve: Serve, eventually: Eventually) -> None:
        """Those that wait to read their refusal are bounded, too."""
        server, port = serve(make_app(), limits=Limits(connections=1, close_seconds=DEADLINE_SECONDS))
        with ExitStack() as stack:
            for number in range(1 + REFUSED_POLITELY):
                stack.enter_context(connected(port))
                eventually(lambda number=number: len(server.server_state.connections) == number + 1)
            with connected(port) as client:
                assert read_all(client) == b""

    def test_slow_clients_do_not_keep_the_server_from_ending(self, serve: Serve, eventually: Eventually) -> None:
        """At the end connections without a request are closed at once."""
        server, port = serve(make_app())
        with connected(port) as silent, connected(port) as refused:
            refused.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
            assert read_until(refused, b"413")
            server.should_exit = True
            assert read_all(silent) == b""
            eventually(lambda: not server.server_state.connections)
