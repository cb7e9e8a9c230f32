"""Tests of what one client may take: real sockets against the real server, with small limits."""

import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from raw_clients import DEADLINE_SECONDS, GET, connected, make_app, read_all, read_until, send_all

from genai_exporter.limits import Limits
from genai_exporter.server import Server

REFUSED_POLITELY = 64
Serve = Callable[..., tuple[Server, int]]
Eventually = Callable[[Callable[[], bool]], None]


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
