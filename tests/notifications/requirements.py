"""What Slack, PagerDuty and mail servers require of a message, by their documentation.

Slack: docs.slack.dev, "Sending messages using incoming webhooks", "Secondary message attachments", "Formatting message
text", "Truncating content" of chat.postMessage. PagerDuty: developer.pagerduty.com, "Send an Alert Event". Mail: RFC
5321 and 5322. Each function returns complaints, none if all is well.
"""

import re
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any
from urllib.parse import urlsplit

SLACK_TEXT_CHARACTERS = 40_000
SLACK_ATTACHMENTS = 20
PAGERDUTY_BYTES = 512 * 1024
PAGERDUTY_SUMMARY_CHARACTERS = 1024
PAGERDUTY_KEY_CHARACTERS = 255
MAIL_LINE_BYTES = 998
SUBJECT_CHARACTERS = 120
"""Ours: what most mail programs show of a subject in a wide list."""


def slack(body: Any) -> Iterator[str]:
    """Complaints about the JSON of an incoming webhook."""
    attachments = body.get("attachments", [])
    if not (body.get("text") or body.get("blocks") or attachments):
        yield "no_text"
    if len(attachments) > SLACK_ATTACHMENTS:
        yield "too_many_attachments"
    for one in attachments:
        if not one.get("fallback"):
            yield "an attachment without fallback is empty in the notifications of telephones"
        if not re.fullmatch(r"good|warning|danger|#[0-9A-Fa-f]{6}", one.get("color", "")):
            yield f"color {one.get('color')!r}"
        text = one.get("text", "")
        if not text:
            yield "no text"
        if len(text) + len(one.get("title", "")) > SLACK_TEXT_CHARACTERS:
            yield "msg_too_long"
        yield from _slack_markup(text)
        if re.search(r"[<>]", one.get("title", "") + one.get("fallback", "") + one.get("footer", "")):
            yield "an unescaped < or > outside of the text"
        if one.get("title_link"):
            yield from _address(one["title_link"])
        if not set(one.get("mrkdwn_in", [])) <= {"pretext", "text", "fields"}:
            yield "mrkdwn_in"


def _slack_markup(text: str) -> Iterator[str]:
    for link in re.findall(r"<([^<>]*)>", text):
        if link[:1] in {"!", "@", "#"}:
            yield f"calls people: {link}"
        else:
            yield from _address(link.partition("|")[0])
    if re.search(r"[<>]", re.sub(r"<[^<>]*>", "", text)):
        yield f"an unescaped < or >: {text}"
    if re.search(r"&(?!amp;|lt;|gt;)", re.sub(r"<[^<>]*>", "", text)):
        yield f"an unescaped &: {text}"


def pagerduty(body: Any, size: int) -> Iterator[str]:
    """Complaints about the JSON of an event, ``size`` bytes long."""
    if size > PAGERDUTY_BYTES:
        yield f"{size} bytes"
    if len(body.get("routing_key", "")) != 32:
        yield "Length of 'routing_key' is incorrect (should be 32 characters)"
    if body.get("event_action") not in {"trigger", "acknowledge", "resolve"}:
        yield f"event_action {body.get('event_action')!r}"
    if not 0 < len(body.get("dedup_key", "")) <= PAGERDUTY_KEY_CHARACTERS:
        yield f"dedup_key {body.get('dedup_key')!r}"
    payload = body.get("payload", {})
    if not 0 < len(payload.get("summary", "")) <= PAGERDUTY_SUMMARY_CHARACTERS:
        yield f"summary {payload.get('summary')!r}"
    if payload.get("severity") not in {"critical", "error", "warning", "info"}:
        yield f"severity {payload.get('severity')!r}"
    for name in ("source", "component", "group", "class"):
        if not isinstance(payload.get(name), str) or not payload[name]:
            yield f"{name} {payload.get(name)!r}"
    if not isinstance(payload.get("custom_details"), dict):
        yield "custom_details"
    for link in body.get("links") or []:
        if not link.get("text"):
            yield "a link without text"
        yield from _address(link.get("href", ""))
    yield from _address(body.get("client_url", ""))


def mail(content: bytes) -> Iterator[str]:
    """Complaints about a mail as it came over the wire."""
    if any(len(line) > MAIL_LINE_BYTES for line in content.split(b"\r\n")):
        yield "a line is longer than 998 bytes"
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(content)
    for name in ("From", "To", "Date", "Subject", "Message-Id", "MIME-Version"):
        if len(message.get_all(name, [])) != 1:
            yield f"{len(message.get_all(name, []))} headers {name}"
    if not 0 < len(str(message["Subject"])) <= SUBJECT_CHARACTERS:
        yield f"subject {message['Subject']!r}"
    if message.defects:
        yield f"defects {message.defects}"
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        if part is None or not part.get_content().strip():
            yield f"no {kind} text"
    html = message.get_body(("html",))
    for address in re.findall(r'href="([^"]*)"', html.get_content() if html else ""):
        yield from _address(address)


def _address(address: str) -> Iterator[str]:
    """Complaint about an address that does not lead anywhere."""
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.netloc or re.search(r"[\s<>|{}]", address):
        yield f"no address: {address!r}"
