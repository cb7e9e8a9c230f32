"""Thresholds: the list in Python, the file that users edit, and the rules generated between them."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from check_runs import check

from genai_metrics.catalog.thresholds import SEVERITIES
from genai_rules import __main__ as generator
from genai_rules import effective
from genai_rules.thresholds import LEVELS
from genai_stack import REPOSITORY, binaries

THRESHOLDS = REPOSITORY / "prometheus" / "rules" / "thresholds.yml"
PREFIX = "genai:threshold:"


def set_thresholds() -> list[tuple[str, str]]:
    """Name without prefix, and severity, of each threshold that is shipped."""
    groups = yaml.safe_load(THRESHOLDS.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"] if rule["record"].startswith(PREFIX)]
    return [(rule["record"].removeprefix(PREFIX), rule["labels"]["severity"]) for rule in rules]


def test_every_threshold_that_is_set_is_resolved() -> None:
    """The file and the list name the same thresholds, so no number in the file is without effect."""
    listed = {name for level in LEVELS for name in level.thresholds}
    assert {name for name, _ in set_thresholds()} == listed


def test_thresholds_are_set_once() -> None:
    """No threshold is set twice for the same severity, and all severities are known ones."""
    found = set_thresholds()
    assert len(found) == len(set(found))
    assert {severity for _, severity in found} <= set(SEVERITIES)


def test_generated_rules_are_current() -> None:
    """The committed file is what the generator writes."""
    assert (generator.RULES / "effective.yml").read_text() == effective.text()


def test_check_names_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``--check`` fails on a file that differs, and says how to renew it."""
    stale = tmp_path / "effective.yml"
    stale.write_text("groups: []\n")
    monkeypatch.setattr(generator, "RULES", tmp_path)
    monkeypatch.setattr("sys.argv", ["genai_rules", "--check"])
    assert generator.main() == 1
    assert "make generate" in capsys.readouterr().err
    assert stale.read_text() == "groups: []\n"


def test_the_most_specific_threshold_wins() -> None:
    """promtool's unit tests of the thresholds in force pass."""
    tests = Path(__file__).with_name("thresholds_test.yml")
    done = subprocess.run(
        [binaries.require("promtool"), "test", "rules", tests], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_budgets_of_tenants_can_be_uncommented(tmp_path: Path) -> None:
    """The examples count as they stand, once the two characters before each are gone."""
    edited, taken = re.subn(r"^( +)# (- \{ record: )", r"\1\2", THRESHOLDS.read_text(), flags=re.MULTILINE)
    file = tmp_path / "prometheus" / "rules" / "thresholds.yml"
    file.parent.mkdir(parents=True)
    file.write_text(edited)
    rules = [rule for group in yaml.safe_load(edited)["groups"] for rule in group["rules"]]
    budgets = [rule["labels"] for rule in rules if rule["record"] == "genai:budget:daily_usd"]
    assert budgets == [{"tenant": "acme"}, {"tenant": "acme", "service": "search"}]
    assert taken == len(budgets)
    done = check(file, cwd=tmp_path, path=str(binaries.require("promtool").parent))
    assert (done.code, done.problems) == (0, [])
