"""What the OpenTelemetry SDK collected, made fit for a Prometheus endpoint: one stream a name, one point a label set.

The exporter for Prometheus takes each metric as it comes. An exponential histogram makes it raise, which breaks the
whole scrape; metrics of one name from two libraries become two families or, where their labels differ, samples under
the wrong labels. Imports opentelemetry-sdk.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from opentelemetry.sdk.metrics.export import (
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

Refuse = Callable[[str, str], None]
"""Called with the name of a metric of which something cannot be shown, and why."""

Point = NumberDataPoint | HistogramDataPoint
Shown = Sum | Gauge | Histogram

_MERGED = InstrumentationScope("genai_metrics")


def presentable(data: MetricsData, refuse: Refuse) -> MetricsData:
    """Return what can be shown; ``refuse`` is told of the rest.

    Streams of one name from several scopes become one, and what they say under equal labels is added up. Of several
    views of one instrument the first that can be shown counts. Labels are text that Prometheus accepts.
    """
    return MetricsData(
        [
            ResourceMetrics(each.resource, [ScopeMetrics(_MERGED, list(_merged(each, refuse)), "")], each.schema_url)
            for each in data.resource_metrics
        ]
    )


def text(value: object) -> str:
    """Return ``value`` as text that can be encoded: lone surrogates become question marks, what is no text JSON."""
    said = value if isinstance(value, str) else json.dumps(value, default=str)
    return said if said.isprintable() else said.encode(errors="replace").decode()


def _merged(data: ResourceMetrics, refuse: Refuse) -> Iterator[Metric]:
    by_name: dict[tuple[str, str], list[Metric]] = {}
    views: set[tuple[object, ...]] = set()
    unfit: dict[tuple[object, ...], Metric] = {}
    for scoped in data.scope_metrics:
        for metric in scoped.metrics:
            view: tuple[object, ...] = (scoped.scope, metric.name, metric.description, metric.unit)
            name = re.sub(r"[^a-zA-Z0-9:]+", "_", metric.name)
            if not isinstance(metric.data, Shown) or not name:
                unfit[view] = metric
            elif view not in views:
                views.add(view)
                by_name.setdefault((name, metric.unit or ""), []).append(metric)
    for view, metric in unfit.items():
        if view not in views:
            refuse(metric.name, f"{type(metric.data).__name__} cannot be shown; give it explicit buckets with a view")
    for metrics in by_name.values():
        yield _one(metrics, refuse)


def _one(metrics: list[Metric], refuse: Refuse) -> Metric:
    """Return one metric with the points of all that have its type."""
    first = metrics[0]
    points: dict[frozenset[tuple[str, object]], Point] = {}
    for metric in metrics:
        if _type(metric) != _type(first):
            refuse(metric.name, "another metric of this name has another type")
            continue
        for point in metric.data.data_points:
            fit = _fit(point)
            if fit is None:
                refuse(metric.name, "a value is no number, or an attribute no text")
                continue
            key = frozenset((fit.attributes or {}).items())
            if key in points:
                fit = None if isinstance(first.data, Gauge) else _added(points[key], fit)
            if fit is None:
                refuse(metric.name, "two series with equal labels cannot be added up")
                continue
            points[key] = fit
    assert isinstance(first.data, Shown)
    shown: Any = list(points.values())
    return replace(first, description=text(first.description or ""), data=replace(first.data, data_points=shown))


def _type(metric: Metric) -> tuple[object, ...]:
    return type(metric.data), getattr(metric.data, "is_monotonic", None)


def _labels(attributes: Mapping[str, object], is_histogram: bool) -> dict[str, str]:
    """Return attributes as labels; to Prometheus an empty label is none."""
    labels: dict[str, str] = {}
    for key, value in attributes.items():
        name = re.sub(r"[^a-zA-Z0-9]+", "_", str(key))
        if name[:1].isdigit():
            name = f"_{name}"
        if is_histogram and name == "le":
            name = "exported_le"
        if name and value is not None and value != "":
            labels[name] = text(value)
    return labels


def _fit(point: Any) -> Point | None:
    """Return a point with text for labels and floats for values; ``None`` if it has no such thing."""
    is_histogram = isinstance(point, HistogramDataPoint)
    try:
        labels = _labels(point.attributes or {}, is_histogram)
        values = {"sum": float(point.sum)} if is_histogram else {"value": float(point.value)}
        fit: Point = replace(point, attributes=labels, exemplars=(), **values)
        return fit
    except Exception:  # whatever a foreign number, or the text of a foreign object, raises
        return None


def _added(one: Point, other: Point) -> Point | None:
    """Return the sum of two points, ``None`` where there is none."""
    if isinstance(one, HistogramDataPoint) and isinstance(other, HistogramDataPoint):
        if tuple(one.explicit_bounds) != tuple(other.explicit_bounds):
            return None
        counts = [a + b for a, b in zip(one.bucket_counts, other.bucket_counts, strict=True)]
        return replace(one, bucket_counts=counts, count=one.count + other.count, sum=one.sum + other.sum)
    if isinstance(one, NumberDataPoint) and isinstance(other, NumberDataPoint):
        return replace(one, value=one.value + other.value)
    return None


def exposed_names(name: str, kind: str) -> Iterable[str]:
    """Return every name that a family of prometheus_client, or a sample of it, has in an exposition."""
    suffixes = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_count", "_sum", "_created")}
    return name, *(name + suffix for suffix in suffixes.get(kind, ()))
