"""Stand-ins for Slack, PagerDuty, a mail server and a dead man's switch, on free loopback ports.

Each is as strict as the real service is documented to be, and as unreliable: the first attempt of each notification is
answered with 429 (mail: 451), the second with 500 (mail: 421), and only then it is taken.
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

import requirements
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from servers import free_port

Status = Literal["firing", "resolved"]


class Key(NamedTuple):
    """What a notification is about; ``service`` is empty where the alert has none."""

    channel: str
    alert: str
    service: str
    status: Status


@dataclass
class Told:
    """Attempts at one notification, with Unix times of the first and of the one that was taken."""

    first: float
    attempts: int = 0
    taken: list[float] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


class Services:
    """What arrived; thread-safe."""

    def __init__(self, http_port: int, smtp_port: int) -> None:
        self.url = f"http://127.0.0.1:{http_port}"
        self.smtp = f"127.0.0.1:{smtp_port}"
        self._lock = threading.Lock()
        self.told: dict[Key, Told] = {}
        self.complaints: list[str] = []
        self.heartbeats: list[float] = []

    def attempt(self, key: Key, body: Any, complaints: list[str]) -> int:
        """Note an attempt; HTTP status to answer with."""
        with self._lock:
            self.complaints += [f"{key}: {complaint}" for complaint in complaints]
            told = self.told.setdefault(key, Told(time.time()))
            told.attempts += 1
            if told.attempts <= 2:
                return (429, 500)[told.attempts - 1]
            told.taken.append(time.time())
            told.bodies.append(body)
            return 200

    def taken(self) -> dict[Key, int]:
        """How many times each notification was taken."""
        with self._lock:
            return {key: len(told.taken) for key, told in self.told.items() if told.taken}

    def beat(self) -> None:
        """Note a sign of life."""
        with self._lock:
            self.heartbeats.append(time.time())


def slack_key(body: dict[str, Any]) -> Key:
    """Whose message it is, as a person reads it: title ``SEVERITY service: …``, footer ``Alert since …``."""
    (attachment,) = body["attachments"]
    severity, service = re.fullmatch(r"([A-Z]+) ?(.*?): .+", attachment["title"]).groups()  # type: ignore[union-attr]
    return Key("slack", attachment["footer"].split()[0], service, "resolved" if severity == "RESOLVED" else "firing")


def pagerduty_key(body: dict[str, Any]) -> Key:
    """Whose event it is."""
    payload = body["payload"]
    service = re.fullmatch(r"[A-Z]+ ?(.*?): .+", payload["summary"])[1]  # type: ignore[index]
    return Key("pagerduty", payload["class"], service, "resolved" if body["event_action"] == "resolve" else "firing")


def mail_key(message: EmailMessage) -> Key:
    """Whose mail it is: the subject is that of Slack's title, the alert is named in the text."""
    severity, service = re.fullmatch(r"([A-Z]+) ?(.*?): .+", str(message["Subject"])).groups()  # type: ignore[union-attr]
    text = message.get_body(("plain",))
    assert text is not None
    alert = re.search(r"^  (\w+) since ", text.get_content(), re.MULTILINE)[1]  # type: ignore[index]
    return Key("mail", alert, service, "resolved" if severity == "RESOLVED" else "firing")


class _Handler(BaseHTTPRequestHandler):
    """HTTP of all services, each at a path of its own."""

    services: Services

    def do_POST(self) -> None:
        """Take, refuse or fail."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        body = json.loads(content)
        status, answer = 404, b""
        if self.path == "/watchdog":
            self.services.beat()
            status = 200
        elif self.path == "/slack":
            status = self.services.attempt(slack_key(body), body, list(requirements.slack(body)))
            answer = b"ok"
        elif self.path == "/v2/enqueue":
            complaints = list(requirements.pagerduty(body, len(content)))
            status = self.services.attempt(pagerduty_key(body), body, complaints)
            status = 202 if status == 200 else status
            answer = json.dumps({"status": "success", "dedup_key": body["dedup_key"]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


class _Mails:
    """aiosmtpd's receiver of mails."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take or fail."""
        content = envelope.content
        assert isinstance(content, bytes)
        message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
        status = self._services.attempt(mail_key(message), message, list(requirements.mail(content)))
        return {429: "451 4.7.1 try again later", 500: "421 4.3.0 out of order"}.get(status, "250 OK")


@contextmanager
def services() -> Iterator[Services]:
    """Run all stand-ins."""
    smtp_port = free_port()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    found = Services(server.server_address[1], smtp_port)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"services": found})
    mails = Controller(_Mails(found), hostname="127.0.0.1", port=smtp_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        mails.start()
        try:
            yield found
        finally:
            mails.stop()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
