"""How panels look: defaults, colours with one meaning everywhere, variables; no queries."""

from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as models

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The data source that the variable selects; every panel uses it."""

HALF, QUARTER = 12, 6
"""Widths in columns of the 24-column grid."""

COLOURS: Final = {"success": "green", "error": "red", "cached": "blue"}
"""Colour of each outcome of a call."""

REQUESTS_PER_SECOND: Final = units.RequestsPerSecond
SECONDS: Final = units.Seconds
SHARE: Final = units.PercentUnit
DOLLARS: Final = units.Dollars
COUNT: Final = units.Short
TOKENS_PER_SECOND: Final = "suffix: tokens/s"

NO_CALLS: Final = "no LLM calls in this time range"


def graph(title: str, description: str, unit: str) -> timeseries.Panel:
    """A time series panel, half the width, with a legend table of mean, maximum and last value."""
    legend = (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["mean", "max", "lastNotNull"])
    )
    tooltip = (
        common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(HALF)
        .height(8)
        .min(0)
        .fill_opacity(10)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .no_value(NO_CALLS)
        .legend(legend)
        .tooltip(tooltip)
    )


def number(title: str, description: str, unit: str) -> stat.Panel:
    """A single number over the dashboard's time range, a quarter of the width."""
    reduce = common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(QUARTER)
        .height(4)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color("text"))
        .no_value(NO_CALLS)
        .reduce_options(reduce)
    )


def over_time(expression: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """A query over the time range, one point a step."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).range()


def at_the_end(expression: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """A query for one value at the end of the time range."""
    return prometheus.Dataquery().ref_id(ref).expr(expression).legend_format(legend).instant()


def coloured(panel: timeseries.Panel, series: str, colour: str) -> timeseries.Panel:
    """The panel with a fixed colour for the series of that name."""
    value = {"mode": "fixed", "fixedColor": colour}
    return panel.override_by_name(series, [models.DynamicConfigValue(id_val="color", value=value)])


def datasource_variable() -> dashboard.DatasourceVariable:
    """Variable that selects the Prometheus data source."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def label_variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """Variable over the values of a label: several at once, all of them at first."""
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(everything)
    )
