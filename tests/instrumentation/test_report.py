"""Tests of the report as JSON and as text."""

import io
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genai_metrics import (
    export_json,
    operation,
    print_report,
    report,
    retrieval,
    tool_call,
    track_dependency,
    track_llm_call,
    track_quality,
    workflow,
)
from genai_metrics.catalog import CACHE_LOOKUPS
from genai_metrics.observations import count

if TYPE_CHECKING:
    from conftest import Metrics


def record_one_of_each() -> None:
    """Record something for every table."""
    with workflow(mode="rag", tenant="acme"):
        with operation("reranking"), tool_call("search"), retrieval("docs") as found:
            found.results(3)
        track_llm_call(model="gpt-4", provider="openai", input_tokens=12_346, output_tokens=500, duration=1.5)
        track_quality(0.3, evaluator="judge")
    count(CACHE_LOOKUPS, ("answers", "rag"))
    track_dependency("redis", False)


class TestReport:
    """A dictionary for machines."""

    def test_is_json(self, metrics: "Metrics") -> None:
        """Nothing that JSON has not, NaN and infinities included, and the same after a round trip."""
        record_one_of_each()
        found = report()
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert found["models"]["openai/gpt-4"]["seconds"]["estimated"]["p95"] == pytest.approx(1.5)
        assert found["tenants"]["acme"]["calls"] == 1

    def test_estimates_are_labelled(self, metrics: "Metrics") -> None:
        """Percentiles, least and largest stand under ``estimated``, exact numbers beside it."""
        record_one_of_each()
        seconds = report()["operations"]["reranking"]["seconds"]
        assert set(seconds) == {"count", "sum", "mean", "estimated"}
        assert set(seconds["estimated"]) == {"min", "max", "p50", "p95", "p99"}


class TestPrintReport:
    """A table for people."""

    def test_shows_every_part(self, metrics: "Metrics") -> None:
        """Each table with its row, aligned; what was never recorded has no table."""
        record_one_of_each()
        out = io.StringIO()
        print_report(out)
        text = out.getvalue()
        for title in ("Workflows", "Operations", "Models", "Tools", "Retrievals", "Caches", "Quality", "Tenants"):
            assert f"\n{title}\n" in text
        assert re.search(r"^openai/gpt-4 +1 +0 +12,346 +500 +\$0\.4004 ", text, re.M)
        assert "Not usable: redis" in text
        assert text.endswith("~: estimated from the buckets of histograms.\n")
        model_lines = text[text.index("Models") :].splitlines()[1:3]
        assert len({len(line) for line in model_lines}) == 1

    @pytest.mark.parametrize(
        ("cost", "expected"),
        [
            (12.3, "$12.30"),
            (1234.5, "$1,234.50"),
            (0.28, "$0.2800"),
            (0.27081, "$0.2708"),
            (0.000045, "$0.000045"),
            (0.0000004, "< $0.000001"),
        ],
    )
    def test_money_has_as_many_decimals_as_it_needs(self, metrics: "Metrics", cost: float, expected: str) -> None:
        """Amounts of one size have equally many, and what costs something never reads as $0."""
        track_llm_call(model="gpt-4", cost_usd=cost)
        out = io.StringIO()
        print_report(out)
        assert f"; cost {expected}, saved $0.00\n" in out.getvalue()

    def test_unknown_cost_is_not_zero(self, metrics: "Metrics") -> None:
        """A model without a price has no cost of $0."""
        track_llm_call(model="nobodys", input_tokens=5)
        out = io.StringIO()
        print_report(out)
        assert re.search(r"^unknown/nobodys .* unknown ", out.getvalue(), re.M)
        assert "1 calls at an unknown price" in out.getvalue()

    def test_standard_output(self, metrics: "Metrics", capsys: pytest.CaptureFixture[str]) -> None:
        """Goes where output goes now, not where it went at import."""
        print_report()
        assert "LLM calls 0" in capsys.readouterr().out

    def test_labels_cannot_control_the_terminal(self, metrics: "Metrics") -> None:
        """Direction marks and the like are replaced; control characters never get into a label."""
        with operation("a\u202eb\x1b[31m"):
            pass
        out = io.StringIO()
        print_report(out)
        assert "\u202e" not in out.getvalue()
        assert "\x1b" not in out.getvalue()


class TestExportJson:
    """A file that is complete or not there."""

    def test_writes_the_report(self, metrics: "Metrics", tmp_path: Path) -> None:
        """UTF-8, and nothing but the file is left."""
        target = tmp_path / "out" / "report.json"
        target.parent.mkdir()
        with operation("übersetzen"):
            pass
        export_json(target)
        export_json(str(target))
        assert "übersetzen" in json.loads(target.read_text("utf-8"))["operations"]
        assert os.listdir(target.parent) == ["report.json"]

    def test_failure_leaves_the_earlier_file(
        self, metrics: "Metrics", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A full disk at the last moment: the error is the caller's to know, the file is as it was."""
        target = tmp_path / "out" / "report.json"
        target.parent.mkdir()
        target.write_text("earlier")

        def full(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            export_json(target)
        assert target.read_text() == "earlier"
        assert os.listdir(target.parent) == ["report.json"]

    def test_relative_name(self, metrics: "Metrics", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In the working directory."""
        monkeypatch.chdir(tmp_path)
        export_json("report.json")
        assert json.loads((tmp_path / "report.json").read_text())["llm"]["calls"] == 0

    def test_missing_directory(self, metrics: "Metrics", tmp_path: Path) -> None:
        """Is told, not made."""
        with pytest.raises(FileNotFoundError):
            export_json(tmp_path / "missing" / "report.json")
