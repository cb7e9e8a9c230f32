"""The hidden variables: which series panels read over which time range, asked of the real engine."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from committed import BOARDS, SPARSE

from genai_dashboards.queries import SUBJECTS
from genai_stack import binaries

DAYS = 20
COPIES = SUBJECTS.replace("genai_", "genai20m_")
LABELS = ('{service="chat", mode="1"}', '{service="search", mode="2"}')
FINE = {"genai": "genai", "more": "0ms"}
QUERIES = {
    variable["name"]: (variable["query"], variable["regex"])
    for board in BOARDS.values()
    for variable in board["templating"]["list"]
    if variable.get("hide")
}


def series(name: str, first_hour: float) -> dict[str, str]:
    """Series of two services from an hour on, five minutes apart, to the end of the 20 days."""
    missing = round(first_hour * 12)
    values = f"{f'_x{missing} ' if missing else ''}0x{DAYS * 288 - missing}"
    return {name + labels: values for labels in LABELS}


def chosen(there: Mapping[str, str], range_seconds: int, folder: Path) -> dict[str, str]:
    """Values of the hidden variables over a time range that ends after 20 days."""
    checks = []
    for name, (query, _) in QUERIES.items():
        expression = query.removeprefix("query_result(").removesuffix(")")
        expression = expression.replace("$__range_s", str(range_seconds)).replace("$__range", f"{range_seconds}s")
        wanted = [{"labels": f'{{{name}="wanted"}}', "value": 1}]
        checks.append({"expr": expression, "eval_time": f"{DAYS}d", "exp_samples": wanted})
    test = {
        "interval": "5m",
        "input_series": [{"series": name, "values": values} for name, values in there.items()],
        "promql_expr_test": checks,
    }
    suite = folder / "variables.yml"
    suite.write_text(yaml.safe_dump({"evaluation_interval": "5m", "tests": [test]}, width=100_000))
    command = [binaries.require("promtool"), "test", "rules", suite]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    # Nothing is called "wanted": promtool tells what it got.
    got = re.findall(r"got: *\[?(.*)", said.stdout + said.stderr)
    assert len(got) == len(QUERIES), said.stdout + said.stderr
    found = {}
    for name, (_, regex) in QUERIES.items():
        (found[name],) = (value for line in got for value in re.findall(regex.strip("/"), line))
    return found


HOUR, DAY = 3600, 86_400


@pytest.mark.parametrize(
    ("fine", "copies", "seconds", "expected"),
    [
        pytest.param(0, 0, HOUR, FINE, id="short"),
        pytest.param(0, 0, 3 * DAY - 1, FINE, id="almost-three-days"),
        pytest.param(0, 0, 3 * DAY, SPARSE, id="three-days"),
        pytest.param(0, 0, 7 * DAY, SPARSE, id="week"),
        pytest.param(0, 0, 30 * DAY, SPARSE, id="longer-than-anything-is-known"),
        pytest.param(480 - 73, 480 - 73, 7 * DAY, SPARSE, id="known-for-three-days"),
        pytest.param(480 - 71, 480 - 71, 7 * DAY, FINE, id="known-for-less"),
        pytest.param(479.9, 479.9, 7 * DAY, FINE, id="no-copies-yet"),
        pytest.param(0, 19 * 24, 7 * DAY, FINE, id="copies-since-yesterday"),
        pytest.param(0, 12 * 24, 7 * DAY, SPARSE, id="copies-since-before-the-range"),
    ],
)
def test_copies_are_read_where_they_tell_as_much(
    fine: float, copies: float, seconds: int, expected: dict[str, str], tmp_path: Path
) -> None:
    """From three days on, if there are copies as old, and of the beginning, unless nothing is known of it at all."""
    there = series(SUBJECTS, fine) | series(COPIES, copies)
    assert chosen(there, seconds, tmp_path) == expected


def test_without_any_data_names_are_whole(tmp_path: Path) -> None:
    """A Prometheus that has recorded nothing yet gives each variable one value, too."""
    assert chosen({}, 7 * DAY, tmp_path) == FINE


def test_all_dashboards_choose_alike() -> None:
    """Both variables are on each of them, and ask the same."""
    for board in BOARDS.values():
        hidden = {
            each["name"]: (each["query"], each["regex"]) for each in board["templating"]["list"] if "hide" in each
        }
        assert {name: hidden[name] for name in QUERIES} == QUERIES
