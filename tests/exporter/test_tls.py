"""Tests of TLS: certificates made here, real handshakes with the real server."""

import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from certificates import DEADLINE_SECONDS, GET, Files, fetch, is_refused, serial
from starlette.responses import PlainTextResponse

from genai_exporter.limits import Limits
from genai_exporter.security import Security
from genai_exporter.server import Server
from genai_exporter.tlscontext import has_allowed_name

APP = PlainTextResponse("inside")
MUTUAL = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem\n"

Serve = Callable[..., tuple[Server, int]]
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """An authority that signs servers and clients."""
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, ca: trustme.CA) -> Files:
    """A folder with a certificate for 127.0.0.1."""
    return Files(tmp_path, ca)


class TestServer:
    """What the server shows and demands of everybody."""

    def test_serves_over_tls_alone(self, serve: Serve, files: Files, caplog: pytest.LogCaptureFixture) -> None:
        """A client that trusts the authority is answered; one that speaks HTTP, rubbish or nothing is not, silently."""
        _, port = serve(APP, files.security())
        caplog.clear()
        answer, number = fetch(port, files.client())
        assert answer.endswith(b"inside")
        assert number == serial(files.cert)
        for rubbish in (GET, b"\0" * 100, b""):
            with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
                client.sendall(rubbish)
                client.shutdown(socket.SHUT_WR)
                assert b"inside" not in client.recv(65536)
        assert is_refused(port, ssl.create_default_context())  # does not trust it
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    def test_a_request_that_comes_with_the_handshakes_end(self, serve: Serve, files: Files) -> None:
        """What a client sends in the same packet as its last handshake message is not lost."""
        _, port = serve(APP, files.security())
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = files.client().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    client.sendall(outgoing.read())
                    incoming.write(client.recv(65536))
            tls.write(GET)
            client.sendall(outgoing.read())
            answer = b""
            while b"inside" not in answer:
                try:
                    answer += tls.read(65536)
                except ssl.SSLWantReadError:
                    chunk = client.recv(65536)
                    assert chunk
                    incoming.write(chunk)

    def test_a_long_answer_arrives_whole(self, serve: Serve, files: Files) -> None:
        """Piece by piece, through the TLS layer's own buffers."""
        body = os.urandom(1024) * 8 * 1024
        _, port = serve(PlainTextResponse(body), files.security())
        assert fetch(port, files.client())[0].endswith(body)

    def test_a_handshake_that_does_not_end_is_cut_off(self, serve: Serve, files: Files) -> None:
        """A client that connects and waits."""
        server, port = serve(APP, files.security(), Limits(handshake_seconds=0.2))
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
            assert client.recv(1) == b""
        # The client may know of it before the server has forgotten the connection.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while server.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def test_a_client_that_says_nothing_after_the_handshake_is_cut_off(self, serve: Serve, files: Files) -> None:
        """The time for the head runs there, too."""
        _, port = serve(APP, files.security(), Limits(head_seconds=0.2))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
            files.client().wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=True) as client,
        ):
            try:
                assert client.recv(1) == b""
            except ConnectionError:
                pass

    def test_ends_during_handshakes(self, serve: Serve, files: Files, eventually: Eventually) -> None:
        """They do not keep the server alive."""
        server, port = serve(APP, files.security())
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as client:
            eventually(lambda: bool(server.server_state.connections))
            server.should_exit = True
            try:
                assert client.recv(1) == b""
            except ConnectionError:
                pass
            eventually(lambda: not server.server_state.connections and not server.server_state.tasks)

    def test_one_too_many_is_dropped(self, serve: Serve, files: Files, eventually: Eventually) -> None:
        """Before the handshake, which is what costs."""
        server, port = serve(APP, files.security(), Limits(connections=1))
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS):
            eventually(lambda: len(server.server_state.connections) == 1)
            assert is_refused(port, files.client())

    @pytest.mark.parametrize(
        ("more", "version", "cipher"),
        [
            ("min_version: TLS13\n", ssl.TLSVersion.TLSv1_2, None),
            ("max_version: TLS12\n", ssl.TLSVersion.TLSv1_3, None),
            ("cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n", None, "ECDHE-ECDSA-AES256-GCM-SHA384"),
        ],
    )
    def test_versions_and_suites_that_are_not_served(
        self, serve: Serve, files: Files, more: str, version: ssl.TLSVersion | None, cipher: str | None
    ) -> None:
        """A client that can do nothing else is refused; others are served."""
        _, port = serve(APP, files.security(more))
        context = files.client()
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if cipher is not None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(cipher)
        assert is_refused(port, context)
        assert not is_refused(port, files.client())

    def test_the_servers_order_of_suites(self, serve: Serve, files: Files) -> None:
        """By default the server's first suite wins; with the key set to false, the client's."""
        ours = "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n"
        context = files.client()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
        chosen = []
        for more in (ours, ours + "prefer_server_cipher_suites: false\n"):
            _, port = serve(APP, files.security(more))
            with (
                socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
            ):
                cipher = client.cipher()
                assert cipher is not None
                chosen.append(cipher[0])
        assert chosen == ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]

    @pytest.mark.parametrize("on_disk", [False, True])
    def test_certificate_key_and_authority_in_the_file_itself(
        self, serve: Serve, files: Files, monkeypatch: pytest.MonkeyPatch, on_disk: bool
    ) -> None:
        """Inline PEM works like files, also on platforms without files in memory, and leaves no file behind."""
        if on_disk:
            monkeypatch.delattr(os, "memfd_create")
        monkeypatch.setenv("TMPDIR", str(files.folder))
        lines = []
        for key, name in (("cert", "server.crt"), ("key", "server.key"), ("client_ca", "ca.pem")):
            text = (files.folder / name).read_text()
            lines += [f"{key}: |", *(f"  {line}" for line in text.splitlines())]
        pair = "\n".join(lines) + "\nclient_auth_type: RequireAndVerifyClientCert\n"
        before = sorted(files.folder.iterdir())
        path = files.configure(pair=pair)
        _, port = serve(APP, Security(path))
        assert fetch(port, files.client(files.ca.issue_cert("a")))[0].endswith(b"inside")
        assert is_refused(port, files.client())
        assert sorted(files.folder.iterdir()) == sorted([*before, path])


