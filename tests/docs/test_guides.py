"""Tests that the code in the guides runs as it stands, each piece by itself and without a fault."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    pytest.param(code, id=f"{name}-{number}")
    for name in ("workflows", "statistics", "testing", "opentelemetry", "exemplars")
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", (DOCS / f"{name}.md").read_text(), re.DOTALL))
]
EPILOGUE = """
from genai_metrics import snapshot
assert not snapshot().faults, snapshot().faults
if "unittest" in globals():
    assert unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromModule(
        __import__("__main__"))).wasSuccessful()
"""


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(example: str) -> None:
    """It is right; tests in it pass."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example + EPILOGUE],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
