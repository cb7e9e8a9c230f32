"""Log lines as logfmt: ``time=… level=info msg="listening on http://127.0.0.1:9840"``, one event a line.

Values that a reader may want to search for go into ``extra={"fields": {…}}``, not into the message.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

_SPECIAL = frozenset(' "=\\')


class LogfmtFormatter(logging.Formatter):
    """Formats a record as ``key=value`` pairs on one line; values are quoted where they must be.

    Pairs: ``time`` (UTC, milliseconds), ``level``, ``msg``, then the record's ``fields``, then ``traceback``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line feed."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        pairs: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            pairs["traceback"] = self.formatException(record.exc_info)
        return " ".join(f"{key}={_quote(str(value))}" for key, value in pairs.items())


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's records of at least ``level`` to ``stream`` (standard error), and nowhere else.

    The web server's own lines on starting and stopping say nothing that ours do not: it may only warn.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLogger().level))
    logging.getLogger("asyncio").setLevel(max(logging.WARNING, logging.getLogger().level))


def _quote(text: str) -> str:
    if text and text.isprintable() and not _SPECIAL.intersection(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
