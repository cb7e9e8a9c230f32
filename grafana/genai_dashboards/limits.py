"""How limits show that are no thresholds of ``judgement``: budgets as dashed lines, colours from fixed steps."""

from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, dashboard, stat, timeseries
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import style

_Kind = TypeVar("_Kind", stat.Panel, bargauge.Panel)


def dashed(panel: timeseries.Panel, ending: str, colour: str) -> timeseries.Panel:
    """The panel with the series whose names end so as dashed lines, neither filled nor stacked."""
    properties = {
        "custom.lineStyle": {"fill": "dash", "dash": [8, 8]},
        "custom.fillOpacity": 0,
        "custom.stacking": {"mode": "none", "group": "T"},
    }
    return panel.override_by_regexp(
        f"/{ending}$/",
        [
            style.fixed_colour(colour),
            *(models.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()),
        ],
    )


def stepped(panel: _Kind, lowest: str, **steps: float) -> _Kind:
    """The panel coloured by its values: ``lowest``, and from each step on the colour that is its keyword."""
    levels = [models.Threshold(color=lowest), *(models.Threshold(value=at, color=name) for name, at in steps.items())]
    return panel.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)).thresholds(
        dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(levels)
    )
