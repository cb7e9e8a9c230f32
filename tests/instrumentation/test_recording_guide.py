"""Tests that docs/recording.md says what is true: its code runs, its tables are complete."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_metrics import track_llm_call
from genai_metrics.catalog import FAULT_REASONS

GUIDE = (Path(__file__).parents[2] / "docs" / "recording.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


def first_column(heading: str) -> set[str]:
    """Names in the first column of the table whose first heading is ``heading``."""
    table = GUIDE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.mark.parametrize("example", EXAMPLES, ids=[str(number) for number in range(len(EXAMPLES))])
def test_examples_run(run_python: Callable[..., str], example: str) -> None:
    """Each piece of code runs by itself and records without a fault."""
    run_python(
        example + "\nfrom genai_metrics import runtime\n"
        "for block in runtime.recorder().blocks():\n"
        "    assert block.kind.name != 'recorder_fault' or block.read() == [0.0], block.key\n"
    )


def test_arguments_are_complete() -> None:
    """The table of arguments has each argument, and no other."""
    assert first_column("argument") == set(inspect.signature(track_llm_call).parameters)


def test_faults_are_complete() -> None:
    """The table of faults has each reason of the catalogue, and no other."""
    assert first_column("reason") == set(FAULT_REASONS)
