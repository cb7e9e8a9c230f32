"""A process that records what a script says, and lives until the test has looked."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def recording(script: str, *arguments: object) -> Iterator[None]:
    """Run Python code that prints an empty line when it has recorded; the process is killed with the block."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "\n"
        try:
            yield
        finally:
            running.kill()
