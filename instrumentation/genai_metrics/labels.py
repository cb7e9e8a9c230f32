"""Label values: cleaning, and the caps that keep the number of series bounded.

Imports the standard library only.
"""

import threading
from collections.abc import Callable, Mapping

from genai_metrics.catalog import OVERFLOW

MAX_LABEL_CHARS = 128
UNKNOWN = "unknown"


def clean(value: object) -> tuple[str, bool]:
    """Return ``value`` as a label value, and whether it was one already.

    Clean values are non-empty text of at most 128 characters without control characters and lone surrogates. Anything
    else is made so: ``None`` and empty text become ``unknown``, bytes are decoded, other objects take their ``str``,
    bad characters become U+FFFD, long text is cut.
    """
    # Exactly str: a subclass may hash and compare as it likes.
    if type(value) is str and 0 < len(value) <= MAX_LABEL_CHARS and value.isprintable():
        return value, True
    if value is None or value == "":
        return UNKNOWN, False
    if isinstance(value, bytes | bytearray):
        text = bytes(value[: 4 * MAX_LABEL_CHARS]).decode(errors="replace")
    else:
        text = str(value)
    # isprintable() is stricter than needed (it refuses unusual spaces, say), which is fine for labels, but these are
    # legitimate text: only what breaks an exposition or a file is replaced.
    cut = "".join("�" if _is_bad(c) else c for c in text[:MAX_LABEL_CHARS])
    return cut or UNKNOWN, type(value) is str and cut == text


def _is_bad(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


class LabelCaps:
    """First-come admission of label values: at most ``caps[label]`` distinct ones, ``__other__`` for the rest.

    Labels without a cap are not limited. Thread-safe.
    """

    def __init__(self, caps: Mapping[str, int], on_overflow: Callable[[str], None]) -> None:
        self._caps = caps
        self._seen: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._on_overflow = on_overflow

    def admit(self, label: str, value: str) -> str:
        """Return ``value``, or ``__other__`` when the label is full; the latter is reported to ``on_overflow``."""
        cap = self._caps.get(label)
        if cap is None or value == OVERFLOW:
            return value
        seen = self._seen.get(label)
        if seen is not None and value in seen:
            return value
        with self._lock:
            seen = self._seen.setdefault(label, set())
            if value in seen or len(seen) < cap:
                seen.add(value)
                return value
        self._on_overflow(label)
        return OVERFLOW
