"""What ``genai-exporter check`` finds: problems and notes, each at a line of a file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genai_metrics.pricefile import PriceFileError
from genai_metrics.yamlvalues import Scalar, Section, Value, YamlError


@dataclass(frozen=True, order=True)
class Finding:
    """One finding; ``line`` counts from 1, 0 for the file as a whole. ``message`` ends with the remedy."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}" if self.line else f"{self.path}: {self.message}"


@dataclass
class Findings:
    """What was found so far, without repetitions. Notes, unlike problems, are no reason to fail."""

    problems: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def problem(self, path: Path, line: int, message: str) -> None:
        """Add a problem."""
        _add(self.problems, Finding(path, line, message))

    def note(self, path: Path, line: int, message: str) -> None:
        """Add something to know that need not be mended."""
        _add(self.notes, Finding(path, line, message))

    def collecting(self, path: Path) -> "Collecting":
        """Turn an error of a file's reader into a problem; what stands behind it in the block is left out."""
        return Collecting(self, path)


@dataclass(frozen=True)
class Collecting:
    """The block of ``Findings.collecting``."""

    findings: Findings
    path: Path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, (YamlError, PriceFileError)):
            return False
        self.findings.problem(*_placed(self.path, str(error)))
        return True


def line_of(section: Section, key: str) -> int:
    """Line of a key, or of the section where it has no such key."""
    return section.entries[key][0] if key in section.entries else section.line


def texts_in(value: Value, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """Yield every scalar of a tree that is not null, with the keys that lead to it (none for the items of a list)."""
    if isinstance(value, Section):
        for key, (_, inner) in value.entries.items():
            yield from texts_in(inner, (*path, key))
    elif isinstance(value, Scalar):
        if not value.null:
            yield path, value
    else:
        for item in value.values:
            yield from texts_in(item, path)


def _add(findings: list[Finding], finding: Finding) -> None:
    if finding not in findings:  # an alias of YAML is found wherever it is used
        findings.append(finding)


def _placed(path: Path, text: str) -> tuple[Path, int, str]:
    """Split an error's text into file, line (0 if it has none) and message."""
    placed = re.fullmatch(rf"{re.escape(str(path))}(?::(\d+))?: (.*)", text, re.DOTALL)
    return (path, 0, text) if placed is None else (path, int(placed[1] or 0), placed[2])
