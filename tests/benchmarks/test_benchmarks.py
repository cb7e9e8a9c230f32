"""The benchmarks run from end to end; what they measure is for people to judge, and depends on the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import footprint, recording
from benchmarks.table import BEGIN, END
from benchmarks.ways import WAYS

from genai_stack import REPOSITORY


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line of the benchmarks."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class TestRun:
    """One short round."""

    def test_prints_every_row_and_every_target(self, tmp_path: Path) -> None:
        """Each way to record, memory and import are there, with numbers above 0, and a verdict for each target."""
        json_path = tmp_path / "figures.json"
        done = run("--only", "recording", "--only", "footprint", "--rounds", "1", "--json", json_path)
        assert done.returncode == 0, done.stderr
        assert "round 1 of 1" in done.stderr
        sections = {section["title"]: section for section in json.loads(json_path.read_text())["sections"]}
        assert len(sections) == 4
        for title in (recording.TITLE, recording.COLD_TITLE):
            assert [figure["name"] for figure in sections[title]["figures"]] == [way.name for way in WAYS]
        figures = [figure for section in sections.values() for figure in section["figures"]]
        assert {footprint.OURS_FILE, footprint.OURS_MEMORY, footprint.IMPORT} <= {figure["name"] for figure in figures}
        assert [figure["name"] for figure in figures if figure["median"] <= 0] == []
        targets = [target for section in sections.values() for target in section["targets"]]
        assert len(targets) == 9
        assert [figure["name"] for figure in figures if figure["name"] not in done.stdout] == []
        verdicts = [line for line in done.stdout.splitlines() if line.startswith(("  met    ", "  MISSED "))]
        assert [line[9:].partition(": ")[0] for line in verdicts] == [t["name"].partition(": ")[0] for t in targets]

    def test_targets_are_against_labels_by_keyword(self) -> None:
        """That is how applications write it; by position is measured without a target."""
        (keywords,) = (way for way in WAYS if way.name == recording.LABELS)
        assert "by keyword" in keywords.note
        assert "labels() by position" in {way.name.partition(", ")[2] for way in WAYS}


class TestReadme:
    """What ``--readme`` refuses before minutes are spent."""

    def test_needs_all_parts(self, tmp_path: Path) -> None:
        """A table of some parts would pass for the whole."""
        readme = tmp_path / "README.md"
        readme.write_text(f"{BEGIN}\n{END}\n")
        done = run("--only", "footprint", "--readme", readme)
        assert done.returncode == 2
        assert "leave out --only" in done.stderr

    @pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
    def test_needs_a_place_for_the_table(self, tmp_path: Path, text: str) -> None:
        """The error names the file and the markers that it must have; the file stays as it is."""
        readme = tmp_path / "README.md"
        readme.write_text(text)
        done = run("--readme", readme)
        assert done.returncode == 1
        assert f"{readme}: must have the lines {BEGIN} and {END}" in done.stderr
        assert readme.read_text() == text

    def test_the_readme_has_that_place(self) -> None:
        """``make bench`` finds where to write."""
        text = (REPOSITORY / "README.md").read_text()
        assert text.count(BEGIN) == text.count(END) == 1
        assert text.index(BEGIN) < text.index(END)
