"""Values of a YAML file that know their lines, so that every error names file, line and key.

Imports the standard library only. Scalars keep their text as written: the type is the reader's choice, not YAML's
guess (``model: 4.10`` is the text ``4.10``, ``1e-6`` is a number, ``no`` is not a model called False).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, overload

D = TypeVar("D")

_REQUIRED = object()
# YAML 1.2's booleans and YAML 1.1's, which many people still write.
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


# Of `{ price: 3,000 }`, whose second key is 000.
_COMMA = "within { } a comma ends a value: write a number without it, such as 3000 or 0.5"


class YamlError(ValueError):
    """A file that cannot be used; the text names file, line and key, and says what to do."""


def nearest(name: str, allowed: Collection[str]) -> str:
    """Say in words which of the ``allowed`` names was probably meant by ``name``, or list them all."""
    import difflib  # needed on errors only

    matches = difflib.get_close_matches(name, allowed, n=1, cutoff=0.6)
    return f"did you mean {matches[0]!r}?" if matches else f"known: {', '.join(sorted(allowed)) or 'none'}"


@dataclass(frozen=True)
class Scalar:
    """A single value: its text as written, whether it was written without quotes, and whether it is null."""

    line: int
    text: str
    plain: bool
    null: bool


@dataclass(frozen=True)
class Sequence:
    """A list, with the line on which it begins."""

    line: int
    values: "tuple[Value, ...]"


@dataclass(frozen=True)
class Section:
    """A mapping with its place in the file; immutable.

    ``key`` is the dotted path from the top (``prices[0].tiers[1]``), empty for the file itself; lines count
    from 1. Every getter raises ``YamlError`` when the value is of another kind or out of range. A key without
    a value (``key:`` and nothing more) counts as absent; an absent key without a default is an error.
    """

    path: Path
    line: int
    key: str
    entries: "Mapping[str, tuple[int, Value]]"

    def keys(self) -> tuple[str, ...]:
        """Keys of the mapping, in the order of the file."""
        return tuple(self.entries)

    def has(self, key: str) -> bool:
        """Whether ``key`` is there with a value."""
        return self._find(key) is not None

    def error(self, message: str, key: str | None = None) -> YamlError:
        """Make, for the caller to raise, the error that places ``message`` at ``key`` or at the section."""
        line = self.entries[key][0] if key is not None and key in self.entries else self.line
        return YamlError(f"{self.path}:{line}: {message}")

    def check_keys(self, allowed: Collection[str]) -> None:
        """Raise ``YamlError`` for the first key not in ``allowed``, and name the nearest one that is."""
        for key in self.entries:
            if key not in allowed:
                where = f" in {self.key}" if self.key else ""
                remedy = _COMMA if key.isdigit() else nearest(key, allowed)
                raise self.error(f"unknown key {key!r}{where}; {remedy}", key)

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: D) -> str | D: ...
    def text(self, key: str, default: object = _REQUIRED) -> object:
        """Text of ``key`` exactly as written; empty text is an error."""
        value = self._find(key)
        return self._default(key, default) if value is None else self._as_text(key, value)

    @overload
    def number(self, key: str, *, minimum: float = ..., maximum: float = ...) -> float: ...
    @overload
    def number(self, key: str, default: D, *, minimum: float = ..., maximum: float = ...) -> float | D: ...
    def number(
        self, key: str, default: object = _REQUIRED, minimum: float = -math.inf, maximum: float = math.inf
    ) -> object:
        """Finite number of ``key``, within ``minimum`` and ``maximum`` (both included)."""
        value = self._find(key)
        if value is None:
            return self._default(key, default)
        number = self._parse(key, value, "number")
        self._check_range(key, number, minimum, maximum)
        return number

    @overload
    def integer(self, key: str, *, minimum: float = ..., maximum: float = ...) -> int: ...
    @overload
    def integer(self, key: str, default: D, *, minimum: float = ..., maximum: float = ...) -> int | D: ...
    def integer(
        self, key: str, default: object = _REQUIRED, minimum: float = -math.inf, maximum: float = math.inf
    ) -> object:
        """Whole number of ``key``, within ``minimum`` and ``maximum`` (both included)."""
        value = self._find(key)
        if value is None:
            return self._default(key, default)
        integer = self._parse(key, value, "integer")
        self._check_range(key, integer, minimum, maximum)
        return integer

    @overload
    def boolean(self, key: str) -> bool: ...
    @overload
    def boolean(self, key: str, default: D) -> bool | D: ...
    def boolean(self, key: str, default: object = _REQUIRED) -> object:
        """Truth of ``key``: true or false (also yes, no, on, off), without quotes."""
        value = self._find(key)
        if value is None:
            return self._default(key, default)
        if isinstance(value, Scalar) and value.plain and value.text.lower() in _BOOLEANS:
            return _BOOLEANS[value.text.lower()]
        raise self.error(f"{self._name(key)} must be true or false, not {describe(value)}", key)

    def section(self, key: str) -> "Section":
        """Mapping of ``key``; an empty section, at this one's line, when it is absent."""
        value = self._find(key)
        if value is None:
            return Section(self.path, self.line, self._name(key), {})
        if isinstance(value, Section):
            return value
        raise self.error(f"{self._name(key)} must be a mapping (key: value lines), not {describe(value)}", key)

    def sections(self, key: str) -> "tuple[Section, ...]":
        """List of mappings of ``key``; empty when it is absent."""
        found: list[Section] = []
        for index, item in enumerate(self._list(key)):
            if not isinstance(item, Section):
                where = f"{self.path}:{item.line}: {self._name(key)}[{index}]"
                raise YamlError(f"{where} must be a mapping, not {describe(item)}")
            found.append(item)
        return tuple(found)

    def texts(self, key: str) -> tuple[str, ...]:
        """List of texts of ``key``, each as written; empty when it is absent."""
        return tuple(self._as_text(f"{key}[{index}]", item) for index, item in enumerate(self._list(key)))

    def _find(self, key: str) -> "Value | None":
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry[1], Scalar) and entry[1].null):
            return None
        return entry[1]

    def _list(self, key: str) -> "tuple[Value, ...]":
        value = self._find(key)
        if value is None:
            return ()
        if isinstance(value, Sequence):
            return value.values
        raise self.error(f"{self._name(key)} must be a list ('- ' lines), not {describe(value)}", key)

    def _name(self, key: str) -> str:
        return f"{self.key}.{key}" if self.key else key

    def _default(self, key: str, default: object) -> object:
        if default is not _REQUIRED:
            return default
        where = self.key or "the file"
        raise self.error(f"missing key {key!r}; add it to {where}", key)

    def _as_text(self, key: str, value: "Value") -> str:
        if isinstance(value, Scalar) and value.text.strip() and not value.null:
            return value.text
        raise YamlError(f"{self.path}:{value.line}: {self._name(key)} must be text, not {describe(value)}")

    @overload
    def _parse(self, key: str, value: "Value", kind: Literal["number"]) -> float: ...
    @overload
    def _parse(self, key: str, value: "Value", kind: Literal["integer"]) -> int: ...
    def _parse(self, key: str, value: "Value", kind: Literal["number", "integer"]) -> float:
        wanted = "a number" if kind == "number" else "a whole number"
        if isinstance(value, Scalar) and value.plain:
            try:
                parsed = float(value.text) if kind == "number" else int(value.text)
                if math.isfinite(parsed):
                    return parsed
            except (ValueError, OverflowError):  # not a number; a whole number that no float reaches
                pass
        remedy = ""
        if isinstance(value, Scalar) and not value.null:
            from genai_metrics.yamlremedies import number_meant  # needed on errors only

            remedy = number_meant(value.text) or ("" if value.plain else "write it without quotes")
        raise self.error(f"{self._name(key)} must be {wanted}, not {describe(value)}{remedy and '; '}{remedy}", key)

    def _check_range(self, key: str, value: float, minimum: float, maximum: float) -> None:
        if value < minimum:
            raise self.error(f"{self._name(key)} must be at least {minimum:.12g}, not {value:.12g}", key)
        if value > maximum:
            raise self.error(f"{self._name(key)} must be at most {maximum:.12g}, not {value:.12g}", key)


Value = Scalar | Sequence | Section


def describe(value: Value) -> str:
    """Say in words what a value is, for an error that says what it should be."""
    if isinstance(value, Sequence):
        return "a list"
    if isinstance(value, Section):
        return "a mapping"
    if value.null or not value.text.strip():
        return "nothing"
    return ("" if value.plain else "the text ") + repr(value.text[:80])
