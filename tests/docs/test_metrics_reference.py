"""Tests of the generated reference of metrics."""

import subprocess
import sys
from pathlib import Path

from genai_metrics.catalog import BLOCK_KINDS, EXPORTER_METRICS, GPU_METRICS, HOST_METRICS

DOCS = Path(__file__).parents[2] / "docs"


def test_is_fresh() -> None:
    """What is committed is what the catalogue says, byte for byte."""
    done = subprocess.run(
        [sys.executable, str(DOCS / "metrics_reference.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_every_metric_once() -> None:
    """Also those that two kinds of block hold."""
    page = (DOCS / "metrics.md").read_text("utf-8").splitlines()
    names = {metric.name for kind in BLOCK_KINDS for metric in kind.metrics}
    names |= {metric.name for metric in (*EXPORTER_METRICS, *HOST_METRICS, *GPU_METRICS)}
    headings = [line.removeprefix("### `").removesuffix("`") for line in page if line.startswith("### ")]
    assert sorted(headings) == sorted(names)
