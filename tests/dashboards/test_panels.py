"""Every panel: explains itself, is asked for in the right way, and looks the same everywhere."""

import json
import re
from typing import Any

import pytest
from committed import BOARDS, Panel, panels

PANELS = [pytest.param(panel, id=f"{panel.topic}-{panel.title}") for panel in panels()]
OVER_TIME = {"timeseries", "heatmap"}
AT_THE_END = {"stat", "gauge", "bargauge", "piechart", "table"}
MEANINGS = {
    "red": {"error", "critical", "down", "no", "critical threshold", "budget"},
    "orange": {"warning", "degraded", "miss", "warning threshold"},
    "green": {"ok", "success", "up", "yes", "target threshold"},
    "blue": {"cached", "hit", "cache_read"},
}


@pytest.mark.parametrize("panel", PANELS)
class TestPanel:
    """Each one."""

    def test_explains_itself(self, panel: Panel) -> None:
        """A title, a description in sentences, a unit, and why there may be no data."""
        assert panel.title
        assert panel.content["description"].endswith(".")
        assert panel.defaults["unit"]
        assert len(panel.defaults["noValue"]) > len("No data")

    def test_asks_the_selected_data_source(self, panel: Panel) -> None:
        """Panel and queries use the variable; each query has a letter of its own, and something to ask."""
        targets = panel.content["targets"]
        assert panel.content["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel.content["datasource"] for target in targets)
        assert all(target["expr"] for target in targets)
        assert targets
        assert len({target["refId"] for target in targets}) == len(targets)

    def test_asks_for_what_it_shows(self, panel: Panel) -> None:
        """Series over time where time is drawn, else one value; in the format that the kind of panel reads."""
        assert panel.content["type"] in OVER_TIME | AT_THE_END
        over_time = panel.content["type"] in OVER_TIME
        # More points than anybody sees would cost Prometheus points times series.
        assert (0 < panel.content.get("maxDataPoints", 0) <= 400) is over_time
        formats = {"table": {"table"}, "heatmap": {"heatmap"}, "bargauge": {"time_series", "heatmap"}}
        for target in panel.content["targets"]:
            assert target.get("range", False) is over_time
            assert target.get("instant", False) is not over_time
            assert target.get("format", "time_series") in formats.get(panel.content["type"], {"time_series"})

    def test_series_have_names(self, panel: Panel) -> None:
        """A legend is shown where there is one, and each query says what its series are called."""
        options = panel.content["options"]
        if panel.content["type"] in {"timeseries", "piechart"}:
            assert options["legend"]["showLegend"] is True
        if panel.content["type"] == "heatmap":
            assert options["legend"]["show"] is True
            assert options["yAxis"]["unit"] == panel.defaults["unit"]
        if panel.content["type"] != "table":
            assert all(target["legendFormat"] for target in panel.content["targets"])

    def test_colours_mean_the_same_everywhere(self, panel: Panel) -> None:
        """Red is failure, orange trouble to come, green success, blue the cache; whatever the panel."""
        for name, properties in panel.overrides.items():
            colour = properties.get("color", {}).get("fixedColor")
            for meant, names in MEANINGS.items():
                assert name not in names or colour == meant, name

    def test_money_has_enough_decimals(self, panel: Panel) -> None:
        """A call of $0.000045 does not read as $0.00: Grafana chooses as many as a value needs, or there are four."""
        for settings in (panel.defaults, *panel.overrides.values()):
            if settings.get("unit") == "currencyUSD":
                assert {**panel.defaults, **settings}.get("decimals", 4) >= 4

    def test_shares_are_no_percentages(self, panel: Panel) -> None:
        """Ratios are 0 to 1, and the unit says so."""
        assert "percent" not in {panel.defaults["unit"], *(o.get("unit") for o in panel.overrides.values())}

    def test_thresholds_are_dashed_lines(self, panel: Panel) -> None:
        """Whatever is called a threshold is drawn as one: dashed, not filled, not stacked on other series."""
        for target in panel.content["targets"]:
            if target["legendFormat"] == "{{severity}} threshold":
                for severity in ("target", "warning", "critical"):
                    properties = panel.overrides[f"{severity} threshold"]
                    assert properties["custom.lineStyle"]["fill"] == "dash"
                    assert properties["custom.fillOpacity"] == 0
                    assert properties["custom.stacking"]["mode"] == "none"

    def test_columns_that_are_styled_exist(self, panel: Panel) -> None:
        """Units, colours and links of a table's columns, and the column to sort by, name columns that there are."""
        if panel.content["type"] == "table":
            titles = set(panel.columns.values())
            assert set(panel.overrides) <= titles
            assert {entry["displayName"] for entry in panel.content["options"].get("sortBy", [])} <= titles
            letters = {target["refId"] for target in panel.content["targets"]}
            values = {f"Value #{letter}" for letter in letters} if len(letters) > 1 else {"Value"}
            assert {name for name in panel.columns if name.startswith("Value")} == values

    def test_links_lead_somewhere(self, panel: Panel) -> None:
        """Links of cells go to a dashboard that there is, keep the time range, and take values from columns."""
        for properties in panel.overrides.values():
            for link in properties.get("links", []):
                topic, _, query = link["url"].removeprefix("/d/genai-").partition("?")
                assert "${__url_time_range}" in query
                assert "${datasource:queryparam}" in query
                variables = {variable["name"] for variable in BOARDS[topic]["templating"]["list"]}
                assert set(re.findall(r"var-(\w+)=", query)) <= variables
                assert set(re.findall(r'__data\.fields\["([^"]+)"\]', query)) <= set(panel.columns.values())


def test_no_two_panels_of_a_dashboard_have_one_title() -> None:
    """Readers and tests call panels by their titles."""
    for topic, board in BOARDS.items():
        titles = [panel["title"] for panel in board["panels"] if panel["type"] != "row"]
        assert len(titles) == len(set(titles)), topic


REFRESH = {"performance": "30s", "cache": "30s", "cost": "1m", "health": "10s"}


@pytest.mark.parametrize(("topic", "board"), BOARDS.items(), ids=lambda value: value if isinstance(value, str) else "")
class TestBoard:
    """What surrounds the panels."""

    def test_variables(self, topic: str, board: dict[str, Any]) -> None:
        """Data source, service and mode; values of labels are looked up again, several or all at once."""
        variables = {variable["name"]: variable for variable in board["templating"]["list"]}
        assert list(variables)[:3] == ["datasource", "service", "mode"]
        assert variables["datasource"]["label"] == "Data source"
        for variable in list(variables.values())[1:]:
            if variable.get("hide"):
                continue
            assert variable["label"]
            assert variable["datasource"]["uid"] == "${datasource}"
            assert variable["multi"] is variable["includeAll"] is True
            assert variable["allValue"] == ".+"
            assert variable["current"]["value"] == "$__all"
            assert variable["refresh"] == 2  # when the time range changes

    def test_hidden_variables(self, topic: str, board: dict[str, Any]) -> None:
        """They follow the time range alone: neither readers nor addresses set them; at first the range is short."""
        hidden = {variable["name"]: variable for variable in board["templating"]["list"] if variable.get("hide")}
        assert {name: variable["current"]["value"] for name, variable in hidden.items()} == {
            "genai": "genai",
            "more": "0ms",
        }
        for variable in hidden.values():
            assert variable["hide"] == 2
            assert variable["refresh"] == 2
            assert variable["skipUrlSync"] is True
            assert variable["multi"] is variable["includeAll"] is False

    def test_links_to_the_others(self, topic: str, board: dict[str, Any]) -> None:
        """Three links in view, which keep time range and selections."""
        assert {link["url"] for link in board["links"]} == {f"/d/genai-{other}" for other in REFRESH if other != topic}
        assert all(link["keepTime"] and link["includeVars"] and link["type"] == "link" for link in board["links"])

    def test_alerts_are_drawn(self, topic: str, board: dict[str, Any]) -> None:
        """Alerts on the selected services, and those on none, but not the Watchdog, which always fires."""
        (annotation,) = board["annotations"]["list"]
        expression = annotation["target"]["expr"]
        assert expression.startswith("ALERTS{")
        for matcher in ('alertstate="firing"', 'alertname!="Watchdog"', 'service=~"$service|"', "category=~"):
            assert matcher in expression

    def test_refresh_and_tags(self, topic: str, board: dict[str, Any]) -> None:
        """As often as its readers need; found by its tags."""
        assert board["refresh"] == REFRESH[topic]
        assert board["tags"] == ["genai", topic]
        assert board["description"].endswith(".")

    def test_begins_with_the_answer(self, topic: str, board: dict[str, Any]) -> None:
        """Single numbers on top, at most under a heading; at 1280 pixels none is too narrow to read."""
        data = [panel for panel in board["panels"] if panel["type"] != "row"]
        assert {panel["type"] for panel in data if panel["gridPos"]["y"] == data[0]["gridPos"]["y"]} <= {
            "stat",
            "gauge",
            "bargauge",
        }
        assert data[0]["gridPos"]["y"] <= 1
        assert all(panel["gridPos"]["w"] >= 3 for panel in data)

    def test_says_nothing_of_other_schemas(self, topic: str, board: dict[str, Any]) -> None:
        """No key of the newer schema, which file provisioning rejects, anywhere."""
        assert not re.search(r'"(apiVersion|elements|vizConfig|dashboard\.grafana\.app[^"]*)"', json.dumps(board))


def test_latency_shows_exemplars() -> None:
    """From a slow request there is a way to its trace."""
    with_exemplars = {
        panel.title for panel in panels() for target in panel.content["targets"] if target.get("exemplar")
    }
    assert {"Response time", "Duration of workflows", "Response time, cached and not"} <= with_exemplars
