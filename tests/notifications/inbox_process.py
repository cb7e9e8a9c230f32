"""A real inbox in a process of its own, and messages as senders send them."""

import json
import smtplib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from servers import end, free_port, get, wait_until_ready

from genai_stack import REPOSITORY

KEY = "0123456789abcdef0123456789abcdef"


class Inbox:
    """A running inbox."""

    def __init__(self, port: int, smtp_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.smtp_port = smtp_port

    def post(self, path: str, body: object) -> tuple[int, str]:
        """Post JSON, or bytes as they are; status and answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def event(self, action: str, key: str, **payload: object) -> tuple[int, str]:
        """Post an event as PagerDuty takes it."""
        facts = {"summary": "Too many requests fail", "source": "prometheus", "severity": "critical"} | payload
        body = {"routing_key": KEY, "event_action": action, "dedup_key": key, "payload": facts}
        return self.post("/v2/enqueue", body)

    def mail(self, subject: str, text: str, html: str | None = None) -> None:
        """Send a mail."""
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, "alerts@example.com", "costs@example.com"
        message.set_content(text)
        if html is not None:
            message.add_alternative(html, subtype="html")
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=10) as server:
            server.send_message(message)

    def messages(self, seen: int = 0) -> dict[str, Any]:
        """What the page would be told."""
        answer: dict[str, Any] = json.loads(get(f"{self.url}/messages?seen={seen}"))
        return answer


@contextmanager
def inbox(folder: Path) -> Iterator[Inbox]:
    """Run an inbox; its end must be a clean one."""
    port, smtp_port = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "inbox", f"--listen=127.0.0.1:{port}", f"--smtp-listen=127.0.0.1:{smtp_port}"),
        f"--docs={REPOSITORY / 'docs'}",
    ]
    log = folder / "inbox.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, log)
        yield Inbox(port, smtp_port)
    finally:
        status = end(process)
    assert status == 0, log.read_text()
