"""The rules of prometheus/rules, read once: which there are, what each reads, which ones an alert needs."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from genai_stack import REPOSITORY

FILES = sorted((REPOSITORY / "prometheus" / "rules").glob("*.yml"))


@dataclass(frozen=True)
class Rule:
    """One rule: ``name`` is that of the alert or of the recorded series, ``content`` what the file says."""

    file: Path
    group: str
    name: str
    content: dict[str, Any]

    @property
    def is_alert(self) -> bool:
        """Whether it alerts; otherwise it records."""
        return "alert" in self.content

    @property
    def reads(self) -> frozenset[str]:
        """Series that the expression selects, and those that annotations look up."""
        annotations = " ".join(self.content.get("annotations", {}).values())
        looked_up = re.findall(r"[a-z_]+:[a-z0-9_]+(?::[a-z0-9_]+)?", annotations)
        return selected(self.content["expr"]).union(looked_up)


def selected(expression: object) -> frozenset[str]:
    """Names of the series that an expression selects; one that is selected by matchers alone has none."""
    found: set[str] = set()

    def visit(node: promql_parser.Expr) -> None:
        # The parser shows neither range nor offset of a selector as a node of its own.
        selector = node.vector_selector if isinstance(node, promql_parser.MatrixSelector) else node
        if isinstance(selector, promql_parser.VectorSelector) and selector.name:
            found.add(selector.name)

    promql_parser.walk(promql_parser.parse(str(expression)), visit)
    return frozenset(found)


def _read() -> Iterator[Rule]:
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            for content in group["rules"]:
                yield Rule(file, group["name"], content.get("alert") or content["record"], content)


RULES = tuple(_read())
"""All of them, in the order of the files."""

ALERTS = {rule.name: rule for rule in RULES if rule.is_alert}
"""By name."""


def needed(alert: str, rules: Iterable[Rule] = RULES) -> list[Rule]:
    """Return the alert's rule and every recording rule that it reads, directly or not, in the order of the files."""
    recorded: dict[str, list[Rule]] = {}
    for rule in rules:
        if not rule.is_alert:
            recorded.setdefault(rule.name, []).append(rule)
    wanted, names = [ALERTS[alert]], {alert}
    for rule in wanted:  # grows meanwhile
        for name in sorted(rule.reads - names):
            names.add(name)
            wanted += recorded.get(name, [])
    return [rule for rule in RULES if rule in wanted]


def rule_file(rules: Iterable[Rule]) -> tuple[dict[str, Any], list[str]]:
    """Return the content of a file with these rules in their groups, and the groups in the order of evaluation."""
    groups: dict[str, list[Rule]] = {}
    for rule in rules:
        groups.setdefault(rule.group, []).append(rule)
    recorded_in = {rule.name: rule.group for group in groups.values() for rule in group if not rule.is_alert}
    before = {
        name: {recorded_in[read] for rule in group for read in rule.reads if read in recorded_in} - {name}
        for name, group in groups.items()
    }
    content = {"groups": [{"name": name, "rules": [rule.content for rule in group]} for name, group in groups.items()]}
    return content, list(TopologicalSorter(before).static_order())
