"""Numbers as users pass them: what is usable, and what to do with the rest.

Imports the standard library and the recorder.
"""

from math import nan as NAN

from genai_metrics.labels import described
from genai_metrics.recorder import Recorder

LARGEST_COUNT = 10**12
"""Tokens, dollars or retries of one call from which a number is taken for a mistake."""
LARGEST_SECONDS = 1e9
"""Seconds from which a duration is taken for a mistake (a Unix timestamp, say)."""


def checked_number(recorder: Recorder, name: str, value: object, limit: float, lowest: float = 0.0) -> float | None:
    """Return ``value`` as a float from ``lowest`` to below ``limit``; ``None`` when it is none, or was not given.

    Anything but ``None`` that is unusable is counted as ``bad_number``. Text is not parsed: "12" is a mistake.
    """
    if value is None:
        return None
    try:
        usable = float(value) if not isinstance(value, str | bytes | bytearray) else NAN  # type: ignore[arg-type]
    except Exception:  # whatever a foreign __float__ raises
        usable = NAN
    if lowest <= usable < limit:
        return usable
    recorder.fault(
        "bad_number", f"{name}={described(value)} is not a number from {lowest:g} to below {limit:g}; left out"
    )
    return None


def checked_flag(recorder: Recorder, name: str, value: object) -> bool:
    """Return whether ``value`` is true; text that is not empty and what has no truth value count as ``bad_flag``.

    Those are taken for false: "false" is true to Python, and a call wrongly taken for cached would hide its cost.
    """
    try:
        truth = bool(value)
        if not truth or not isinstance(value, str | bytes | bytearray):
            return truth
    except Exception:  # whatever a foreign __bool__ raises
        pass
    recorder.fault("bad_flag", f"{name}={described(value)} is neither true nor false; taken for false")
    return False
