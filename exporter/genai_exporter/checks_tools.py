"""Asks ``promtool`` and ``amtool``, where they are; their answers become problems with file and line.

They are looked for on PATH, and where ``make servers`` puts them if this package runs from a clone of its repository.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from genai_exporter.checks_files import Kind
from genai_exporter.checks_findings import Findings

TOOLS: dict[str, tuple[Kind, ...]] = {"promtool": ("rules", "prometheus"), "amtool": ("alertmanager",)}
"""The programs by name, with the kinds of files that they read."""

CACHE = Path(__file__).parents[2] / ".cache" / "servers"
"""Where a clone has the programs that it fetched, one folder a package."""

_TIMEOUT_SECONDS = 60


def missing(kinds: Collection[Kind]) -> tuple[str, ...]:
    """Name the programs that would read files of these kinds and are not here."""
    return tuple(tool for tool, read in TOOLS.items() if not set(read).isdisjoint(kinds) and _find(tool) is None)


def run(
    tool: str,
    arguments: Sequence[str],
    paths: Sequence[Path],
    findings: Findings,
    faulty: Collection[Path] = (),
) -> None:
    """Let a program judge files, if it is there.

    What is known already of a line is not said again, nor anything of ``faulty`` files that these name.
    """
    program = _find(tool)
    if program is None or not paths:
        return
    try:
        done = subprocess.run(
            # Absolute, so that a name is never taken for an option, and messages can be told apart.
            [program, *arguments, *(path.absolute() for path in paths)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        findings.problem(paths[0], 0, f"{tool} cannot be run: {error}; mend it, or take it off PATH")
        return
    if done.returncode == 0:
        return
    passed_over = {path.absolute() for path in faulty}
    known = {(problem.path.absolute(), problem.line) for problem in findings.problems if problem.line}
    found = list(_read(f"{done.stdout}\n{done.stderr}", paths[0]))
    for path, line, message in found or [(paths[0], 0, f"refuses it with exit code {done.returncode}")]:
        if path.absolute() not in passed_over and (path.absolute(), line) not in known:
            findings.problem(path, line, f"{tool}: {message}; mend it as {tool} says")


def _read(output: str, path: Path) -> Iterator[tuple[Path, int, str]]:
    """Yield file, line and message of each fault in what the programs print."""
    where = path
    for line in output.splitlines():
        text = re.sub(r"^Checking '.*?'  FAILED: ", "", line.strip()).removeprefix("FAILED:").strip()
        text = re.sub(r"^(?:parsing YAML file |checking SD file )", "", text)
        file = re.match(r"\"?(/.+?\.\w+)\"?: ?(.*)", text)
        if file:
            where, text = _as_given(Path(file[1]), path), file[2]
        # `line 8: ...` of YAML, `7:11: ...` of a rule.
        placed = re.match(r"(?:yaml: )?(?:line )?(\d+):(?:\d+:)? (.+)", text)
        if placed:
            yield where, int(placed[1]), placed[2]
        elif text and not re.match(
            r"SUCCESS|Checking |Found:|- |WARNING:|yaml: unmarshal errors:|amtool: error:", text
        ):
            yield where, 0, text


def _find(tool: str) -> str | None:
    fetched = (str(path) for path in sorted(CACHE.glob(f"*/usr/bin/{tool}")))
    return shutil.which(tool) or next(fetched, None)


def _as_given(found: Path, given: Path) -> Path:
    """Return the file as the user would name it: as it was given, or beside what was."""
    absolute = given.absolute()
    if found == absolute:
        return given
    return given.parent / found.relative_to(absolute.parent) if found.is_relative_to(absolute.parent) else found
