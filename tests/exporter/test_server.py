"""Tests of listening."""

import errno
import os
import re
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from genai_exporter import server
from genai_exporter.config import Address, UnixAddress


def reach(host: str, listener: socket.socket) -> None:
    """Connect to the listener's port at ``host``."""
    socket.create_connection((host, listener.getsockname()[1]), timeout=30).close()


class TestListen:
    """Sockets for each form of address."""

    def test_ipv4(self) -> None:
        """An IPv4 address is listened on alone."""
        with closing(server.listen(Address("127.0.0.1", 0))) as listener:
            reach("127.0.0.1", listener)
            assert server.url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"

    @pytest.mark.parametrize("host", ["127.0.0.1", ""])
    def test_connections_send_at_once(self, host: str) -> None:
        """The end of an answer does not wait for the client to acknowledge its beginning."""
        with (
            closing(server.listen(Address(host, 0))) as listener,
            closing(socket.create_connection(("127.0.0.1", listener.getsockname()[1]))),
            closing(listener.accept()[0]) as connection,
        ):
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    def test_ipv6(self) -> None:
        """A bracketed address is IPv6, and its URL has brackets again."""
        with closing(server.listen(Address("::1", 0))) as listener:
            reach("::1", listener)
            assert server.url(listener) == f"http://[::1]:{listener.getsockname()[1]}"

    def test_a_name_prefers_ipv4(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """``localhost`` is 127.0.0.1, where Prometheus and people look first, whatever the resolver lists first."""

        def ipv6_first(host: str, port: int, **options: int) -> list[tuple[object, ...]]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", ipv6_first)
            listener = server.listen(Address("localhost", 0))
        with closing(listener):
            assert server.url(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"

    def test_no_host_means_all_interfaces(self) -> None:
        """Both families reach it."""
        with closing(server.listen(Address("", 0))) as listener:
            reach("127.0.0.1", listener)
            reach("::1", listener)

    @pytest.mark.parametrize("refusal", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
    def test_all_interfaces_without_ipv6(self, monkeypatch: pytest.MonkeyPatch, refusal: int) -> None:
        """Where IPv6 is switched off, IPv4 remains."""
        create = socket.create_server

        def refuse_ipv6(address: tuple[str, int], **options: bool) -> socket.socket:
            if options:
                raise OSError(refusal, "no IPv6")
            return create(address)

        monkeypatch.setattr(socket, "create_server", refuse_ipv6)
        with closing(server.listen(Address("", 0))) as listener:
            reach("127.0.0.1", listener)

    @pytest.mark.parametrize("host", ["127.0.0.1", ""])
    def test_a_taken_port_is_named(self, host: str) -> None:
        """The message has the address as it was given, and the remedy."""
        with closing(server.listen(Address(host, 0))) as taken:
            address = Address(host, taken.getsockname()[1])
            expected = f"cannot listen on {address}: address already in use; stop the program"
            with pytest.raises(server.ListenError, match=re.escape(expected)):
                server.listen(address)

    def test_other_refusals_keep_the_systems_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An error without a remedy of ours is still told."""

        def refuse(address: tuple[str, int], **options: bool) -> socket.socket:
            raise OSError(errno.ENOBUFS, "No buffer space available")

        monkeypatch.setattr(socket, "create_server", refuse)
        with pytest.raises(server.ListenError, match="No buffer space available"):
            server.listen(Address("127.0.0.1", 1))


class TestUnix:
    """Unix sockets."""

    def test_are_for_user_and_group_alone(self, tmp_path: Path) -> None:
        """From the first moment on; the process's umask is as before."""
        umask = os.umask(0o000)
        try:
            with closing(server.listen(UnixAddress(tmp_path / "web.sock"))) as listener:
                assert stat.S_IMODE((tmp_path / "web.sock").stat().st_mode) == 0o660
                assert server.url(listener) == f"unix:{tmp_path}/web.sock"
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(tmp_path / "web.sock"))
        finally:
            assert os.umask(umask) == 0o000

    def test_one_that_was_left_behind_is_replaced(self, tmp_path: Path) -> None:
        """After a crash nobody listens on it."""
        address = UnixAddress(tmp_path / "web.sock")
        server.listen(address).close()
        assert (tmp_path / "web.sock").is_socket()
        with closing(server.listen(address)), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(address.path))

    @pytest.mark.parametrize("backlog", [0, 3])
    def test_one_in_use_is_left_alone(self, tmp_path: Path, backlog: int) -> None:
        """Also while its program is too busy to accept."""
        path = tmp_path / "web.sock"
        clients = [socket.socket(socket.AF_UNIX) for _ in range(backlog)]
        with closing(socket.socket(socket.AF_UNIX)) as taken:
            taken.bind(str(path))
            taken.listen(0)
            for client in clients:
                client.setblocking(False)
                client.connect_ex(str(path))
            with pytest.raises(server.ListenError, match=re.escape(f"unix:{path}: a program listens there; stop it")):
                server.listen(UnixAddress(path))
            assert path.is_socket()
        for client in clients:
            client.close()

    def test_what_is_not_a_socket_is_left_alone(self, tmp_path: Path) -> None:
        """A file, a folder, and a link, even one to a socket that nobody listens on."""
        (tmp_path / "file").write_text("precious")
        (tmp_path / "folder").mkdir()
        server.listen(UnixAddress(tmp_path / "socket")).close()
        (tmp_path / "link").symlink_to(tmp_path / "socket")
        for name in ("file", "folder", "link"):
            with pytest.raises(server.ListenError, match="there is a file that is not a socket; remove it or choose"):
                server.listen(UnixAddress(tmp_path / name))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link", "socket"]

    @pytest.mark.parametrize(
        ("name", "hint"),
        [("none/web.sock", "its folder does not exist; make it"), ("x" * 120, "AF_UNIX path too long")],
    )
    def test_impossible_paths_are_named(self, tmp_path: Path, name: str, hint: str) -> None:
        """With the remedy, or the system's words."""
        with pytest.raises(server.ListenError, match=re.escape(f"cannot listen on unix:{tmp_path}/{name}: {hint}")):
            server.listen(UnixAddress(tmp_path / name))


class TestListening:
    """Several addresses."""

    def test_all_are_reached_and_all_are_closed(self, tmp_path: Path) -> None:
        """Two families and a Unix socket, whose file is gone at the end."""
        path = tmp_path / "web.sock"
        with server.listening([Address("127.0.0.1", 0), Address("::1", 0), UnixAddress(path)]) as listeners:
            reach("127.0.0.1", listeners[0])
            reach("::1", listeners[1])
            assert path.is_socket()
        assert [listener.fileno() for listener in listeners] == [-1, -1, -1]
        assert not path.exists()

    def test_one_that_fails_closes_the_others(self, tmp_path: Path) -> None:
        """No half-open server, no socket left behind."""
        path = tmp_path / "web.sock"
        with closing(server.listen(Address("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
            with (
                pytest.raises(server.ListenError, match="address already in use"),
                server.listening([UnixAddress(path), Address("127.0.0.1", port)]),
            ):
                pass
        assert not path.exists()

    def test_the_socket_of_a_successor_stays(self, tmp_path: Path) -> None:
        """Who was replaced does not remove what is not theirs."""
        path = tmp_path / "web.sock"
        with server.listening([UnixAddress(path)]):
            path.rename(tmp_path / "old.sock")
            successor = server.listen(UnixAddress(path))
        with closing(successor):
            assert path.is_socket()
