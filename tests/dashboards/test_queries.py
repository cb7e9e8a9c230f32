"""Every query of every dashboard, held against what exposes and records its series."""

import re
from collections import Counter
from typing import Any

import promql_parser as promql
import pytest
from committed import BOARDS, SPARSE, Panel, filled, panels
from known_series import FOREIGN, known_series
from rule_labels import WrongLabelsError, result_labels

from genai_metrics import catalog

QUERIES = [
    pytest.param(panel, target, id=f"{panel.topic}-{panel.title}-{target['refId']}")
    for panel in panels()
    for target in panel.content["targets"]
]
VARIABLES = [
    pytest.param(variable["query"], id=f"{topic}-{variable['name']}")
    for topic, board in BOARDS.items()
    for variable in board["templating"]["list"]
    if variable["type"] == "query" and not variable["query"].startswith("query_result(")
]
# Prometheus makes the last two from alerts; these are the labels that ours have.
_OF_ALERTS = {"alertname", "severity", "category", "service", "mode", "instance", "of"}
KNOWN = {
    **known_series(),
    "ALERTS": frozenset(_OF_ALERTS | {"alertstate"}),
    "ALERTS_FOR_STATE": frozenset(_OF_ALERTS),
}
WITH_EXEMPLARS = {f"{kind.metrics[0].name}_bucket" for kind in catalog.EXEMPLAR_KINDS}


def matchers(node: promql.VectorSelector) -> dict[str, str]:
    """Values of a selector's matchers by label."""
    return {matcher.name: matcher.value for matcher in node.matchers.matchers}


def selectors(expression: str, kind: type = promql.VectorSelector) -> list[promql.VectorSelector]:
    """Selectors of an expression: all, or with ``MatrixSelector`` those that have a range."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, kind):
            found.append(getattr(node, "vector_selector", node))

    promql.walk(promql.parse(expression), visit)
    return found


def without_range(expression: str) -> Counter[str]:
    """Names of series whose value is taken as it is, with how often."""
    names = Counter(selector.name for selector in selectors(expression))
    return names - Counter(selector.name for selector in selectors(expression, promql.MatrixSelector))


def named_by(legend: str) -> set[str]:
    """Labels that a legend shows."""
    return set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend))


def is_counter(series: str) -> bool:
    """Whether it counts up, so that its value means something only as a rate or increase."""
    name, level = series.removesuffix(":sum"), ":" in series
    return (not level or series.endswith(":sum")) and name.endswith(("_total", "_bucket", "_count", "_sum"))


@pytest.mark.parametrize(("panel", "target"), QUERIES)
class TestQuery:
    """Each query of a panel."""

    def test_names_and_labels_exist(self, panel: Panel, target: dict[str, Any]) -> None:
        """Series, matched, grouped and joined labels exist, and so do those that name the result's series."""
        labels = result_labels(filled(target["expr"]), KNOWN) or frozenset()
        assert named_by(target["legendFormat"]) <= labels

    def test_names_tell_the_series_apart(self, panel: Panel, target: dict[str, Any]) -> None:
        """Each label of the result shows in the legend or, of a table, as a column, so that none of two are alike."""
        labels = result_labels(filled(target["expr"]), KNOWN) or frozenset()
        if panel.content["type"] == "table":
            assert labels <= set(panel.columns), labels
        elif "name" not in labels:  # a GPU's index tells as much as its uuid, and more to people
            assert labels - named_by(target["legendFormat"]) == set()

    def test_selectors_follow_the_variables(self, panel: Panel, target: dict[str, Any]) -> None:
        """Every series of ours that has the labels service and mode is selected by the variables."""
        kept = {"service": "$service", "mode": "$mode"}
        for selector in selectors(filled(target["expr"], **kept)):
            there, given = KNOWN[selector.name], matchers(selector)
            if selector.name in FOREIGN:
                continue
            if "service" in there:
                assert given.get("service") in {"$service", "$service|"}, selector.name
            if {"service", "mode"} <= there and not selector.name.startswith("ALERTS"):
                assert given.get("mode") == "$mode", selector.name
            assert not {"job", "instance", "monitor"} & set(given)

    def test_windows_fit_scrapes_and_time_range(self, panel: Panel, target: dict[str, Any]) -> None:
        """Rates over $__rate_interval, totals over $__range; a fixed window would miss scrapes or skip data."""
        windows = re.findall(r"(\S+)\[([^\]]+)\]", re.sub(r"{[^}]*service=[^}]*}", "", target["expr"]))
        assert {window for _, window in windows} <= {"$__rate_interval", "$__rate_interval${more}", "$__range"}
        for series, window in windows:
            # Whatever may be sparse needs a longer window then, and nothing else does.
            assert ("${genai}" in series) == ("${more}" in window) or window == "$__range", series

    def test_sparse_copies_exist(self, panel: Panel, target: dict[str, Any]) -> None:
        """Over long time ranges a query reads other series, which have the labels that it asks for."""
        labels = result_labels(filled(target["expr"], **SPARSE), KNOWN)
        assert labels == result_labels(filled(target["expr"]), KNOWN)

    def test_counters_are_never_shown_as_they_are(self, panel: Panel, target: dict[str, Any]) -> None:
        """Their value since some start says nothing, and falls when what counts starts again."""
        assert [name for name in without_range(filled(target["expr"])) if is_counter(name)] == []

    def test_exemplars_are_those_of_a_histogram_that_has_some(self, panel: Panel, target: dict[str, Any]) -> None:
        """Recorded series have none."""
        if target.get("exemplar"):
            assert {selector.name for selector in selectors(filled(target["expr"]))} & WITH_EXEMPLARS


@pytest.mark.parametrize("query", VARIABLES)
def test_variables_ask_for_labels_that_exist(query: str) -> None:
    """What a variable offers comes from a series that has the label."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
    assert found
    assert found[2] in (result_labels(filled(found[1]), KNOWN) or ())


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_annotations_ask_for_what_exists(board: dict[str, Any]) -> None:
    """The expression is sound, and texts and tags name labels that alerts have."""
    for annotation in board["annotations"]["list"]:
        labels = result_labels(filled(annotation["target"]["expr"]), KNOWN) or frozenset()
        assert named_by(annotation["titleFormat"] + annotation["textFormat"]) <= labels
        assert set(annotation["tagKeys"].split(",")) <= labels


class TestChecks:
    """The checks see what they are for."""

    def test_counters(self) -> None:
        """Sums of counters are counters; recorded rates and ratios are none."""
        assert is_counter("genai_llm_calls_total")
        assert is_counter("instance_service_mode:genai_llm_input_tokens_total:sum")
        assert not is_counter("service_mode:genai_llm_calls:rate5m")
        assert not is_counter("genai_cache_entries")

    def test_selectors(self) -> None:
        """With and without a range, within functions."""
        expression = "sum(rate(a_total[5m])) / (b > 0)"
        assert [selector.name for selector in selectors(expression)] == ["a_total", "b"]
        assert without_range(expression) == {"b": 1}

    def test_wrong_names(self) -> None:
        """A misspelt series is found."""
        with pytest.raises(WrongLabelsError):
            result_labels("sum(rate(genai_llm_call_total[5m]))", KNOWN)
