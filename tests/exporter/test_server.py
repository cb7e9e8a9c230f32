"""Tests of listening."""

import errno
import re
import socket
from contextlib import closing

import pytest

from genai_exporter import server
from genai_exporter.config import Address


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
