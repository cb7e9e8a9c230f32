"""Tables: one query a column, a row for each combination of the labels that all of them have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard, table
from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import style, targets


@dataclass(frozen=True)
class Column:
    """A column of values: ``expression`` has the labels of the table's ``rows`` and no others.

    ``mappings`` replace numbers by coloured texts; ``is_bar`` draws shares of 0 to 1 as bars in the cells.
    """

    title: str
    expression: str
    unit: str
    decimals: int | None = None
    mappings: tuple[models.ValueMapping, ...] = ()
    is_bar: bool = False


@dataclass(frozen=True)
class Rows:
    """What the rows are: the title of the column of each label; by title the links and the colours of cells.

    ``colours`` gives a colour for each value of the label.
    """

    titles: Mapping[str, str]
    links: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    colours: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def table_of(
    title: str, description: str, rows: Rows, *columns: Column, sort: str = "", no_value: str = style.NO_REQUESTS
) -> table.Panel:
    """A table of the time range; ``sort`` names the column with the largest values on top."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(style.DATASOURCE)
        .unit(style.COUNT)
        .show_header(True)
        .filterable(False)
        .no_value(no_value)
    )
    letters = [chr(ord("A") + number) for number in range(len(columns))]
    for letter, column in zip(letters, columns, strict=True):
        panel.with_target(targets.rows(column.expression, letter))
        panel.override_by_name(column.title, _properties(column))
    for column_title, link in rows.links.items():
        panel.override_by_name(column_title, [models.DynamicConfigValue(id_val="links", value=[dict(link)])])
    for column_title, colours in rows.colours.items():
        mapping = models.ValueMap(options={value: models.ValueMappingResult(color=colours[value]) for value in colours})
        properties = {"mappings": [mapping], "custom.cellOptions": {"type": "color-text"}}
        panel.override_by_name(
            column_title, [models.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
        )
    # One query alone has no letter in its column's name.
    values = {
        f"Value #{letter}" if len(columns) > 1 else "Value": column.title
        for letter, column in zip(letters, columns, strict=True)
    }
    names = {**rows.titles, **values}
    if len(columns) > 1:
        panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    organised = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(names)},
        "renameByName": names,
    }
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options=organised))
    if sort:
        panel.sort_by([common_builders.TableSortByFieldState().display_name(sort).desc(True)])
    return panel


def _properties(column: Column) -> list[models.DynamicConfigValue]:
    """What makes the column show its values in its unit."""
    values: dict[str, object] = {"unit": column.unit}
    if column.decimals is not None:
        values["decimals"] = column.decimals
    if column.mappings:
        values["mappings"] = list(column.mappings)
        values["custom.cellOptions"] = {"type": "color-background", "mode": "basic"}
    if column.is_bar:
        values |= {
            "min": 0,
            "max": 1,
            "custom.cellOptions": {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"},
        }
        values["color"] = {"mode": "fixed", "fixedColor": style.CACHED}
    return [models.DynamicConfigValue(id_val=name, value=value) for name, value in values.items()]


def interval(first: float, last: float, text: str, colour: str) -> models.RangeMap:
    """Mapping of the numbers from ``first`` to ``last``, both included, to a coloured text."""
    result = models.ValueMappingResult(text=text, color=colour)
    return models.RangeMap(options=dashboard.DashboardRangeMapOptions().from_val(first).to(last).result(result).build())


STATE = (
    interval(0, 0, "good", style.GOOD),
    interval(1, 1, "off target", style.DEGRADED),
    interval(2, 3, "warning", style.DEGRADED),
    interval(4, 7, "critical", style.BAD),
)
"""Texts of ``judgement.state``."""
