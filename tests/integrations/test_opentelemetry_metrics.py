"""The MeterProvider beside our metrics, under the real OpenTelemetry SDK and its real exporter for Prometheus."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.view import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_metrics import configure, track_llm_call, wsgi_app
from genai_metrics.catalog.opentelemetry import BUCKETS
from genai_metrics.integrations.opentelemetry import meter_provider
from genai_metrics.integrations.otel_streams import presentable
from genai_metrics.testing import sample
from genai_stack import binaries

FAULTS = "genai_recorder_faults_total"
EXPONENTIAL = View(instrument_name="*", instrument_type=Histogram, aggregation=ExponentialBucketHistogramAggregation())
DURATION = "gen_ai.client.operation.duration"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def registry() -> CollectorRegistry:
    """An endpoint's registry, with our metrics on it."""
    registry = CollectorRegistry()
    configure(registry=registry, service_name="chat", pricing=False)
    track_llm_call(model="m")
    return registry


def shown(registry: CollectorRegistry) -> Samples:
    """What a scrape sees, but for ``service_name``; the scrape must be valid, and no series come twice."""
    return samples(generate_latest(registry).decode())


def samples(text: str) -> Samples:
    """Every sample of an exposition."""
    found: Samples = {}
    for family in parse_text(text):
        for one in family.samples:
            key = one.name, frozenset({k: v for k, v in one.labels.items() if v and k != "service_name"}.items())
            assert key not in found
            found[key] = one.value
    assert text.count("# TYPE ") == len({line for line in text.splitlines() if line.startswith("# TYPE ")})
    return found


def value(found: Samples, name: str, **labels: str) -> float | None:
    """One sample."""
    return found.get((name, frozenset(labels.items())))


def bounds(found: Samples, name: str) -> list[float]:
    """Finite bounds of a histogram's buckets."""
    all_bounds = {float(dict(labels)["le"]) for sample, labels in found if sample == f"{name}_bucket"}
    return sorted(all_bounds - {float("inf")})


class TestEndpoint:
    """Where the metrics appear, and as what."""

    def test_stand_beside_ours(self, registry: CollectorRegistry) -> None:
        """On generate_latest, in both formats, and on our own endpoint: with the service, without scope."""
        provider = meter_provider(registry=registry)
        provider.get_meter("library", "1.0").create_counter("app.jobs", "{job}", "Jobs.").add(3, {"queue.name": "q"})
        parts: list[str] = []
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics"}
        ours = b"".join(wsgi_app(registry=registry)(environ, lambda *_: parts.append("started"))).decode()
        line = 'app_jobs_total{queue_name="q",service_name="chat"} 3.0'
        assert line in ours.splitlines()
        assert line in generate_latest(registry).decode().splitlines()
        assert "otel_scope" not in ours
        assert value(samples(ours), "genai_llm_calls_total", **OUR_CALL) is not None
        openmetrics = generate_openmetrics(registry).decode()
        assert line in openmetrics.splitlines()
        assert {"app_jobs", "target", "genai_llm_calls"} <= {family.name for family in parse_openmetrics(openmetrics)}

    def test_promtool_accepts_the_scrape(self, registry: CollectorRegistry) -> None:
        """Names, types and help as Prometheus wants them."""
        meter = meter_provider(registry=registry).get_meter("library")
        for name in BUCKETS:
            meter.create_histogram(name, "s", "What it is.").record(1.0)
        done = subprocess.run(
            [binaries.require("promtool"), "check", "metrics"],
            input=generate_latest(registry),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")

    def test_resource_is_target_info(self, registry: CollectorRegistry) -> None:
        """The whole resource there; on the series what was asked for."""
        resource = Resource({"service.name": "shop", "deployment.environment.name": "test", "host.name": "\ud800"})
        provider = meter_provider(
            registry=registry, resource=resource, resource_attributes=("service.name", "deployment.environment.name")
        )
        provider.get_meter("library").create_counter("jobs").add(1)
        text = generate_latest(registry).decode()
        labels = 'deployment_environment_name="test",service_name="shop"'
        assert f"jobs_total{{{labels}}} 1.0" in text
        assert 'target_info{deployment_environment_name="test",host_name="?",service_name="shop"} 1.0' in text

    def test_one_provider_a_registry(self, registry: CollectorRegistry) -> None:
        """A second is refused until the first is shut down, which takes its metrics away."""
        first = meter_provider(registry=registry)
        first.get_meter("library").create_counter("jobs").add(1)
        with pytest.raises(ValueError, match="one meter_provider"):
            meter_provider(registry=registry)
        first.shutdown()
        assert not {name for name, _ in shown(registry)} & {"jobs_total", "target_info"}
        meter_provider(registry=registry)

    def test_concurrent_scrapes_are_complete(self, registry: CollectorRegistry) -> None:
        """Of eight threads that scrape at once each sees every series, once: the exporter's reader mixes them up."""
        counter = meter_provider(registry=registry).get_meter("library").create_counter("c")
        for number in range(200):
            counter.add(1, {"n": str(number)})

        def scrape(_: int) -> list[int]:
            return [len(family.samples) for family in registry.collect() if family.name == "c"]

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)  # else threads rarely meet
        try:
            with ThreadPoolExecutor(8) as pool:
                scrapes = list(pool.map(scrape, range(500)))
        finally:
            sys.setswitchinterval(interval)
        assert scrapes == [[200]] * 500


