"""Kinds of panels with their defaults: graph, number, dial, bars, pie, heatmap. Tables are in ``tables``.

Each takes title, description, unit and what to say when there is no data; where a panel stands, ``layout`` decides.
"""

from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, gauge, heatmap, piechart, stat, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders.dashboard import FieldColor
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import heatmap as heatmap_models
from grafana_foundation_sdk.models import piechart as piechart_models

from genai_dashboards import style

_Kind = TypeVar("_Kind", timeseries.Panel, stat.Panel, gauge.Panel, bargauge.Panel, piechart.Panel)


def coloured(panel: _Kind, colours: dict[str, str]) -> _Kind:
    """The panel with a fixed colour for the series of each name."""
    for name, colour in colours.items():
        panel.override_by_name(name, [style.fixed_colour(colour)])
    return panel


def graph(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> timeseries.Panel:
    """Lines over time from 0 up, with a legend table of mean, maximum and last value; thresholds as dashed lines."""
    legend = (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["mean", "max", "lastNotNull"])
    )
    panel = (
        timeseries.Panel()
        .title(title)
        .max_data_points(style.MOST_POINTS)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(unit)
        .min(0)
        .fill_opacity(10)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .no_value(no_value)
        .legend(legend)
        .tooltip(_tooltip())
    )
    coloured(panel, style.COLOURS)
    dashed = {"fill": "dash", "dash": [8, 8]}
    for name, colour in style.THRESHOLDS.items():
        panel.override_by_name(
            name,
            [
                style.fixed_colour(colour),
                models.DynamicConfigValue(id_val="custom.lineStyle", value=dashed),
                models.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
                models.DynamicConfigValue(id_val="custom.stacking", value={"mode": "none", "group": "T"}),
            ],
        )
    return panel


def stacked(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> timeseries.Panel:
    """Areas over time, one on top of the other, so that the upper edge is the total."""
    return (
        graph(title, description, unit, no_value)
        .fill_opacity(40)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    )


def number(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> stat.Panel:
    """A single number; coloured by state if the query is one of ``judgement.judged``, else plain."""
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(unit)
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE)
        .color_scheme(_plain())
        .no_value(no_value)
        .reduce_options(_last())
    )
    return coloured(panel, style.STATES)


def numbers(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> stat.Panel:
    """Several numbers side by side, each under its name."""
    panel = number(title, description, unit, no_value).text_mode(common.BigValueTextMode.VALUE_AND_NAME)
    return coloured(panel, style.COLOURS)


def dial(title: str, description: str, no_value: str = style.NO_REQUESTS) -> gauge.Panel:
    """A share from 0 to 1 on an arc; coloured by state if the query is one of ``judgement.judged``."""
    panel = (
        gauge.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(style.SHARE)
        .min(0)
        .max(1)
        .decimals(1)
        .show_threshold_labels(False)
        .show_threshold_markers(False)
        .color_scheme(FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(style.CACHED))
        .no_value(no_value)
        .reduce_options(_last())
    )
    return coloured(panel, style.STATES)


def bars(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> bargauge.Panel:
    """A horizontal bar a series, for values at the end of the time range."""
    panel = (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(unit)
        .min(0)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .value_mode(common.BarGaugeValueMode.TEXT)
        .color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .no_value(no_value)
        .reduce_options(_last())
    )
    return coloured(panel, style.COLOURS)


def pie(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> piechart.Panel:
    """Shares of a total at the end of the time range; the legend tells values and percentages."""
    legend = (
        _pie_legend()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.RIGHT)
    )
    panel = (
        piechart.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(unit)
        .pie_type(piechart_models.PieChartType.DONUT)
        .display_labels([piechart_models.PieChartLabels.PERCENT])
        .color_scheme(FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))
        .legend(legend)
        .tooltip(_tooltip())
        .no_value(no_value)
        .reduce_options(_last())
    )
    return coloured(panel, style.COLOURS)


def _pie_legend() -> piechart.PieChartLegendOptions:
    """Legend of a pie, with the value and the percentage of each slice."""
    values = [piechart_models.PieChartLegendValues.VALUE, piechart_models.PieChartLegendValues.PERCENT]
    return piechart.PieChartLegendOptions().values(values)


def heat(title: str, description: str, unit: str, no_value: str = style.NO_REQUESTS) -> heatmap.Panel:
    """A histogram over time: a column of buckets a step, the darker the more; ``unit`` is that of the buckets."""
    colour = (
        heatmap.HeatmapColorOptions()
        .mode(heatmap_models.HeatmapColorMode.SCHEME)
        .scheme("Blues")
        .scale(heatmap_models.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
    )
    return (
        heatmap.Panel()
        .title(title)
        .max_data_points(style.MOST_POINTS)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(unit)
        .calculate(False)
        .color(colour)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .cell_values(heatmap.CellValues().unit(style.PER_SECOND))
        # Empty buckets stay empty instead of lightly coloured.
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .tooltip(heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).y_histogram(True))
        .show_legend()
        .no_value(no_value)
    )


def _last() -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _plain() -> FieldColor:
    return FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(style.NEUTRAL)


def _tooltip() -> common_builders.VizTooltipOptions:
    return common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
