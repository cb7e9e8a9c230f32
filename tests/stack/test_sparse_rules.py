"""The copies that panels read over long time ranges: how each is called, and what it is of."""

import re

import pytest
import yaml
from known_series import known_series
from rule_files import RULES, Rule, selected

from genai_stack import REPOSITORY

FILE = REPOSITORY / "prometheus" / "rules" / "recording_sparse.yml"
SPARSE = [rule for rule in RULES if rule.file == FILE]


@pytest.mark.parametrize("rule", SPARSE, ids=lambda rule: rule.name)
def test_a_copy_is_called_like_what_it_is_of(rule: Rule) -> None:
    """With genai20m for genai, which is what dashboards put in the name's place; job and instance are never lost."""
    (source,) = selected(rule.content["expr"])
    assert rule.name == source.replace("genai_", "genai20m_", 1)
    pattern = r"(?:sum without \([a-z, ]+\) \()?min_over_time\([\w:]+\[20m\]\)\)?"
    assert re.fullmatch(pattern, rule.content["expr"])
    there = known_series()[source]
    # Series of applications alone never vanish or fall within one exporter: devices and GPUs do.
    needed = {"job", "instance", "service", "mode", "le"} & there if "service" in there else there
    assert needed <= known_series()[rule.name] <= there


def test_windows_leave_no_gap() -> None:
    """Each sample is in the window of one evaluation: in one that nothing looks at, a series might leave 0."""
    groups = yaml.safe_load(FILE.read_text())["groups"]
    assert {group["interval"] for group in groups} == {"20m"}


def test_nothing_else_has_such_a_name() -> None:
    """Dashboards may rely on it."""
    assert [rule.name for rule in RULES if "genai20m" in rule.name and rule.file != FILE] == []