OUR_CALL = {
    "service": "chat",
    "mode": "default",
    "provider": "unknown",
    "model": "m",
    "operation": "chat",
    "outcome": "success",
}


class TestBuckets:
    """Boundaries of the GenAI histograms."""

    def test_as_the_conventions_say(self, registry: CollectorRegistry) -> None:
        """All of them, whatever the instrumentation advises; other histograms keep theirs."""
        meter = meter_provider(registry=registry).get_meter("library")
        for name in BUCKETS:
            meter.create_histogram(name, explicit_bucket_boundaries_advisory=[1, 2]).record(1.0)
        meter.create_histogram("own", explicit_bucket_boundaries_advisory=[1, 2]).record(1.0)
        found = shown(registry)
        assert {name: tuple(bounds(found, name.replace(".", "_"))) for name in BUCKETS} == BUCKETS
        assert bounds(found, "own") == [1, 2]

    def test_a_user_can_have_others(self, registry: CollectorRegistry) -> None:
        """By ``buckets``, by a view of one's own; ``None`` leaves an instrument to the views."""
        first, second = "gen_ai.client.token.usage", "gen_ai.execute_tool.duration"
        provider = meter_provider(
            registry=registry,
            buckets={DURATION: [0.5, 320], first: None, "app.own": [7]},
            views=[
                View(instrument_name=first, aggregation=DropAggregation()),
                View(instrument_name=second, aggregation=ExplicitBucketHistogramAggregation([3])),
            ],
        )
        for name in (DURATION, first, second, "app.own"):
            provider.get_meter("library").create_histogram(name).record(1.0)
        found = shown(registry)
        assert bounds(found, "gen_ai_client_operation_duration") == [0.5, 320]
        assert bounds(found, "gen_ai_client_token_usage") == []
        assert bounds(found, "gen_ai_execute_tool_duration") == [3]
        assert bounds(found, "app_own") == [7]
        assert sample(FAULTS, reason="otel_metrics") == 0


