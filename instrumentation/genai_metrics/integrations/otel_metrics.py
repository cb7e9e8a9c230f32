"""A MeterProvider whose metrics stand beside ours on the application's endpoint; see ``opentelemetry.meter_provider``.

Imports opentelemetry-sdk and opentelemetry-exporter-prometheus.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import InfoMetricFamily
from prometheus_client.registry import Collector

from genai_metrics import runtime
from genai_metrics.catalog import BLOCK_KINDS
from genai_metrics.catalog.opentelemetry import BUCKETS
from genai_metrics.integrations.otel_streams import Refuse, exposed_names, presentable, text
from genai_metrics.settings import DEFAULT_SERVICE

logger = logging.getLogger("genai_metrics")

_OURS = frozenset(
    name for kind in BLOCK_KINDS for metric in kind.metrics for name in exposed_names(metric.family, metric.type)
)


def make_provider(
    registry: CollectorRegistry,
    resource: Resource | None,
    resource_attributes: Collection[str],
    buckets: Mapping[str, Sequence[float] | None],
    views: Sequence[View],
    metric_readers: Sequence[MetricReader],
) -> MeterProvider:
    """Return a MeterProvider whose reader is bound to ``registry``."""
    resource = _resource(resource)
    refuse = _Refusals()
    reader = _Reader(frozenset(resource_attributes), refuse)
    target = _TargetInfo(resource)
    try:
        registry.register(target)
    except ValueError as error:
        raise ValueError(
            "this registry has target_info already: make one meter_provider() a registry, and shut an earlier one down"
        ) from error
    reader.bind(registry, target, _Metrics(reader.families, refuse))
    genai_views = [
        View(
            instrument_name=name,
            instrument_type=Histogram,
            aggregation=ExplicitBucketHistogramAggregation(list(bounds)),
        )
        for name, bounds in {**BUCKETS, **buckets}.items()
        if bounds is not None
    ]
    # Of several views of one instrument the first that can be shown counts: the user's own come first.
    return MeterProvider([reader, *metric_readers], resource=resource, views=[*views, *genai_views])


def _resource(given: Resource | None) -> Resource:
    resource = Resource.create() if given is None else given
    if given is None and (service := runtime.recorder().service) != DEFAULT_SERVICE:
        resource = resource.merge(Resource({SERVICE_NAME: service}))
    clean = {text(key): text(value) if isinstance(value, str) else value for key, value in resource.attributes.items()}
    return Resource(clean, resource.schema_url)


class _Refusals:
    """Counts what cannot be shown, each time, and logs it once a metric."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, name: str, reason: str) -> None:
        if name not in self._told:
            self._told.add(name)
            logger.warning(
                "genai_metrics: OpenTelemetry metric %r is missing from /metrics, all or in part: %s", name, reason
            )
        runtime.recorder().fault("otel_metrics", "OpenTelemetry metrics are missing from /metrics; each is named once")


class _Reader(PrometheusMetricReader):
    """Converts what is presentable, into a registry of its own: what it raises must not break other collectors."""

    def __init__(self, resource_attributes: Collection[str], refuse: Refuse) -> None:
        self._own_registry = CollectorRegistry()
        self._refuse = refuse
        self._shown_on: tuple[CollectorRegistry, list[Collector]] | None = None
        # Two scrapes at once would take each other's data from the queue of the reader.
        self._scrape_lock = threading.Lock()
        self._forked_in_a_scrape = False
        super().__init__(
            disable_target_info=True,
            scope_info_enabled=False,
            resource_attribute_filter=resource_attributes.__contains__,
            registry=self._own_registry,
        )
        if hasattr(os, "register_at_fork"):
            weak = weakref.WeakMethod(self._start_afresh)
            os.register_at_fork(after_in_child=lambda: (method := weak()) and method())

    def bind(self, registry: CollectorRegistry, *collectors: Collector) -> None:
        """Have ``registry`` show these until the provider is shut down; the first is registered already."""
        self._shown_on = registry, list(collectors)
        for collector in collectors[1:]:
            registry.register(collector)

    def families(self) -> list[Metric]:
        """Collect from the SDK and convert; raises whatever these raise."""
        if self._forked_in_a_scrape:
            raise RuntimeError("forked while another thread scraped; make a meter_provider() in each worker")
        with self._scrape_lock:
            return list(self._own_registry.collect())

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(presentable(metrics_data, self._refuse), timeout_millis, **kwargs)

    def _start_afresh(self) -> None:
        """In a forked child: locks that a thread of the parent held, ours and the SDK's, nobody would release."""
        self._forked_in_a_scrape = self._forked_in_a_scrape or self._scrape_lock.locked()
        self._scrape_lock = threading.Lock()

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Show nothing any more; the registry can have another provider."""
        if self._shown_on is not None:
            registry, collectors = self._shown_on
            for collector in collectors:
                registry.unregister(collector)
        super().shutdown(timeout_millis, **kwargs)


class _TargetInfo(Collector):
    """The resource. Named when it is registered, so that a registry has one only."""

    def __init__(self, resource: Resource) -> None:
        labels = {key.replace(".", "_"): text(value) for key, value in resource.attributes.items()}
        self._family = InfoMetricFamily("target", "Target metadata", value=labels)

    def describe(self) -> Iterator[Metric]:
        """Name the family."""
        yield self._family

    def collect(self) -> Iterator[Metric]:
        """Yield the resource's attributes."""
        yield self._family


class _Metrics(Collector):
    """All else; never raises. Without ``describe``: the names change as instruments are made."""

    def __init__(self, families: Callable[[], list[Metric]], refuse: Refuse) -> None:
        self._families = families
        self._refuse = refuse

    def collect(self) -> Iterator[Metric]:
        """Yield what can be shown."""
        taken = set(_OURS)
        try:
            families = self._families()
        except Exception as error:
            self._refuse("*", f"collecting failed: {type(error).__name__}: {error}")
            return
        for family in families:
            names = set(exposed_names(family.name, family.type))
            if clash := taken & names:
                self._refuse(family.name, f"the name {min(clash)} is taken")
            else:
                taken |= names
                yield family
