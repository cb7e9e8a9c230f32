"""Run ``genai-exporter check`` as a process of its own, and read what it tells."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_TOOLS = "/nowhere"
# As `python -m genai_exporter check`, but with programs that a clone has fetched in the folder that is given first.
_COMMAND = """
import sys
from pathlib import Path
from genai_exporter import checks_tools, cli
checks_tools.CACHE = Path(sys.argv.pop(1))
cli.main(prog_name="genai-exporter")
"""


@dataclass(frozen=True)
class Run:
    """One run: exit code, what was printed, and with ``--json`` what that says."""

    code: int
    output: str
    errors: str
    told: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        """Problems as ``name:line: message``, with the file's name alone."""
        return [_line(found) for found in self.told["problems"]]

    @property
    def notes(self) -> list[str]:
        """Notes, likewise."""
        return [_line(found) for found in self.told["notes"]]


def check(
    *arguments: str | Path, cwd: Path | None = None, path: str = NO_TOOLS, cache: str = NO_TOOLS, **variables: str
) -> Run:
    """Run the command with ``--json``, its ``PATH``, its folder of fetched programs and the given variables."""
    done = run("--json", *arguments, cwd=cwd, path=path, cache=cache, **variables)
    return Run(done.returncode, done.stdout, done.stderr, json.loads(done.stdout) if done.stdout else {})


def run(
    *arguments: str | Path, cwd: Path | None = None, path: str = NO_TOOLS, cache: str = NO_TOOLS, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    return subprocess.run(
        [sys.executable, "-c", _COMMAND, cache, "check", *map(str, arguments)],
        env={**kept, "PATH": path, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _line(found: dict[str, Any]) -> str:
    line = "" if found["line"] is None else f"{found['line']}:"
    return f"{Path(found['file']).name}:{line} {found['message']}"
