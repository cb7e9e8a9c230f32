"""How good answers are, what users say of them, and what went less well: scores, feedback, degradations, warnings.

No function raises; bad values are left out and counted as faults. ``mode`` is by default that of the workflow around.
"""

from genai_metrics import runtime
from genai_metrics.catalog import DEGRADATION, FEEDBACK, QUALITY, SATISFACTION, WARNING
from genai_metrics.context import current, mode_or_current
from genai_metrics.labels import described
from genai_metrics.numbers import LARGEST_COUNT, checked_number
from genai_metrics.observations import count, observe, split_slot

DEFAULT_PRIORITY = "normal"

_BELOW = QUALITY.offset("genai_quality_below_threshold_total")


def track_quality(
    score: float,
    *,
    evaluator: str = "default",
    scale: float = 1.0,
    mode: str | None = None,
    priority: str | None = None,
) -> None:
    """Record the score that an evaluator gave an answer.

    ``score``: from 0 to ``scale``, the best; recorded as 0 to 1. ``priority`` chooses the threshold below which the
    answer also counts as poor; by default the workflow's, else ``normal``.
    """
    try:
        share = _share(score, scale, "score")
        if share is None:
            return
        mode = mode_or_current(mode)
        observe(QUALITY, (mode, evaluator), share, name="score")
        thresholds = runtime.recorder().settings.quality_thresholds
        priority = current.get().priority if priority is None else priority
        threshold = thresholds.get(_text(priority), thresholds[DEFAULT_PRIORITY])
        if share < threshold:
            count(QUALITY, (mode, evaluator), slot=_BELOW)
    except Exception as error:
        runtime.internal_fault(error)


def track_feedback(
    rating: str | None = None,
    *,
    satisfaction: float | None = None,
    scale: float = 1.0,
    mode: str | None = None,
) -> None:
    """Record what a user said: ``rating`` ``"up"`` or ``"down"``, a ``satisfaction`` from 0 to ``scale``, or both."""
    try:
        mode = mode_or_current(mode)
        if rating is not None:
            slot = split_slot(FEEDBACK.metrics[0], rating)
            if slot is None:
                runtime.recorder().fault(
                    "bad_label", f"rating={described(rating)} is neither 'up' nor 'down'; left out"
                )
            else:
                count(FEEDBACK, (mode,), slot=slot)
        share = None if satisfaction is None else _share(satisfaction, scale, "satisfaction")
        if share is not None:
            observe(SATISFACTION, (mode,), share, name="satisfaction")
    except Exception as error:
        runtime.internal_fault(error)


def track_degradation(reason: str, *, mode: str | None = None) -> None:
    """Record an answer given in a degraded way (a smaller model, no retrieval, …), and why."""
    try:
        count(DEGRADATION, (mode_or_current(mode), reason))
    except Exception as error:
        runtime.internal_fault(error)


def track_warning(kind: str, *, mode: str | None = None) -> None:
    """Record that something was not as it should be, by kind."""
    try:
        count(WARNING, (mode_or_current(mode), kind))
    except Exception as error:
        runtime.internal_fault(error)


def _text(priority: object) -> str:
    """Return a priority; one that is no text is a fault, and normal."""
    if isinstance(priority, str):
        return priority
    if priority is not None:
        runtime.recorder().fault("bad_label", f"priority={described(priority)} is no text; taken for normal")
    return DEFAULT_PRIORITY


def _share(value: object, scale: object, name: str) -> float | None:
    """Return a value on a scale as 0 to 1; ``None``, counted as a fault, when it is not on it."""
    recorder = runtime.recorder()
    top = checked_number(recorder, "scale", scale, LARGEST_COUNT)
    number = checked_number(recorder, name, value, LARGEST_COUNT)
    if not top or number is None:
        if top == 0:
            recorder.fault("bad_number", "scale=0 is no scale; the score was left out")
        return None
    if number > top:
        recorder.fault("bad_number", f"{name}={number:g} is above its scale of {top:g}; left out")
        return None
    return number / top
