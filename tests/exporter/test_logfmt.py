"""Tests of the log lines."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from genai_exporter import logfmt


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Put the root logger back as pytest had it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig(force=True) closes the handlers that it finds; pytest still needs its own.
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level
    for name in ("uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("restored_logging")
class TestLogfmt:
    """One line an event."""

    def test_a_line_has_time_level_message_and_fields(self) -> None:
        """Plain values stay bare, others are quoted and escaped, and line feeds never leave the line."""
        stream = io.StringIO()
        logfmt.configure("info", stream)
        logging.getLogger("x").info(
            "a %s", "b", extra={"fields": {"plain": 1, "empty": "", "odd": 'say "hi"\n\\ \x1b[0m'}}
        )
        line = stream.getvalue()
        assert re.fullmatch(
            r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info msg="a b" plain=1 empty="" '
            r'odd="say \\"hi\\"\\n\\\\ \\u001b\[0m"\n',
            line,
        )

    def test_the_level_decides(self) -> None:
        """Records below the level are dropped, whoever logs them."""
        stream = io.StringIO()
        logfmt.configure("warning", stream)
        logging.getLogger("x").info("quiet")
        logging.getLogger("x").warning("loud")
        assert "quiet" not in stream.getvalue()
        assert "level=warning msg=loud" in stream.getvalue()

    def test_a_traceback_stays_on_the_line(self) -> None:
        """An exception is one more pair."""
        stream = io.StringIO()
        logfmt.configure("info", stream)
        try:
            raise RuntimeError("boom")
        except RuntimeError:
            logging.getLogger("x").exception("failed")
        assert stream.getvalue().count("\n") == 1
        assert 'traceback="Traceback' in stream.getvalue()
        assert "boom" in stream.getvalue()
