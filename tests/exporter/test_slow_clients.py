"""Tests of clients that are slow on purpose, or dead: they are cut off and keep nobody waiting."""

import asyncio
import select
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from raw_clients import DEADLINE_SECONDS, GET, LATE_SECONDS, LONG, connected, make_app, read_all, read_until
from uvicorn.server import ServerState

from genai_exporter.connections import Connection, ServingConfig
from genai_exporter.limits import Limits
from genai_exporter.server import Server

Serve = Callable[..., tuple[Server, int]]
Eventually = Callable[[Callable[[], bool]], None]


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
        _, port = serve(make_app(), limits=Limits(head_seconds=2, idle_seconds=1))
        with connected(port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
            assert read_all(client).endswith(b"short")

    def test_an_idle_connection_is_closed_in_the_end(self, serve: Serve) -> None:
        """After the idle time, and with a clean end."""
        _, port = serve(make_app(), limits=Limits(head_seconds=2, idle_seconds=5))
        with connected(port) as client:
            client.sendall(GET)
            assert read_until(client, b"short")
            assert not select.select([client], [], [], 2.5)[0]  # the time for a head does not run meanwhile
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
        server, port = serve(make_app(), limits=Limits(write_seconds=5))
        with connected(port) as client:
            client.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
            eventually(lambda: any(connection.flow.write_paused for connection in server.server_state.connections))
            size = len(read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")[2])
            while size < len(LONG):
                chunk = client.recv(65536)
                assert chunk
                size += len(chunk)
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
        server, port = serve(make_app(), limits=Limits(head_seconds=60))
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