class TestClients:
    """Client certificates."""

    def test_required(self, serve: Serve, files: Files, caplog: pytest.LogCaptureFixture) -> None:
        """One of our authority gets in; none and one of another authority do not, and the log stays silent."""
        _, port = serve(APP, files.security(MUTUAL))
        caplog.clear()
        assert fetch(port, files.client(files.ca.issue_cert("a")))[0].endswith(b"inside")
        assert is_refused(port, files.client())
        assert is_refused(port, files.client(trustme.CA().issue_cert("a")))
        assert [record for record in caplog.records if record.levelno >= logging.INFO] == []

    def test_if_given(self, serve: Serve, files: Files) -> None:
        """None is fine, one of another authority is not."""
        _, port = serve(APP, files.security(MUTUAL.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")))
        assert not is_refused(port, files.client())
        assert not is_refused(port, files.client(files.ca.issue_cert("a")))
        assert is_refused(port, files.client(trustme.CA().issue_cert("a")))

    def test_an_intermediate_authority_is_trusted_by_itself(self, serve: Serve, files: Files) -> None:
        """As in Go: what ``client_ca_file`` lists is trusted, and what its parent signs otherwise is not."""
        intermediate = files.ca.create_child_ca()
        intermediate.cert_pem.write_to_path(str(files.folder / "ca.pem"))
        _, port = serve(APP, files.security(MUTUAL))
        assert not is_refused(port, files.client(intermediate.issue_cert("a")))
        assert is_refused(port, files.client(files.ca.issue_cert("a")))

    @pytest.mark.parametrize(
        ("names", "welcome"),
        [
            (("prometheus.example",), True),
            (("other", "prometheus.example"), True),
            (("10.1.2.3",), True),
            (("::1",), True),
            (("ops@example.com",), True),
            (("sub.prometheus.example",), False),
            (("10.1.2.4",), False),
        ],
    )
    def test_allowed_names(self, serve: Serve, files: Files, names: tuple[str, ...], welcome: bool) -> None:
        """A verified certificate without one of the listed names is not enough; names match exactly."""
        allowed = "client_allowed_sans: [prometheus.example, 10.1.2.3, '::1', ops@example.com]\n"
        _, port = serve(APP, files.security(MUTUAL + allowed))
        assert is_refused(port, files.client(files.ca.issue_cert(*names))) is not welcome

    def test_allowed_uri_and_nothing(self) -> None:
        """Workload identities are URIs; a certificate without names has none that is allowed."""
        spiffe = "spiffe://example/prometheus"
        assert has_allowed_name({"subjectAltName": (("URI", spiffe),)}, frozenset({spiffe}))
        assert not has_allowed_name({"subject": ((("commonName", spiffe),),)}, frozenset({spiffe}))
        assert not has_allowed_name({}, frozenset({spiffe}))
        assert not has_allowed_name(None, frozenset({spiffe}))
        assert not has_allowed_name({"subjectAltName": (("IP Address", "<invalid>"),)}, frozenset({spiffe}))
