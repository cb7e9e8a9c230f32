"""Label values: cleaning, and the caps that keep the number of series bounded.

Imports the standard library only.
"""

import threading
from collections.abc import Callable, Mapping

from genai_metrics.catalog import OVERFLOW

MAX_LABEL_CHARS = 128
UNKNOWN = "unknown"
_DESCRIBED_CHARS = 80


def clean(value: object) -> tuple[str, bool]:
    """Return ``value`` as a label value, and whether it was one already.

    Clean values are non-empty text of at most 128 characters without control characters and lone surrogates. Anything
    else is made so: ``None``, empty text and objects that have no text become ``unknown``, bytes are decoded, other
    objects take their ``str``, bad characters become U+FFFD, long text is cut. Never raises; what comes back is exactly
    a ``str``. Members of enumerations of text are their text.
    """
    # Exactly str: a subclass may hash and compare as it likes.
    if type(value) is str and 0 < len(value) <= MAX_LABEL_CHARS and value.isprintable():
        return value, True
    text = _text(value)
    # isprintable() is stricter than needed (it refuses unusual spaces, say), which is fine for labels, but these are
    # legitimate text: only what breaks an exposition or a file is replaced.
    cut = "".join("�" if _is_bad(c) else c for c in text[:MAX_LABEL_CHARS])
    return cut or UNKNOWN, issubclass(type(value), str) and "" != cut == text


def is_unchanged(given: tuple[object, ...], key: tuple[str, ...]) -> bool:
    """Whether label values as the user gave them are text, and the very text of ``key``; runs no foreign code."""
    return all(
        issubclass(type(value), str) and str.__eq__(value, text)  # type: ignore[operator]  # a str, as just checked
        for value, text in zip(given, key, strict=True)
    )


def described(value: object) -> str:
    """Return ``value`` for a log message: short, and without running foreign code, which may fail or take long."""
    if type(value) is str or type(value) is bytes:
        return repr(value[:_DESCRIBED_CHARS]) + ("..." if len(value) > _DESCRIBED_CHARS else "")
    if type(value) in (bool, float, type(None)) or (type(value) is int and value.bit_length() <= 128):
        return repr(value)
    return f"an instance of {type.__repr__(type(value))[1:-1]}"


def _text(value: object) -> str:
    if issubclass(type(value), str):
        # Its characters: what an enumeration's own __str__ makes of them may be "Mode.RAG".
        return str.__str__(value)
    if value is None:
        return ""
    try:
        if isinstance(value, bytes | bytearray):
            return bytes(value[: 4 * MAX_LABEL_CHARS]).decode(errors="replace")
        text = str.__str__(str(value))
        return "" if " at 0x" in text else text  # no text of its own, and another address each time
    except Exception:  # whatever a foreign __str__ raises
        return ""


def _is_bad(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff"


class LabelCaps:
    """First-come admission of label values: at most ``caps[label]`` distinct ones, ``__other__`` for the rest.

    Labels without a cap are not limited. Thread-safe.
    """

    def __init__(self, caps: Mapping[str, int], on_overflow: Callable[[str], None]) -> None:
        self._caps = caps
        self._seen: dict[str, set[str]] = {label: set() for label in caps}
        # Reentrant: a signal handler that records may come in between.
        self._lock = threading.RLock()
        self._on_overflow = on_overflow

    def admit(self, label: str, value: str) -> str:
        """Return ``value``, or ``__other__`` when the label is full; the latter is reported to ``on_overflow``."""
        cap = self._caps.get(label)
        if cap is None or value == OVERFLOW:
            return value
        seen = self._seen[label]
        if value in seen:
            return value
        with self._lock:
            if value in seen or len(seen) < cap:
                seen.add(value)
                return value
        self._on_overflow(label)
        return OVERFLOW
