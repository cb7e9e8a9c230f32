"""Tests that the code in the guides runs without a fault: each piece by itself, those on LLM calls in a row."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_llm_process import fake_llm

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


def test_llm_calls() -> None:
    """The pieces go on from the first, with the real library; a stream prints its text and nothing else."""
    pieces = re.findall(r"```python\n(.*?)```", (DOCS / "llm-calls.md").read_text(), re.DOTALL)
    program = "\n".join(piece for piece in pieces if "tiktoken" not in piece)  # which fetches its data
    with fake_llm() as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program + EPILOGUE + "assert snapshot().llm.calls == 4"],
            env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/openai/v1", "OPENAI_API_KEY": "any"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) > 20
    assert "None" not in done.stdout
