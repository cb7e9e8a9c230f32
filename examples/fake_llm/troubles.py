"""What goes wrong with a request: by a fault that is on, or now and then by itself.

Imports ``faults``.
"""

from dataclasses import dataclass
from random import Random

from fake_llm.faults import Faults

# Shares of the background errors, an assumption: rate limits are what most clients meet, hung requests are rare.
_RATE_LIMITED, _FAILED = 0.5, 0.35
_HUNG_SECONDS = 60.0  # then a gateway gives up


@dataclass(frozen=True, slots=True)
class Trouble:
    """An error instead of an answer: ``status`` after ``seconds``, or, where it is 0, a closed connection."""

    status: int
    message: str = ""
    seconds: float = 0.0
    retry_after: float | None = None


def trouble_for(provider: str, faults: Faults, errors: float, random: Random) -> Trouble | None:
    """What goes wrong, if anything. ``errors`` is the share of requests that fail without any fault."""
    # Always three: an answer must be the same whether or not a fault is on.
    limited, failed, background = random.random(), random.random(), random.random()
    down = faults.active("provider_down", provider)
    if down is not None:
        return Trouble(503, "The service is unavailable.") if down["how"] == "unavailable" else Trouble(0)
    fault = faults.active("rate_limited", provider)
    if fault is not None and limited < fault["share"]:
        return _rate_limit(fault["retry_after_seconds"])
    fault = faults.active("error_burst", provider)
    if fault is not None and failed < fault["share"]:
        return Trouble(500, "The server had an error while processing your request.")
    if background >= errors:
        return None
    if background < errors * _RATE_LIMITED:
        return _rate_limit(1.0)
    if background < errors * (_RATE_LIMITED + _FAILED):
        if provider == "anthropic":
            return Trouble(529, "Overloaded")
        return Trouble(500, "The server had an error while processing your request.")
    return Trouble(504, "The request took too long.", seconds=_HUNG_SECONDS)


def _rate_limit(seconds: float) -> Trouble:
    return Trouble(429, f"Rate limit reached. Please try again in {seconds:g}s.", retry_after=seconds)
