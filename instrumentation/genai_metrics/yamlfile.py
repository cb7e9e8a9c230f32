"""Reads a YAML file into values that know their lines, see ``yamlvalues``.

Imports the standard library only; PyYAML is imported when a file is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genai_metrics.yamlvalues import Scalar, Section, Sequence, Value, YamlError, describe

if TYPE_CHECKING:
    import yaml

MAX_BYTES: Final = 4 * 1024 * 1024
"""Largest file that is read: a log file named by mistake must not fill the memory."""

_TAG = "tag:yaml.org,2002:"
_SCALAR_TAGS = frozenset(_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge"))
_MAX_DEPTH = 50


def read(path: Path) -> Section:
    """Read the YAML file at ``path``, whose top must be a mapping; an empty file is an empty section.

    Raises ``YamlError`` as ``read_value`` does, and for a top of another kind.
    """
    top = read_value(path)
    if top is None:
        return Section(path, 1, "", {})
    if not isinstance(top, Section):
        raise YamlError(f"{path}:{top.line}: must be a mapping (key: value lines), not {describe(top)}")
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
                        raise YamlError(f"{self.path}:{line}: '<<' takes a mapping, not {describe(source)}")
                    merged = {**source.entries, **merged}
            elif name in own:
                raise YamlError(
                    f"{self.path}:{line}: {name!r} is given twice (first on line {own[name][0]}); remove one"
                )
            else:
                own[name] = (line, value)
        return {**{name: entry for name, entry in merged.items() if name not in own}, **own}
