"""Tests of the text that Prometheus reads: two ways of making it, three ways of reading it."""

import subprocess
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families as parse_text

from genai_metrics import llm_call_in_flight, runtime, track_llm_call, track_llm_fallback
from genai_metrics.catalog import BLOCK_KINDS, BlockKind
from genai_metrics.exposition import (
    CHUNK_LINES,
    BlockCollector,
    Row,
    families,
    label_text,
    own_blocks,
    render,
    sample_count,
)
from genai_stack.binaries import require

if TYPE_CHECKING:
    from conftest import Metrics

parse_openmetrics: Callable[[str], Iterable[Metric]] = openmetrics_parser.text_string_to_metric_families
generate_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics_exposition.generate_latest
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def rows() -> dict[BlockKind, list[Row]]:
    """The blocks of this process as the renderer takes them."""
    recorder = runtime.recorder()
    return {
        kind: [(label_text(recorder.service, kind.labels, block.key), block.read()) for block in blocks]
        for kind, blocks in own_blocks(recorder).items()
    }


def rendered(*, openmetrics: bool) -> str:
    """Our own exposition of this process."""
    text = b"".join(render(rows(), openmetrics=openmetrics)).decode()
    return text + "# EOF\n" if openmetrics else text


def samples(parsed: Iterable[Metric]) -> Samples:
    """Value of each series; fails when one comes twice."""
    found: Samples = {}
    for family in parsed:
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                series = sample.name, frozenset(sample.labels.items())
                assert series not in found, series
                found[series] = sample.value
    return found


def record_everything() -> None:
    """Make at least one block of every kind that has to do with LLM calls; a block of zeros of every other kind."""
    for model in ("gpt-4", "full", 'quo"ted', "back\\slash", "new\\nline", "ünïcødé", "unheard-of"):
        for cached in (False, True):
            track_llm_call(
                mode="rag",
                model=model,
                provider="acme",
                tenant=f"tenant {model}",
                input_tokens=1234,
                output_tokens=56,
                cached_input_tokens=7,
                reasoning_tokens=8,
                duration=1.25,
                time_to_first_token=0.25,
                cached=cached,
            )
        track_llm_call(model=model, error_type="429", retries=3, estimated=True, input_tokens=1)
    track_llm_fallback(from_model="a", to_model="b")
    llm_call_in_flight(model="gpt-4").__enter__()
    for kind in BLOCK_KINDS:
        runtime.recorder().block(kind, (kind.name.removesuffix("_shared"),) * len(kind.labels))


class TestSameNumbers:
    """The renderer and the prometheus_client collector, in both formats."""

    def test_four_ways(self, metrics: "Metrics") -> None:
        """The same series with the same values, whichever way they are made and read."""
        record_everything()
        expected = samples(parse_text(generate_latest(metrics.registry).decode()))
        assert len(expected) > 500
        assert samples(parse_text(rendered(openmetrics=False))) == expected
        assert samples(parse_openmetrics(rendered(openmetrics=True))) == expected
        assert samples(parse_openmetrics(generate_openmetrics(metrics.registry).decode())) == expected
        assert expected["genai_llm_calls_total", _llm("gpt-4", "success")] == 1
        assert expected["genai_llm_input_tokens_total", _llm("gpt-4", "success")] == 1234

    def test_same_families(self, metrics: "Metrics") -> None:
        """Name, type, help and unit of every family as prometheus_client writes them."""
        record_everything()
        for ours, theirs, parse in (
            (rendered(openmetrics=False), generate_latest(metrics.registry), parse_text),
            (rendered(openmetrics=True), generate_openmetrics(metrics.registry), parse_openmetrics),
        ):
            assert [(f.name, f.type, f.documentation, f.unit) for f in parse(ours)] == [
                (f.name, f.type, f.documentation, f.unit) for f in parse(theirs.decode())
            ]

    def test_sample_count(self, metrics: "Metrics") -> None:
        """The number of samples is known without rendering."""
        record_everything()
        lines = [line for line in rendered(openmetrics=False).splitlines() if not line.startswith("#")]
        assert sample_count(rows()) == len(lines)

    def test_histograms_are_cumulative(self, metrics: "Metrics") -> None:
        """Buckets never fall, end in +Inf, and the count is the last of them."""
        for seconds in (0.01, 0.3, 0.3, 7.0, 1000.0):
            track_llm_call(model="gpt-4", duration=seconds)
        parsed = samples(parse_text(rendered(openmetrics=False)))
        of = {dict(labels).get("le"): value for (name, labels), value in parsed.items() if "call_duration" in name}
        buckets = [value for bound, value in of.items() if bound]
        assert buckets == sorted(buckets)
        assert (of["0.25"], of["0.5"], of["10.0"], of["320.0"], of["+Inf"]) == (1, 3, 4, 4, 5)
        assert parsed["genai_llm_call_duration_seconds_count", _llm("gpt-4", "success", "default", "unknown")] == 5

    @pytest.mark.parametrize("value", [0.1 + 0.2, 1e16, 1e-300, 123456789.125, 2.0**53])
    def test_values_are_exact(self, metrics: "Metrics", value: float) -> None:
        """A double comes back as it was."""
        runtime.recorder().block(BLOCK_KINDS[0], ("m",) * 5).add(0, value)
        for text, parse in (
            (rendered(openmetrics=False), parse_text),
            (rendered(openmetrics=True), parse_openmetrics),
        ):
            assert value in samples(parse(text)).values()


