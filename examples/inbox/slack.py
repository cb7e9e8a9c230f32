"""Slack's incoming webhooks: which messages it takes, and how it shows them.

Format: docs.slack.dev, "Formatting message text" and "Secondary message attachments".
"""

import re
from typing import Any

_COLORS = {"good": "#2eb67d", "warning": "#ecb22e", "danger": "#e01e5a"}
_NO_COLOR = "#c8c8c8"
_MARKUP = re.compile(
    r"<(?P<link>[^<>|]+)(?:\|(?P<label>[^<>]*))?>"
    r"|(?<!\w)\*(?P<bold>[^*\n]+)\*(?!\w)"
    r"|(?<!\w)_(?P<italic>[^_\n]+)_(?!\w)"
    r"|`(?P<code>[^`\n]+)`"
)

Piece = tuple[str, ...]
"""("link", address, words), or words as "text", "bold", "italic", "code" or "mention"."""


class Refused(ValueError):
    """Slack would not take the message; the text is the error that it answers with."""


def message(body: Any) -> list[dict[str, Any]]:
    """What is shown of a webhook's JSON: one entry for its text, and one for each attachment. Raises ``Refused``."""
    if not isinstance(body, dict):
        raise Refused("invalid_payload")
    shown: list[dict[str, Any]] = []
    if body.get("text"):
        shown.append({"color": _NO_COLOR, "text": pieces(str(body["text"]))})
    attachments = body.get("attachments") or []
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise Refused("invalid_attachments")
    shown += [_attachment(one) for one in attachments]
    if not shown:
        raise Refused("no_text")
    return shown


def _attachment(one: dict[str, Any]) -> dict[str, Any]:
    color = str(one.get("color") or "")
    marked = "text" in (one.get("mrkdwn_in") or [])
    fields = [field for field in one.get("fields") or [] if isinstance(field, dict)]
    return {
        "color": _COLORS.get(color, color if re.fullmatch(r"#[0-9a-fA-F]{6}", color) else _NO_COLOR),
        "title": _unescaped(str(one.get("title") or "")),
        "title_link": str(one.get("title_link") or ""),
        "text": pieces(str(one.get("text") or ""), marked),
        "fields": [(_unescaped(str(f.get("title", ""))), _unescaped(str(f.get("value", "")))) for f in fields],
        "footer": _unescaped(str(one.get("footer") or "")),
    }


def pieces(text: str, marked: bool = True) -> list[Piece]:
    """Split text with Slack's markup; without ``marked`` only links and mentions count as such."""
    found: list[Piece] = []
    rest = 0
    for match in _MARKUP.finditer(text):
        piece = _piece(match, marked)
        if piece is None:
            continue
        if match.start() > rest:
            found.append(("text", _unescaped(text[rest : match.start()])))
        found.append(piece)
        rest = match.end()
    if rest < len(text):
        found.append(("text", _unescaped(text[rest:])))
    return found


def _piece(match: re.Match[str], marked: bool) -> Piece | None:
    link = match["link"]
    if link is not None:
        if link[0] in "!@#":
            return ("mention", "@" + _unescaped(match["label"] or link[1:]))
        address = _unescaped(link)
        return ("link", address, _unescaped(match["label"] or link))
    if not marked:
        return None
    kind = match.lastgroup or "text"
    return (kind, _unescaped(match[kind]))


def _unescaped(text: str) -> str:
    """Text with the three characters that Slack wants escaped."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
