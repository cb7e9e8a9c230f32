"""What a collector is, and prometheus_client families made from the catalogue; imports nothing of the collectors."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from genai_metrics.catalog import MetricSpec


class Collector(Protocol):
    """One source of metric families, read once a scrape and by one thread at a time."""

    @property
    def name(self) -> str:
        """Value of the label ``collector``: short, lower case, fixed."""

    def collect(self) -> Iterable[Metric]:
        """Read the source and return fresh families.

        Raises any exception to fail as a whole; its text says what failed and the remedy. What is merely unknown is
        left out instead: one missing sensor costs one series.
        """


def family(spec: MetricSpec, values: Mapping[tuple[str, ...], float]) -> Metric:
    """Return the family of ``spec``, a counter or gauge, with one sample for each tuple of label values."""
    make = CounterMetricFamily if spec.type == "counter" else GaugeMetricFamily
    made = make(spec.name, spec.help, labels=spec.label_names)
    for labels, value in values.items():
        made.add_metric(labels, value)
    return made
