"""Mail: a server that takes everything and delivers it to the inbox."""

import html
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from inbox.arrivals import Arrivals

LARGEST_BYTES = 4 * 2**20
"""The server refuses larger mails."""


class Handler:
    """aiosmtpd's receiver of mails."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep a mail."""
        content = envelope.content or b""
        self._arrivals.add("mail", read(content.encode() if isinstance(content, str) else content))
        return "250 OK"


def server(arrivals: Arrivals, host: str, port: int) -> Controller:
    """A mail server, not started yet; it runs in a thread of its own."""
    return Controller(Handler(arrivals), hostname=host, port=port, data_size_limit=LARGEST_BYTES, ident="inbox")


def read(content: bytes) -> dict[str, Any]:
    """What is shown of a mail: headers as text, its plain part, and its HTML part or None."""
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    shown = {name: str(message.get(name, "")) for name in ("subject", "from", "to", "date")}
    return {**shown, "text": _part(message, "plain") or "", "html": _part(message, "html")}


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    content = part.get_content()
    return content if isinstance(content, str) else None


def document(mail: dict[str, Any]) -> str:
    """HTML of a mail, for a frame that may do nothing: the mail's own, or its text."""
    if mail["html"] is not None:
        return str(mail["html"])
    return f"<!DOCTYPE html><title>Mail</title><pre style='white-space:pre-wrap'>{html.escape(mail['text'])}</pre>"
