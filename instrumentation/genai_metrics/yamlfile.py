"""Reads a YAML file into sections that know their lines, so that every error names file, line and key.

Imports the standard library only; PyYAML is imported when a file is read. Scalars keep their text as written:
the type is the reader's choice, not YAML's guess (``model: 4.10`` is the text ``4.10``, ``1e-6`` is a number,
``no`` is not a model called False).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar, overload

if TYPE_CHECKING:
    import yaml

D = TypeVar("D")

MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest file that is read: a log file named by mistake must not fill the memory."""

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
_MAX_DEPTH = 50
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
        raise self.error(f"{self._name(key)} must be true or false, not {_describe(value)}", key)

    def section(self, key: str) -> "Section":
        """Mapping of ``key``; an empty section, at this one's line, when it is absent."""
        value = self._find(key)
        if value is None:
            return Section(self.path, self.line, self._name(key), {})
        if isinstance(value, Section):
            return value
        raise self.error(f"{self._name(key)} must be a mapping (key: value lines), not {_describe(value)}", key)

    def sections(self, key: str) -> "tuple[Section, ...]":
        """List of mappings of ``key``; empty when it is absent."""
        found: list[Section] = []
        for index, item in enumerate(self._list(key)):
            if not isinstance(item, Section):
                where = f"{self.path}:{item.line}: {self._name(key)}[{index}]"
                raise YamlError(f"{where} must be a mapping, not {_describe(item)}")
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
        raise self.error(f"{self._name(key)} must be a list ('- ' lines), not {_describe(value)}", key)

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
        raise YamlError(f"{self.path}:{value.line}: {self._name(key)} must be text, not {_describe(value)}")

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
        raise self.error(f"{self._name(key)} must be {wanted}, not {_describe(value)}{remedy and '; '}{remedy}", key)

    def _check_range(self, key: str, value: float, minimum: float, maximum: float) -> None:
        if value < minimum:
            raise self.error(f"{self._name(key)} must be at least {minimum:.12g}, not {value:.12g}", key)
        if value > maximum:
            raise self.error(f"{self._name(key)} must be at most {maximum:.12g}, not {value:.12g}", key)


Value = Scalar | Sequence | Section


def read(path: Path) -> Section:
    """Read the YAML file at ``path``, whose top must be a mapping; an empty file is an empty section.

    Raises ``YamlError`` as ``read_value`` does, and for a top of another kind.
    """
    top = read_value(path)
    if top is None:
        return Section(path, 1, "", {})
    if not isinstance(top, Section):
        raise YamlError(f"{path}:{top.line}: must be a mapping (key: value lines), not {_describe(top)}")
    return top


def read_value(path: Path) -> Value | None:
    """Read the YAML file at ``path``, whatever its top is; None for an empty file.

    Raises ``YamlError`` when the file is missing, unreadable, larger than ``MAX_BYTES``, not YAML, has a key
    twice, more than one document or a tag that is not plain data, or when PyYAML is not installed. Nothing in
    the file is ever executed or constructed. Anchors, aliases and merge keys work.
    """
    try:
        import yaml
    except ImportError:
        raise YamlError(f"{path}: PyYAML is needed to read it and is not installed; run: pip install pyyaml") from None
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(
            f"{path}: cannot be read: {error.strerror or error}; check the path and its permissions"
        ) from error
    if len(data) > MAX_BYTES:
        raise YamlError(f"{path}: larger than {MAX_BYTES // 1024 // 1024} MiB; is it the right file?")
    try:
        root = yaml.compose(data, Loader=yaml.SafeLoader)
        return None if root is None else _Reader(path).value(root, "", 0)
    except yaml.MarkedYAMLError as error:
        from genai_metrics.yamlremedies import syntax  # needed on errors only

        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or "cannot be parsed"
        begun = error.context_mark.line + 1 if error.context_mark else line
        problem += f" in what begins on line {begun}" if begun != line else ""
        remedy = syntax(problem, error.context or "")
        raise YamlError(f"{path}:{line}: not valid YAML: {problem}; {remedy}") from error
    except yaml.reader.ReaderError as error:
        line = data.count(b"\n", 0, error.position) + 1
        raise YamlError(f"{path}:{line}: not text: {error.reason}; save the file as UTF-8") from error
    except RecursionError as error:
        raise YamlError(f"{path}: nested too deeply; at most {_MAX_DEPTH} levels are read") from error


class _Reader:
    """Turns PyYAML's nodes into values; each aliased node is turned once, so aliases cannot blow up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done: dict[int, Value] = {}

    def value(self, node: "yaml.Node", key: str, depth: int) -> Value:
        """Turn one node; ``key`` is its dotted path."""
        known = self.done.get(id(node))
        if known is None:
            known = self.done[id(node)] = self._turn(node, key, depth)
        return known

    def _turn(self, node: "yaml.Node", key: str, depth: int) -> Value:
        import yaml

        line = node.start_mark.line + 1
        if depth > _MAX_DEPTH:  # also what an alias of itself comes to
            raise YamlError(f"{self.path}:{line}: nested too deeply; at most {_MAX_DEPTH} levels are read")
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALAR_TAGS:
            return Scalar(line, node.value, node.style is None, node.tag == _TAG + "null")
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = (self.value(item, f"{key}[{index}]", depth + 1) for index, item in enumerate(node.value))
            return Sequence(line, tuple(items))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return Section(self.path, line, key, self._entries(node, key, depth))
        raise YamlError(f"{self.path}:{line}: the tag {node.tag!r} is not read; write the value without a tag")

    def _entries(self, node: "yaml.MappingNode", key: str, depth: int) -> Mapping[str, tuple[int, Value]]:
        import yaml

        own: dict[str, tuple[int, Value]] = {}
        merged: dict[str, tuple[int, Value]] = {}
        for name_node, value_node in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                raise YamlError(f"{self.path}:{line}: a key must be plain text, not a list or mapping")
            name = name_node.value
            value = self.value(value_node, f"{key}.{name}" if key else name, depth + 1)
            if name_node.tag == _TAG + "merge":
                for source in value.values if isinstance(value, Sequence) else (value,):
                    if not isinstance(source, Section):
                        raise YamlError(f"{self.path}:{line}: '<<' takes a mapping, not {_describe(source)}")
                    merged = {**source.entries, **merged}
            elif name in own:
                raise YamlError(
                    f"{self.path}:{line}: {name!r} is given twice (first on line {own[name][0]}); remove one"
                )
            else:
                own[name] = (line, value)
        return {**{name: entry for name, entry in merged.items() if name not in own}, **own}


def _describe(value: Value) -> str:
    if isinstance(value, Sequence):
        return "a list"
    if isinstance(value, Section):
        return "a mapping"
    if value.null or not value.text.strip():
        return "nothing"
    return ("" if value.plain else "the text ") + repr(value.text[:80])
