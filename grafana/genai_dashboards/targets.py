"""How a query is asked: over time, at the end of the time range, as a table, as the cells of a heatmap."""

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from genai_dashboards.style import DATASOURCE


def over_time(expression: str, legend: str, ref: str = "A", *, exemplars: bool = False) -> prometheus.Dataquery:
    """A query over the time range, one point a step; ``exemplars`` shows traces of single requests as dots."""
    query = _query(expression, ref).legend_format(legend).range()
    return query.exemplar(True) if exemplars else query


def at_the_end(expression: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """A query for one value a series, at the end of the time range."""
    return _query(expression, ref).legend_format(legend).instant()


def rows(expression: str, ref: str) -> prometheus.Dataquery:
    """A query for a table at the end of the time range: a column for each label and one for the value."""
    return _query(expression, ref).legend_format("").instant().format(PromQueryFormat.TABLE)


def cells(expression: str, ref: str = "A") -> prometheus.Dataquery:
    """A query for a heatmap: the buckets of a histogram, which Grafana takes apart."""
    return _query(expression, ref).legend_format("{{le}}").range().format(PromQueryFormat.HEATMAP)


def buckets_at_the_end(expression: str, ref: str = "A") -> prometheus.Dataquery:
    """A query for one bar a bucket of a histogram, at the end of the time range."""
    return _query(expression, ref).legend_format("{{le}}").instant().format(PromQueryFormat.HEATMAP)


def _query(expression: str, ref: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).datasource(DATASOURCE).expr(expression)