class TestIsolation:
    """What the exporter for Prometheus cannot take does not cost the rest."""

    def test_the_exporter_breaks_without_us(self) -> None:
        """The premise: one exponential histogram breaks the scrape; two libraries' labels get mixed up."""
        broken, mixed = CollectorRegistry(), CollectorRegistry()
        provider = MeterProvider([PrometheusMetricReader(registry=broken)], views=[EXPONENTIAL], shutdown_on_exit=False)
        provider.get_meter("library").create_histogram("h").record(1.0)
        with pytest.raises(AttributeError):
            generate_latest(broken)
        reader = PrometheusMetricReader(registry=mixed, scope_info_enabled=False)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        provider.get_meter("one").create_counter("jobs").add(1, {"queue": "q"})
        provider.get_meter("two").create_counter("jobs").add(1, {"tenant": "t"})
        assert 'jobs_total{queue="t"} 1.0' in generate_latest(mixed).decode()

    def test_an_exponential_histogram_costs_itself(
        self, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The rest is there; it is counted at each scrape and logged once. GenAI's have buckets all the same."""
        provider = meter_provider(registry=registry, views=[EXPONENTIAL])
        meter = provider.get_meter("library")
        meter.create_histogram("h").record(1.0)
        meter.create_histogram(DURATION, "s").record(1.0)
        meter.create_counter("jobs").add(1)
        with caplog.at_level(logging.WARNING, "genai_metrics"):
            for _ in range(3):
                found = shown(registry)
        assert value(found, "jobs_total") == 1
        assert value(found, "gen_ai_client_operation_duration_seconds_count") == 1
        assert not [name for name, _ in found if name.startswith("h_")]
        assert value(found, "genai_llm_calls_total", **OUR_CALL) is not None
        assert sample(FAULTS, reason="otel_metrics") == 3
        assert caplog.text.count("'h' is missing") == 1

    def test_one_name_from_several_libraries(self, registry: CollectorRegistry) -> None:
        """One family, whatever their descriptions: labels stay apart, equal ones are added up."""
        provider = meter_provider(registry=registry)
        one, two = provider.get_meter("one"), provider.get_meter("two")
        one.create_counter("jobs", description="One.").add(1, {"queue": "q"})
        two.create_counter("jobs", description="Two.").add(2, {"tenant": "t"})
        two.create_counter("jobs", description="Two.").add(4, {"queue": "q"})
        for meter in (one, two):
            meter.create_histogram(DURATION, "s").record(0.5, {"queue": "q"})
            meter.create_up_down_counter("open").add(3)
        found = shown(registry)
        assert value(found, "jobs_total", queue="q") == 5
        assert value(found, "jobs_total", tenant="t") == 2
        assert value(found, "open") == 6
        assert value(found, "gen_ai_client_operation_duration_seconds_sum", queue="q") == 1.0
        assert value(found, "gen_ai_client_operation_duration_seconds_bucket", queue="q", le="0.64") == 2
        assert sample(FAULTS, reason="otel_metrics") == 0

    def test_what_cannot_be_added(self, registry: CollectorRegistry) -> None:
        """Another type, other bounds, two gauges: the first counts, the others are faults."""
        provider = meter_provider(registry=registry)
        one, two = provider.get_meter("one"), provider.get_meter("two")
        one.create_counter("type").add(1)
        two.create_gauge("type").set(7)
        one.create_histogram("bounds", explicit_bucket_boundaries_advisory=[1]).record(0.5)
        two.create_histogram("bounds", explicit_bucket_boundaries_advisory=[2]).record(0.5)
        one.create_gauge("gauge").set(1)
        two.create_gauge("gauge").set(2)
        found = shown(registry)
        assert value(found, "type_total") == 1
        assert value(found, "type") is None
        assert value(found, "bounds_count") == 1
        assert value(found, "gauge") == 1
        assert sample(FAULTS, reason="otel_metrics") == 3

    @pytest.mark.parametrize(
        ("name", "unit"),
        [("genai.llm.calls", ""), ("genai.llm.call.duration", "s"), ("genai.llm.call.duration.seconds.count", "")],
    )
    def test_our_names_are_taken(self, registry: CollectorRegistry, name: str, unit: str) -> None:
        """A family, or a sample of one, that is called like ours is not shown."""
        before = shown(registry)
        meter = meter_provider(registry=registry).get_meter("library")
        meter.create_counter(name, unit).add(7, {"intruder": "x"})
        meter.create_gauge(name, unit).set(7, {"intruder": "x"})
        found = shown(registry)
        assert {name for name, _ in found} - {name for name, _ in before} <= {"target_info"} | UNLIKE_OURS[name]
        assert not any(("intruder", "x") in labels for sample, labels in found if sample not in UNLIKE_OURS[name])
        assert sample(FAULTS, reason="otel_metrics") > 0

    def test_strange_attributes(self, registry: CollectorRegistry) -> None:
        """Labels that Prometheus would refuse are made usable, and what has equal labels then is added up."""
        meter = meter_provider(registry=registry).get_meter("library")
        counter = meter.create_counter("c", description="Half a \ud800 character.\nTwo lines.")
        attributes: list[Mapping[str, Any]] = [
            {"a.b": 1, "a_b": 1},
            {"1st": "x", "": "y", "empty": "", "none": None},
            {"text": "\ud800\n\"'\\"},
            {"list": ("x", 1), "flag": True},
        ]
        for given in attributes:
            counter.add(1, given)
        counter.add(1)
        counter.add(1, {"empty": ""})
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[1.0]).record(0.5, {"le": "x"})
        found = shown(registry)
        assert value(found, "c_total", a_b="1") == 1
        assert value(found, "c_total", _1st="x") == 1
        assert value(found, "c_total", text="?\n\"'\\") == 1
        assert value(found, "c_total", list='["x", 1]', flag="true") == 1
        assert value(found, "c_total") == 2
        assert value(found, "h_bucket", exported_le="x", le="1.0") == 1
        assert sum(name == "c_total" for name, _ in found) == 5
        assert sample(FAULTS, reason="otel_metrics") == 0

    def test_values_that_are_no_numbers(self) -> None:
        """Such points are left out and named, not their metric: the SDK itself stops some of them, not all."""
        numbers: list[Any] = [1, "?", 10**400, None]
        points = [NumberDataPoint({"n": str(n)}, 0, 0, number) for n, number in enumerate(numbers)]
        total = Sum(points, AggregationTemporality.CUMULATIVE, True)
        scoped = ScopeMetrics(InstrumentationScope("library"), [Metric("c", None, None, total)], "")
        refused: list[str] = []
        data = presentable(
            MetricsData([ResourceMetrics(Resource({}), [scoped], "")]), lambda name, _: refused.append(name)
        )
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert [point.attributes for point in metric.data.data_points] == [{"n": "0"}]
        assert refused == ["c"] * 3


