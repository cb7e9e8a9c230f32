"""Tests of choosing metrics by name from an exposition in either format."""

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import generate_latest as text_of
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_of
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_metrics.catalog import LLM_CALL
from genai_metrics.selection import is_selected, selected

# prometheus_client's OpenMetrics parser carries no types.
parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families

ODD = 'a # b\r{"x"} '


def registry() -> CollectorRegistry:
    """A counter, a gauge whose name begins like the counter's, and a histogram, with awkward label values."""
    made = CollectorRegistry(support_collectors_without_names=True)
    counter = Counter("calls", "Calls.", ["who"], registry=made)
    for who in ("me", ODD):
        counter.labels(who).inc(3)
    Gauge("calls_open", "Open calls.", registry=made).set(2)
    Histogram("wait_seconds", "Waits.", buckets=(1, 2), registry=made).observe(1.5)
    return made


def lines(body: bytes) -> list[str]:
    """The lines that are no comments, without the times at which series were created."""
    return [line for line in body.decode().split("\n") if line and not line.startswith("#") and "_created" not in line]


def chosen(body: bytes, *names: str, size: int = 10**9) -> bytes:
    """What names select of a body in chunks of some lines."""
    whole = body.split(b"\n")
    chunks = (b"\n".join((*whole[i : i + size], b"")) for i in range(0, len(whole) - 1, size))
    return b"".join(selected(chunks, names))


@pytest.mark.parametrize("encode", [text_of, openmetrics_of])
class TestSelected:
    """From whole expositions to parts of them."""

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["calls_total"], ["calls_total"] * 2),
            (["calls"], ["calls_total"] * 2),
            (["calls_open"], ["calls_open"]),
            (["wait_seconds"], ["wait_seconds_bucket"] * 3 + ["wait_seconds_count", "wait_seconds_sum"]),
            (["wait_seconds_count", "wait_seconds_sum"], ["wait_seconds_count", "wait_seconds_sum"]),
            (["calls_open", "calls"], ["calls_total"] * 2 + ["calls_open"]),
            (["call", "wait", "", "calls_", "CALLS", "calls_total_"], []),
        ],
    )
    def test_families_and_samples(
        self, names: list[str], expected: list[str], encode: Callable[[CollectorRegistry], bytes]
    ) -> None:
        """A family's name selects all of it, a sample's name that sample, a part of a name nothing."""
        body = chosen(encode(registry()), *names)
        assert [line.partition("{")[0].partition(" ")[0] for line in lines(body)] == expected
        # The strict one wants all of a histogram, which prometheus_client's own filter does not leave either.
        strict = encode is openmetrics_of and not any(name.endswith(("_count", "_sum")) for name in names)
        families = list((parse_openmetrics if strict else parse_text)(body.decode()))
        assert all(family.samples and family.documentation for family in families)

    def test_nothing_is_an_empty_body(self, encode: Callable[[CollectorRegistry], bytes]) -> None:
        """Unknown names: no line in the text format, the end alone in OpenMetrics."""
        assert chosen(encode(registry()), "unknown") == (b"# EOF\n" if encode is openmetrics_of else b"")

    def test_the_size_of_chunks_does_not_matter(self, encode: Callable[[CollectorRegistry], bytes]) -> None:
        """A family may begin in one chunk and end in another."""
        body = encode(registry())
        for size in (1, 2, 3, 5):
            assert chosen(body, "calls_total", "wait_seconds_sum", size=size) == chosen(
                body, "calls_total", "wait_seconds_sum"
            )

    def test_as_prometheus_client_selects(self, encode: Callable[[CollectorRegistry], bytes]) -> None:
        """By names of samples the same series as prometheus_client's own filter."""
        names = ["calls_total", "wait_seconds_bucket", "wait_seconds_sum"]
        theirs = encode(registry().restricted_registry(names))  # type: ignore[arg-type]
        assert sorted(lines(chosen(encode(registry()), *names))) == sorted(lines(theirs))


def test_names_in_quotes() -> None:
    """Names that are not classic ones stand in quotes, in comments and among the labels."""
    body = b'# HELP "a.b" Dots.\n# TYPE "a.b" gauge\n{"a.b",x="y"} 1.0\n# HELP c C.\n# TYPE c gauge\nc 1.0\n'
    assert chosen(body, "a.b") == body[: body.index(b"# HELP c")]


@given(st.sets(st.sampled_from(["calls", "calls_total", "calls_open", "wait_seconds", "wait_seconds_sum", "x"])))
def test_what_is_left_is_as_it_was(names: set[str]) -> None:
    """Whatever is chosen: lines come in their order, unchanged, and the result parses."""
    body = text_of(registry())
    left = chosen(body, *names).split(b"\n")
    rest = iter(body.split(b"\n"))
    assert all(line in rest for line in left)
    list(parse_text(b"\n".join(left).decode()))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("genai_llm_call_duration_seconds", True),
        ("genai_llm_call_duration_seconds_count", True),
        ("genai_llm_call_duration_seconds_total", False),
        ("genai_llm_input_tokens_total", False),
    ],
)
def test_metrics_of_the_catalogue(name: str, expected: bool) -> None:
    """A histogram is selected by its own name and by those of its samples."""
    histogram = next(metric for metric in LLM_CALL.metrics if metric.type == "histogram")
    assert is_selected(histogram, {name}) is expected
