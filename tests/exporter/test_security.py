"""Tests of certificates and users that change while the exporter runs, and of those that cannot be used."""

import asyncio
import logging
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import bcrypt
import pytest
import trustme
from certificates import DEADLINE_SECONDS, GET, Files, fetch, is_refused, serial
from cryptography.hazmat.primitives import serialization
from starlette.responses import PlainTextResponse

from genai_exporter.security import Security
from genai_exporter.server import Server
from genai_metrics.yamlvalues import YamlError

APP = PlainTextResponse("inside")
MUTUAL = "client_auth_type: RequireAndVerifyClientCert\nclient_ca_file: ca.pem\n"

Serve = Callable[..., tuple[Server, int]]


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    """An authority that signs servers and clients."""
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, ca: trustme.CA) -> Files:
    """A folder with a certificate for 127.0.0.1."""
    return Files(tmp_path, ca)


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
