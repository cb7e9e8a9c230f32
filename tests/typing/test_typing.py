"""Tests that the package's types let applications do what they may, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mypy(path: Path) -> subprocess.CompletedProcess[str]:
    """Check one file strictly, as an application would that has installed the package."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            f"--cache-dir={HERE.parent.parent / '.mypy_cache'}",
            str(path),
        ],
        cwd=HERE,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "usage", sorted(path for path in HERE.glob("*.py") if path.name != "test_typing.py"), ids=lambda p: p.stem
)
def test_usage(usage: Path) -> None:
    """What is right passes, and each misuse is reported."""
    checked = mypy(usage)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_misuse_is_reported(tmp_path: Path) -> None:
    """The check itself works: without the comments mypy finds as many errors as there were."""
    text = (HERE / "recording.py").read_text()
    bare = tmp_path / "bare.py"
    bare.write_text("".join(line.partition("  # type: ignore")[0].rstrip() + "\n" for line in text.splitlines()))
    checked = mypy(bare)
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    assert len(errors) == text.count("# type: ignore") > 15
