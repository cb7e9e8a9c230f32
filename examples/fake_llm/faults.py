"""Faults that can be switched on for a while: what there is, what each may be told, which are active.

Lives on the event loop; not for threads. Imports the standard library only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PROVIDERS = ("openai", "anthropic")
LONGEST_SECONDS = 86_400.0


class FaultError(ValueError):
    """A fault that cannot be set; the text names the parameter and says what it may be."""


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that is a number within limits, both included."""

    default: float
    least: float
    most: float

    def read(self, name: str, value: Any) -> float:
        """Return the value; raises ``FaultError``."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise FaultError(f"{name}: a number from {self.least:g} to {self.most:g} is required, not {value!r:.60}")
        return float(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that is one of a few words, or nothing where that is the default."""

    default: str | None
    choices: tuple[str, ...]

    def read(self, name: str, value: Any) -> str | None:
        """Return the value; raises ``FaultError``."""
        if value not in self.choices and not (value is None and self.default is None):
            raise FaultError(f"{name}: one of {', '.join(self.choices)} is required, not {value!r:.60}")
        return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault: one sentence, and its parameters."""

    description: str
    parameters: Mapping[str, Number | Choice]


_PROVIDER = Choice(None, PROVIDERS)
KINDS: Mapping[str, Kind] = {
    "latency": Kind(
        "Answers take longer: times a factor, and so many seconds more before the first token and for each one.",
        {
            "factor": Number(6.0, 0.0, 1000.0),
            "add_seconds": Number(0.0, 0.0, 600.0),
            "token_seconds": Number(0.0, 0.0, 600.0),
            "provider": _PROVIDER,
        },
    ),
    "error_burst": Kind(
        "A share of the requests is answered with status 500.",
        {"share": Number(0.5, 0.0, 1.0), "provider": _PROVIDER},
    ),
    "rate_limited": Kind(
        "A share of the requests is answered with status 429 and told when to come back.",
        {"share": Number(0.6, 0.0, 1.0), "retry_after_seconds": Number(1.0, 0.0, 600.0), "provider": _PROVIDER},
    ),
    "provider_down": Kind(
        "A provider closes every connection without an answer, or says 503.",
        {"provider": Choice("openai", PROVIDERS), "how": Choice("closed", ("closed", "unavailable"))},
    ),
    "quality_drop": Kind(
        "Evaluators give scores of this mean.",
        {"quality": Number(0.5, 0.0, 1.0), "provider": _PROVIDER},
    ),
}


@dataclass(frozen=True, slots=True)
class _Active:
    """A fault that was switched on."""

    until: float
    parameters: Mapping[str, Any]


class Faults:
    """The faults that are active; each ends by itself. ``clock`` counts seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._active: dict[str, _Active] = {}

    def start(self, name: str, given: Any) -> dict[str, Any]:
        """Switch a fault on, or on again with what is given now; returns how it stands. Raises ``FaultError``."""
        kind = _kind(name)
        if not isinstance(given, Mapping):
            raise FaultError(f'an object such as {{"for_seconds": 300}} is required, not {given!r:.60}')
        unknown = given.keys() - kind.parameters.keys() - {"for_seconds"}
        if unknown:
            known = ", ".join(("for_seconds", *kind.parameters))
            raise FaultError(f"{', '.join(map(ascii, sorted(unknown)))}: not a parameter of {name}; these are: {known}")
        seconds = Number(0.0, 0.001, LONGEST_SECONDS).read("for_seconds", given.get("for_seconds"))
        parameters = {
            key: parameter.read(key, given.get(key, parameter.default)) for key, parameter in kind.parameters.items()
        }
        self._active[name] = _Active(self._clock() + seconds, parameters)
        return self.describe(name)

    def stop(self, name: str) -> None:
        """Switch a fault off, if it is on. Raises ``FaultError`` for a name that is none."""
        _kind(name)
        self._active.pop(name, None)

    def stop_all(self) -> None:
        """Switch all faults off."""
        self._active.clear()

    def active(self, name: str, provider: str) -> Mapping[str, Any] | None:
        """Return the parameters of a fault that is on for a provider, else ``None``."""
        found = self._active.get(name)
        if found is None:
            return None
        if found.until <= self._clock():
            del self._active[name]
            return None
        return found.parameters if found.parameters["provider"] in (None, provider) else None

    def describe(self, name: str) -> dict[str, Any]:
        """Return a fault as the server shows it."""
        kind = KINDS[name]
        found = self._active.get(name)
        left = 0.0 if found is None else max(0.0, found.until - self._clock())
        defaults = {key: parameter.default for key, parameter in kind.parameters.items()}
        return {
            "name": name,
            "description": kind.description,
            "active": left > 0,
            "seconds_left": round(left, 3),
            "parameters": dict(found.parameters) if found is not None and left > 0 else defaults,
        }


def _kind(name: str) -> Kind:
    try:
        return KINDS[name]
    except KeyError:
        raise FaultError(f"{name}: no such fault; there are: {', '.join(KINDS)}") from None