UNLIKE_OURS = {
    "genai.llm.calls": set[str](),
    "genai.llm.call.duration": {"genai_llm_call_duration_seconds_total"},
    "genai.llm.call.duration.seconds.count": {"genai_llm_call_duration_seconds_count_total"},
}

FORK = """
import os, signal, sys, threading
from prometheus_client import CollectorRegistry, generate_latest
from genai_metrics import configure
from genai_metrics.integrations.opentelemetry import meter_provider

registry = CollectorRegistry()
configure(registry=registry, service_name="chat")
meter = meter_provider(registry=registry).get_meter("library")
meter.create_counter("jobs").add(5)
inside, go_on = threading.Event(), threading.Event()

def slow(options):
    inside.set()
    go_on.wait()
    return ()

if sys.argv[1] == "during a scrape":
    meter.create_observable_gauge("slow", [slow])
    thread = threading.Thread(target=generate_latest, args=(registry,))
    thread.start()
    inside.wait()
child = os.fork()
if not child:
    signal.alarm(20)
    generate_latest(registry)
    print(generate_latest(registry).decode(), end="", flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go_on.set()
"""


class TestFork:
    """What a forked child shows."""

    def child(self, when: str) -> Samples:
        """What it shows."""
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", FORK, when], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return samples(done.stdout)

    def test_goes_on_from_its_parents_values(self) -> None:
        """As documented: not from zero, as our own metrics do."""
        assert value(self.child("between scrapes"), "jobs_total") == 5

    def test_never_waits_for_a_scrape_of_its_parent(self) -> None:
        """Forked in the middle of one it answers, without OpenTelemetry's metrics, and counts that."""
        found = self.child("during a scrape")
        assert value(found, "jobs_total") is None
        assert "target_info" in {name for name, _ in found}
        assert value(found, FAULTS, service="chat", reason="otel_metrics") == 1


PUSH = """
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from prometheus_client import generate_latest
from genai_metrics import configure
from genai_metrics.integrations.opentelemetry import meter_provider

configure(service_name="chat", metrics_dir=sys.argv[2])
provider = meter_provider(metric_readers=[PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1]))])
provider.get_meter("library").create_histogram("gen_ai.client.operation.duration", "s").record(0.5)
assert b"gen_ai_client_operation_duration_seconds_count" in generate_latest()
provider.shutdown()
"""


@contextmanager
def receiver() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    """An OTLP receiver; its address, and what it got."""
    got: list[ExportMetricsServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep a request."""
            got.append(ExportMetricsServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/metrics", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestPush:
    """Several workers that push, beside the endpoint."""

    def test_workers_are_told_apart(self, tmp_path: Any) -> None:
        """One service, each an instance of its own; the specified buckets are pushed, too."""
        with receiver() as (url, got):
            for _ in range(2):
                subprocess.run([sys.executable, "-c", PUSH, url, str(tmp_path / "m")], check=True, timeout=60)
        resources = [each.resource for request in got for each in request.resource_metrics]
        told = [{a.key: a.value.string_value for a in resource.attributes} for resource in resources]
        assert {each["service.name"] for each in told} == {"chat"}
        assert len({each["service.instance.id"] for each in told}) == 2
        (metric,) = got[0].resource_metrics[0].scope_metrics[0].metrics
        assert tuple(metric.histogram.data_points[0].explicit_bounds) == BUCKETS[DURATION]
