"""Tests of the secured exporter as it is run: the real command, and many scrapes at once."""

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from starlette.types import Receive, Scope, Send

from genai_exporter.aggregate import Applications
from genai_exporter.collectors.frame import Frame
from genai_exporter.config import Config
from genai_exporter.limits import Limits
from genai_exporter.reload import Reloader
from genai_exporter.security import Security
from genai_exporter.server import Server
from genai_exporter.web import create_app

COMMAND = [sys.executable, "-m", "genai_exporter", "serve"]
LISTEN = ("--web.listen-address", "127.0.0.1:0")
HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users:\n  alice: {HASH}\n"
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
LOGIN = "Basic YWxpY2U6c2VjcmV0"  # alice:secret
MANY = 200


def environment() -> dict[str, str]:
    """Return this process's environment without what the exporter reads."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}


def fetch(url: str, context: ssl.SSLContext | None = None, login: str | None = LOGIN) -> tuple[int, str]:
    """Return status and body."""
    request = urllib.request.Request(url, headers={} if login is None else {"Authorization": login})
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def web_config(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a web configuration beside a certificate, and returns its path."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    cert = ca.issue_cert("127.0.0.1")
    (tmp_path / "server.crt").write_bytes(cert.cert_chain_pems[0].bytes())
    (tmp_path / "server.key").write_bytes(cert.private_key_pem.bytes())

    def write(text: str) -> Path:
        path = tmp_path / "web.yml"
        path.write_text(text)
        return path

    return write


class TestCommand:
    """``--web.config.file``."""

    def test_serves_every_address_with_tls_and_passwords(self, web_config: Callable[[str], Path]) -> None:
        """Two addresses and a socket, all secured alike; a new password counts at once; a signal ends it cleanly."""
        path = web_config(TLS + USERS)
        folder = path.parent
        unix = folder / "web.sock"
        arguments = [*LISTEN, *("--web.listen-address", "[::1]:0", "--web.listen-address", f"unix:{unix}")]
        arguments += ["--web.config.file", str(path), "--metrics-dir", str(folder / "metrics")]
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        with subprocess.Popen([*COMMAND, *arguments], env=environment(), stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                urls: list[str] = []
                while len(urls) < 3:
                    line = process.stderr.readline()
                    assert line
                    urls += re.findall(r"listening on (\S+[^\"\s])", line)
                assert [url.rpartition(":")[0] for url in urls] == ["https://127.0.0.1", "https://[::1]", "unix"]
                status, body = fetch(f"{urls[0]}/metrics", context)
                assert status == 200
                assert "genai_build_info" in body
                assert fetch(f"{urls[0]}/-/healthy", context, None) == (401, "Unauthorized\n")
                with socket.socket(socket.AF_UNIX) as plain:
                    plain.connect(str(unix))
                    with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
                        head = f"GET /-/ready HTTP/1.0\r\nHost: x\r\nAuthorization: {LOGIN}\r\n\r\n"
                        client.sendall(head.encode())
                        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
                path.write_text(TLS + USERS.replace(HASH, bcrypt.hashpw(b"new", bcrypt.gensalt(4)).decode()))
                assert fetch(f"{urls[0]}/metrics", context)[0] == 401
                process.send_signal(signal.SIGTERM)
                _, log = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0
        assert not unix.exists()
        assert "level=error" not in log

    @pytest.mark.parametrize(
        ("text", "remove", "expected"),
        [
            (
                TLS,
                "server.key",
                r"web\.yml:3: tls_server_config\.key_file: \S+server\.key: cannot be read: No such file",
            ),
            (
                "tls_server_config:\n  cert_file: server.crt\n",
                "",
                r"web\.yml:2: tls_server_config has no key_file; TLS",
            ),
            ("tls_server:\n", "", r"web\.yml:1: unknown key 'tls_server'; did you mean 'tls_server_config'\?"),
            (USERS.replace(HASH, "secret"), "", r"web\.yml:2: basic_auth_users\.alice is not a bcrypt hash; make one"),
            (TLS, "web.yml", r"web\.yml: cannot be read: No such file or directory; check the path"),
        ],
    )
    def test_a_configuration_that_cannot_be_used_ends_it(
        self, web_config: Callable[[str], Path], text: str, remove: str, expected: str
    ) -> None:
        """Exit code 2, file, line and remedy, and nothing is served or made."""
        path = web_config(text)
        if remove:
            (path.parent / remove).unlink()
        done = subprocess.run(
            [*COMMAND, *LISTEN, "--web.config.file", str(path), "--metrics-dir", str(path.parent / "metrics")],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert re.search(expected, done.stderr)
        assert "Traceback" not in done.stderr
        assert "listening" not in done.stderr
        assert not (path.parent / "metrics").exists()

    @pytest.mark.parametrize("option", ["--web.config.file", "--web.listen-address"])
    def test_an_unset_variable_is_not_taken_for_no_security(self, tmp_path: Path, option: str) -> None:
        """``--web.config.file "$UNSET"`` must not serve without TLS."""
        done = subprocess.run(
            [*COMMAND, option, "", "--metrics-dir", str(tmp_path / "metrics")],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 2
        assert option in done.stderr


class Watched(Applications):
    """A real directory whose first scrape waits until it is let go; counts scrapes."""

    scrapes = 0

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.go_on = threading.Event()

    def scrape(self, *arguments: Any, **options: Any) -> Any:
        """Scrape."""
        self.scrapes += 1
        assert self.go_on.wait(60)
        return super().scrape(*arguments, **options)


class TestManyAtOnce:
    """200 scrapes."""

    def test_share_scrapes_and_password_checks(
        self,
        serve: Callable[..., tuple[Server, int]],
        web_config: Callable[[str], Path],
        eventually: Callable[[Callable[[], bool]], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Over TLS with a password: all answered, by two scrapes and one bcrypt, none of them on the event loop."""
        path = web_config(TLS + USERS)
        applications = Watched(path.parent / "metrics")
        applications.open()
        threads: list[str] = []
        check = bcrypt.checkpw

        def watched(password: bytes, hashed: bytes) -> bool:
            threads.append(threading.current_thread().name)
            return check(password, hashed)

        monkeypatch.setattr(bcrypt, "checkpw", watched)
        app = create_app(applications, directory=path.parent, reloader=Reloader(Config, Config()), frame=Frame(()))
        reached = 0

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal reached
            reached += 1
            await app(scope, receive, send)

        _, port = serve(counted, Security(path), Limits(handshake_seconds=60, head_seconds=60))
        context = ssl.create_default_context(cafile=str(path.parent / "ca.crt"))
        with ThreadPoolExecutor(MANY) as pool:
            answers = [pool.submit(fetch, f"https://127.0.0.1:{port}/metrics", context) for _ in range(MANY)]
            eventually(lambda: applications.scrapes == 1)
            eventually(lambda: reached == MANY)
            applications.go_on.set()
            results = [answer.result(60) for answer in answers]
        assert {status for status, _ in results} == {200}
        assert len({body for _, body in results}) <= 2
        assert all("genai_exporter_series 0" in body for _, body in results)
        assert applications.scrapes == 2
        assert threads == ["bcrypt_0"]
        applications.close()