def _llm(model: str, outcome: str, mode: str = "rag", provider: str = "acme") -> frozenset[tuple[str, str]]:
    labels = {"service": "tests", "mode": mode, "provider": provider, "model": model, "operation": "chat"}
    return frozenset((labels | {"outcome": outcome}).items())


class TestReaders:
    """What reads the exposition."""

    @pytest.mark.parametrize("way", ["renderer", "collector"])
    def test_promtool(self, metrics: "Metrics", way: str) -> None:
        """Prometheus's own checker finds nothing to criticise."""
        record_everything()
        text = rendered(openmetrics=False).encode() if way == "renderer" else generate_latest(metrics.registry)
        checked = subprocess.run([str(require("promtool")), "check", "metrics"], input=text, capture_output=True)
        assert (checked.stdout, checked.stderr, checked.returncode) == (b"", b"", 0)

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.text(st.characters(exclude_categories=())), min_size=3, max_size=3), st.text())
    def test_any_label_text(self, metrics: "Metrics", texts: list[str], service: str) -> None:
        """Whatever a user passes for a label, both parsers read what the recorder made of it."""
        metrics.restart()
        metrics.configure(service_name=service or "s")
        track_llm_fallback(from_model=texts[0], to_model=texts[1], reason=texts[2])
        (block,) = [b for b in runtime.recorder().blocks() if b.kind.name == "llm_fallback"]
        labels = dict(zip(("from_model", "to_model", "reason"), block.key, strict=True))
        expected = frozenset((labels | {"service": runtime.recorder().service}).items())
        for parsed in (
            samples(parse_text(rendered(openmetrics=False))),
            samples(parse_openmetrics(rendered(openmetrics=True))),
            samples(parse_text(generate_latest(metrics.registry).decode())),
        ):
            assert parsed["genai_llm_fallbacks_total", expected] == 1


class TestCollector:
    """The collector as prometheus_client sees it."""

    def test_name_filter(self, metrics: "Metrics") -> None:
        """``name[]`` picks families: each name brings itself and nothing else."""
        record_everything()
        for name in ("genai_llm_calls_total", "genai_llm_call_duration_seconds_bucket", "genai_llm_calls_in_flight"):
            text = generate_latest(metrics.registry.restricted_registry([name])).decode()
            assert {line.partition("{")[0] for line in text.splitlines() if not line.startswith("#")} == {name}

    def test_duplicates_are_refused(self, metrics: "Metrics") -> None:
        """A second collector of ours on the same registry would double every series."""
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            metrics.registry.register(BlockCollector(runtime.existing_recorder))

    def test_nothing_recorded(self) -> None:
        """Before the first record there is a collector, but no family."""
        registry = CollectorRegistry()
        registry.register(BlockCollector(lambda: None))
        assert generate_latest(registry) == b""


class TestChunks:
    """What the renderer yields."""

    def test_chunks_are_small_and_whole(self, metrics: "Metrics") -> None:
        """Lines are never cut, and no chunk holds many more than CHUNK_LINES."""
        metrics.configure(label_caps={"tenant": 3000})
        for i in range(2000):
            track_llm_call(model="gpt-4", tenant=f"t{i}")
        chunks = list(render(rows(), openmetrics=False))
        assert all(chunk.endswith(b"\n") for chunk in chunks)
        assert max(chunk.count(b"\n") for chunk in chunks) <= CHUNK_LINES
        assert len(chunks) > 2000 * 5 / CHUNK_LINES

    def test_rows_are_rendered_once(self, metrics: "Metrics") -> None:
        """Each family has one head, also when several kinds of blocks make it, and each row is there once."""
        record_everything()
        heads = [line for line in rendered(openmetrics=False).splitlines() if line.startswith("# TYPE")]
        assert len(heads) == len(set(heads)) == sum(len(kinds[0].metrics) for kinds in families())

    def test_kinds_without_rows_are_absent(self) -> None:
        """Unknown is not empty: no head without samples."""
        assert list(render({}, openmetrics=False)) == []
        assert list(render({BLOCK_KINDS[0]: []}, openmetrics=True)) == []
