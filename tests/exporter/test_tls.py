"""Tests of TLS: certificates made here, real handshakes with the real server."""

import logging
import os
import re
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from starlette.responses import PlainTextResponse

from genai_exporter.limits import Limits
from genai_exporter.security import Security
from genai_exporter.server import Server
from genai_exporter.tlscontext import has_allowed_name
from genai_metrics.yamlfile import YamlError

DEADLINE_SECONDS = 60.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
MUTUAL = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem\n"

Serve = Callable[..., tuple[Server, int]]
Eventually = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """An authority that signs servers and clients."""
    return trustme.CA()


class Files:
    """A folder with a web configuration, and with the certificates that it names."""

    def __init__(self, folder: Path, ca: trustme.CA) -> None:
        self.folder = folder
        self.ca = ca
        ca.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.renew()

    def renew(self) -> None:
        """Write a new certificate and key."""
        self.cert = self.ca.issue_cert("127.0.0.1")
        self.write_cert(self.cert)
        self.write_key(self.cert)

    def write_cert(self, cert: trustme.LeafCert) -> None:
        """Write a server's certificate, and no key."""
        (self.folder / "server.crt").write_bytes(b"".join(blob.bytes() for blob in cert.cert_chain_pems))

    def write_key(self, cert: trustme.LeafCert) -> None:
        """Write a server's key."""
        (self.folder / "server.key").write_bytes(cert.private_key_pem.bytes())

    def configure(self, more: str = "", pair: str = "cert_file: server.crt\nkey_file: server.key\n") -> Path:
        """Write a web configuration with the lines of ``more`` in its TLS section."""
        path = self.folder / "web.yml"
        lines = (f"  {line}\n" for line in (pair + more).splitlines())
        path.write_text("tls_server_config:\n" + "".join(lines))
        return path

    def security(self, more: str = "") -> Security:
        """Read such a configuration."""
        return Security(self.configure(more))

    def client(self, cert: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client's context that trusts our authority."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if cert is not None:
            cert.configure_cert(context)
        return context


@pytest.fixture
def files(tmp_path: Path, ca: trustme.CA) -> Files:
    """A folder with a certificate for 127.0.0.1."""
    return Files(tmp_path, ca)


APP = PlainTextResponse("inside")


def fetch(port: int, context: ssl.SSLContext) -> tuple[bytes, int]:
    """Make a request; return the answer and the serial number of the server's certificate."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        certificate = client.getpeercert()
        assert certificate is not None
        client.sendall(GET)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        return answer, int(str(certificate["serialNumber"]), 16)


def is_refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client with that context gets no answer."""
    try:
        answer, _ = fetch(port, context)
    except (ssl.SSLError, ConnectionError):
        return True
    return answer == b""


def serial(cert: trustme.LeafCert) -> int:
    """Serial number of a certificate."""
    from cryptography import x509

    return x509.load_pem_x509_certificate(cert.cert_chain_pems[0].bytes()).serial_number


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
        assert not server.server_state.connections

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


class TestChanges:
    """Files that change while the exporter runs."""

    def test_a_renewed_certificate_is_served_at_once(
        self, serve: Serve, files: Files, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Without a restart; while only the certificate is written and not yet its key, the old pair is served."""
        caplog.set_level(logging.INFO)
        _, port = serve(APP, files.security())
        old, new = files.cert, files.ca.issue_cert("127.0.0.1")
        assert fetch(port, files.client())[1] == serial(old)
        caplog.clear()
        files.write_cert(new)
        assert [fetch(port, files.client())[1] for _ in range(3)] == [serial(old)] * 3
        files.write_key(new)
        assert fetch(port, files.client())[1] == serial(new)
        messages = [record.getMessage() for record in caplog.records]
        assert messages == ["web configuration not taken over, the old one stays", "web configuration taken over"]

    def test_a_connection_outlives_the_change(self, serve: Serve, files: Files) -> None:
        """What is open stays open."""
        _, port = serve(APP, files.security())
        with (
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as plain,
            files.client().wrap_socket(plain, server_hostname="127.0.0.1") as client,
        ):
            for _ in range(2):
                client.sendall(GET.replace(b"Connection: close\r\n", b""))
                received = b""
                while b"inside" not in received:
                    received += client.recv(65536)
                files.renew()

    def test_another_authority_for_clients(self, serve: Serve, files: Files) -> None:
        """Clients of the old one are refused from then on."""
        _, port = serve(APP, files.security(MUTUAL))
        client = files.client(files.ca.issue_cert("a"))
        assert not is_refused(port, client)
        trustme.CA().cert_pem.write_to_path(str(files.folder / "ca.pem"))
        assert is_refused(port, client)

    @pytest.mark.parametrize("text", ["", "basic_auth_users: {}\n", "tls_server_config:\n", "no: [yaml"])
    def test_tls_is_never_switched_off(
        self, serve: Serve, files: Files, caplog: pytest.LogCaptureFixture, text: str
    ) -> None:
        """A file that is cut off or being written does not make passwords travel in clear; the log says so once."""
        security = files.security()
        _, port = serve(APP, security)
        caplog.clear()
        (files.folder / "web.yml").write_text(text)
        assert [is_refused(port, files.client()) for _ in range(3)] == [False] * 3
        assert [record.levelname for record in caplog.records] == ["ERROR"]

    def test_users_change_and_are_never_all_gone(self, files: Files, caplog: pytest.LogCaptureFixture) -> None:
        """A new list counts from the next request on; an empty one does not open the door."""
        import asyncio

        import bcrypt

        users = [f"basic_auth_users: {{{n}: {bcrypt.hashpw(b'x', bcrypt.gensalt(4)).decode()}}}\n" for n in ("a", "b")]
        path = files.folder / "web.yml"
        path.write_text(users[0])
        security = Security(path)

        def names() -> list[str]:
            return list(asyncio.run(security.current()).config.users)

        assert names() == ["a"]
        path.write_text(users[1])
        assert names() == ["b"]
        path.write_text("")
        assert names() == ["b"]
        path.unlink()
        assert names() == ["b"]
        path.write_text(users[0])
        assert names() == ["a"]
        security.close()
        assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["ERROR", "ERROR"]

    def test_files_are_read_in_a_thread(self, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not on the event loop, where parsing and loading would hold others up."""
        import asyncio
        import threading

        security = files.security()
        threads = []

        def watched() -> object:
            threads.append(threading.current_thread().name)
            return None

        monkeypatch.setattr(security, "_read", watched)
        asyncio.run(security.current())
        security.close()
        assert threads == ["web-config_0"]


class TestErrors:
    """Certificates that cannot be used."""

    @pytest.mark.parametrize(
        ("file", "content", "line", "hint"),
        [
            ("server.crt", None, 2, "cert_file: {path}: cannot be read: No such file or directory; check the path"),
            ("server.key", None, 3, "key_file: {path}: cannot be read: No such file or directory; check the path"),
            ("ca.pem", None, 5, "client_ca_file: {path}: cannot be read: No such file or directory; check"),
            ("server.crt", "rubbish", 2, "cert_file: {path}: holds no certificate; give a certificate in PEM form"),
            ("server.key", "", 3, "key_file: {path}: holds no private key; give a private key in PEM form"),
            ("ca.pem", "rubbish", 5, "client_ca_file: {path}: holds no certificate; give a certificate in PEM"),
            ("ca.pem", "-----BEGIN CERTIFICATE-----\nx\n", 5, "client_ca_file: {path}: not a certificate ("),
            ("server.crt", "-----BEGIN CERTIFICATE-----\nx\n", 2, "cert_file: {path}: cannot be used with key_file ("),
        ],
    )
    def test_names_the_file_and_the_line(
        self, files: Files, file: str, content: str | None, line: int, hint: str
    ) -> None:
        """Missing, empty, not PEM, broken PEM."""
        path = files.folder / file
        path.unlink() if content is None else path.write_text(content)
        with pytest.raises(YamlError, match=re.escape(hint.format(path=path))) as caught:
            files.security(MUTUAL)
        assert str(caught.value).startswith(f"{files.folder / 'web.yml'}:{line}: tls_server_config.")

    def test_a_key_of_another_certificate(self, files: Files) -> None:
        """The pair must fit."""
        files.write_key(files.ca.issue_cert("other"))
        with pytest.raises(YamlError, match=r"server\.key: does not belong to cert_file; give that certificate's"):
            files.security()

    def test_an_encrypted_key_asks_nobody(self, files: Files) -> None:
        """No prompt for a passphrase: a server has no terminal."""
        key = serialization.load_pem_private_key(files.cert.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
        (files.folder / "server.key").write_bytes(encrypted)
        with pytest.raises(YamlError, match=r"server\.key: encrypted with a passphrase; give one without"):
            files.security()

    def test_http2_is_said_not_to_be_offered(self, files: Files, caplog: pytest.LogCaptureFixture) -> None:
        """A file that asks for it works, since clients fall back, and the log says what it does not get."""
        path = files.configure()
        path.write_text(path.read_text() + "http_server_config: {http2: true}\n")
        Security(path).close()
        assert [record.getMessage() for record in caplog.records] == ["HTTP/2 is not offered, clients use HTTP/1.1"]
