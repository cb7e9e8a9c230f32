"""Settings of property tests; and tables, printed at the end of a run, also of one divided among processes.

A test adds a row by ``record_property("row", (title, {column: text}))``.
"""

from typing import Any

import pytest
from hypothesis import settings

# No deadline: these machines are shared and noisy. In CI, which hypothesis sees by itself, the examples are the same
# each time, everywhere else they are new.
settings.register_profile("tests", settings.default, deadline=None)
settings.load_profile("tests")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print them in the order of the tests' names; the failed ones' rows as well."""
    reports: list[pytest.TestReport] = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    tables: dict[str, list[dict[str, str]]] = {}
    for report in sorted(reports, key=lambda report: report.nodeid):
        for name, value in report.user_properties:
            if name == "row":
                title, row = value  # type: ignore[misc]
                tables.setdefault(title, []).append(row)
    for title, rows in tables.items():
        terminalreporter.section(title)
        for line in lines(rows):
            terminalreporter.line(line)


def lines(rows: list[dict[str, str]]) -> list[str]:
    """Return rows under the names of their columns, each column as wide as its widest text."""
    names = list(rows[0])
    table = [names, *([row[name] for name in names] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(names))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
