"""Tests of what families must be like to be served beside those of others."""

import re
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric, ProcessCollector, Summary
from prometheus_client.core import CounterMetricFamily, GaugeHistogramMetricFamily, GaugeMetricFamily

from genai_exporter.collectors.exporter import reserved_names
from genai_exporter.collectors.soundness import check


def gauge(name: str = "one", *labels: dict[str, object], value: object = 1.0) -> Metric:
    """Make a gauge with a sample for each of some labels."""
    made = GaugeMetricFamily(name, "Help.")
    for given in labels or ({},):
        made.add_sample(name, given, value)  # type: ignore[arg-type]
    return made


def with_foreign_sample() -> Metric:
    """Make a family that holds a sample of another."""
    made = gauge()
    made.add_sample("genai_build_info", {}, 1.0)
    return made


@pytest.mark.parametrize(
    ("families", "message"),
    [
        ([gauge("bad name!")], "'bad name!' is not a name of a family"),
        ([gauge("a:b")], "'a:b' is not a name of a family"),
        ([gauge("one\ntwo 2")], "is not a name of a family"),
        ([GaugeHistogramMetricFamily("one", "Help.")], "family one is of the type gaugehistogram; known: counter"),
        (["one 1"], "str is not a family of metrics"),
        ([with_foreign_sample()], "'genai_build_info' is not a sample of the gauge one"),
        ([gauge("one", {'a"b': "x"})], "is not a label of one"),
        ([gauge("one", {"__name__": "x"})], "'__name__': 'x' is not a label of one"),
        ([gauge("one", {"a": 3})], "'a': 3 is not a label of one"),
        ([gauge(value="7")], "'7' is not a value of one"),
        ([gauge(value=None)], "None is not a value of one"),
        ([gauge("one", {"a": "x"}, {"a": "x"})], "it yields the series one {'a': 'x'} twice"),
        ([gauge("one"), gauge("one")], "it yields one twice"),
        ([CounterMetricFamily("one", "Help."), gauge("one_total")], "it yields one_total twice"),
    ],
)
def test_names_what_is_not_sound(families: list[Metric], message: str) -> None:
    """A reader of the log finds the fault in the collector."""
    with pytest.raises(ValueError, match=re.escape(message)):
        check(families)


def every_type() -> Iterator[Metric]:
    """Yield what prometheus_client makes of its own metrics, and of this process."""
    registry = CollectorRegistry()
    Counter("a", "Help.", ["x"], registry=registry).labels("1").inc()
    Gauge("b", "Help.", registry=registry).set(float("nan"))
    Histogram("c", "Help.", registry=registry).observe(1)
    Summary("d", "Help.", registry=registry).observe(1)
    Info("e", "Help.", registry=registry).info({"version": "1"})
    ProcessCollector(registry=registry)
    yield from registry.collect()


def test_takes_what_prometheus_client_makes() -> None:
    """Of every type, with ``_created`` series; all names are taken by it."""
    names = check(every_type())
    assert {"a", "a_total", "b", "c_bucket", "c_created", "d_sum", "e_info", "process_open_fds"} <= names


def test_names_of_the_others_are_reserved() -> None:
    """Those of applications in full, the exporter's own, and those of its process."""
    expected = {
        "genai_llm_calls",
        "genai_llm_calls_total",
        "genai_llm_call_duration_seconds_bucket",
        "genai_build_info",
        "process_cpu_seconds_total",
    }
    assert expected <= reserved_names()
    assert not {name for name in reserved_names() if name.startswith(("genai_gpu_", "genai_host_"))}
