"""Overrides that find series by a pattern: each finds what it is for."""

import re
from typing import Any

import pytest
from committed import panels
from prometheus_client.utils import floatToGoString

from genai_metrics.catalog import AGE_SECONDS

BY_PATTERN = [
    pytest.param(panel.content, override, id=f"{panel.topic}-{panel.title}-{override['matcher']['options']}")
    for panel in panels()
    for override in panel.content["fieldConfig"]["overrides"]
    if override["matcher"]["id"] == "byRegexp"
]


def pattern(override: dict[str, Any]) -> re.Pattern[str]:
    """The regular expression between the slashes."""
    return re.compile(override["matcher"]["options"].removeprefix("/").removesuffix("/"))


@pytest.mark.parametrize(("panel", "override"), BY_PATTERN)
def test_patterns_find_a_series(panel: dict[str, Any], override: dict[str, Any]) -> None:
    """By its legend or, of a histogram, by the bound of a bucket; a single one, so that no other is drawn like it."""
    bounds = ["+Inf", *(floatToGoString(bound) for bound in AGE_SECONDS)]
    legends = [name for target in panel["targets"] for name in names(target["legendFormat"], bounds)]
    assert len([name for name in legends if pattern(override).search(name)]) == 1


def names(legend: str, bounds: list[str]) -> list[str]:
    """Names of the series of a query, labels standing for themselves."""
    return bounds if legend == "{{le}}" else [legend]


def test_every_bucket_of_ages_has_a_name() -> None:
    """No bar is called 2.592e+06; the last is for what is older than the last bound."""
    (ages,) = [panel.content for panel in panels() if panel.title == "Age of entries when hit"]
    called = {}
    for override in ages["fieldConfig"]["overrides"]:
        if override["matcher"]["id"] == "byRegexp":
            for bound in [*map(floatToGoString, AGE_SECONDS), "+Inf"]:
                if pattern(override).search(bound):
                    called[bound] = override["properties"][0]["value"]
    assert list(called.values()) == [
        *("up to 1 s", "up to 10 s", "up to 1 min", "up to 5 min", "up to 15 min", "up to 1 h", "up to 3 h"),
        *("up to 12 h", "up to 1 d", "up to 3 d", "up to 7 d", "up to 30 d", "older"),
    ]
