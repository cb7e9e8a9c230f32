"""Tests that the catalogue keeps Prometheus's rules and our own."""

import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from genai_metrics import catalog
from genai_metrics.catalog import (
    BLOCK_KINDS,
    DEFAULT_LABEL_CAPS,
    EXPORTER_METRICS,
    FAULT_REASONS,
    GPU_METRICS,
    HOST_METRICS,
    BlockKind,
    MetricSpec,
)

METRICS = list(
    dict.fromkeys(
        [metric for kind in BLOCK_KINDS for metric in kind.metrics] + [*EXPORTER_METRICS, *HOST_METRICS, *GPU_METRICS]
    )
)
NAMES = [metric.name for metric in METRICS]
# Set by Prometheus, by us beside the labels of a metric, or by neither because nobody may.
TAKEN_LABELS = {"service", "le", "quantile", "job", "instance", "type"}


@pytest.mark.parametrize("metric", METRICS, ids=NAMES)
class TestMetric:
    """One metric family."""

    def test_name(self, metric: MetricSpec) -> None:
        """Names begin with genai_, are in base units, and say what they count."""
        assert re.fullmatch(r"genai_[a-z][a-z0-9_]*[a-z]", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert (
            not metric.name.endswith(("_count", "_sum", "_bucket", "_created", "_info"))
            or metric.name == "genai_build_info"
        )
        assert not re.search(
            r"_(milliseconds|ms|minutes|percent|kb|mb|kilobytes|megabytes|celsius_f)(_|$)", metric.name
        )

    def test_help(self, metric: MetricSpec) -> None:
        """Help is a sentence on one line."""
        assert metric.help.endswith(".")
        assert "\n" not in metric.help
        assert 15 < len(metric.help) < 400

    def test_labels(self, metric: MetricSpec) -> None:
        """Labels are plain names, no two alike, none of them taken."""
        assert len(set(metric.label_names)) == len(metric.label_names)
        for label in metric.label_names:
            assert re.fullmatch(r"[a-z][a-z_]*[a-z]", label)
            # The exporter speaks of services, too; an application's series get theirs from the renderer.
            assert label not in TAKEN_LABELS - ({"service"} if metric in EXPORTER_METRICS else set())
            assert not label.startswith("__")
        if metric.split:
            assert len(set(metric.split[1])) == len(metric.split[1]) > 1

    def test_buckets(self, metric: MetricSpec) -> None:
        """Histograms, and nothing else, have finite ascending bounds."""
        assert bool(metric.buckets) == (metric.type == "histogram")
        assert all(math.isfinite(bound) and type(bound) is float for bound in metric.buckets)
        assert list(metric.buckets) == sorted(set(metric.buckets))

    def test_unit(self, metric: MetricSpec) -> None:
        """OpenMetrics wants the name of a family to end in its unit."""
        assert not metric.unit or metric.family.endswith(f"_{metric.unit}")


class TestKinds:
    """Block kinds, and the catalogue as a whole."""

    def test_names_are_unique(self) -> None:
        """No two families share a name, in either format, nor two kinds."""
        assert [name for name, times in Counter(NAMES).items() if times > 1] == []
        assert [name for name, times in Counter(m.family for m in METRICS).items() if times > 1] == []
        assert len({kind.name for kind in BLOCK_KINDS}) == len(BLOCK_KINDS)

    def test_samples_are_unique(self) -> None:
        """No family is called like a sample of another."""
        samples = Counter(NAMES)
        for metric in METRICS:
            if metric.type == "histogram":
                samples.update(f"{metric.name}{suffix}" for suffix in ("_bucket", "_count", "_sum"))
        assert [name for name, times in samples.items() if times > 1] == []

    def test_layouts_are_unique(self) -> None:
        """A reader tells the kinds apart by their layout."""
        assert len({kind.layout_id for kind in BLOCK_KINDS}) == len(BLOCK_KINDS)

    def test_counters_and_histograms_outlive_their_process(self) -> None:
        """Gauges, and nothing else, are of living processes only."""
        for kind in BLOCK_KINDS:
            assert {metric.type == "gauge" for metric in kind.metrics} == {kind.merge != "sum"}, kind.name

    def test_every_label_is_bounded(self) -> None:
        """Each label of a key has a cap, and no cap is for a label that does not exist."""
        labels = {label for kind in BLOCK_KINDS for label in kind.labels}
        assert labels == set(DEFAULT_LABEL_CAPS)
        assert all(cap >= 1 for cap in DEFAULT_LABEL_CAPS.values())

    def test_caps_hold_what_is_known(self) -> None:
        """No cap is too small for the values that we make ourselves."""
        assert len(FAULT_REASONS) <= DEFAULT_LABEL_CAPS["reason"]
        assert len(DEFAULT_LABEL_CAPS) <= DEFAULT_LABEL_CAPS["label"]

    def test_exported(self) -> None:
        """All kinds are reachable by name."""
        assert {id(kind) for kind in BLOCK_KINDS} <= {id(getattr(catalog, name)) for name in catalog.__all__}
        assert all(hasattr(catalog, name) for name in catalog.__all__)


class TestLayout:
    """Where a kind's values lie."""

    HISTOGRAM = MetricSpec("genai_h_seconds", "histogram", "H.", ("a",), buckets=(0.1, 1.0))
    SPLIT = MetricSpec("genai_s_total", "counter", "S.", ("a",), split=("part", ("x", "y", "z")))
    PLAIN = MetricSpec("genai_p_total", "counter", "P.", ("a",))
    KIND = BlockKind("k", (HISTOGRAM, SPLIT, PLAIN))

    def test_slots(self) -> None:
        """A histogram takes a slot a bucket, +Inf and the sum; a split one a value."""
        assert [metric.slots for metric in self.KIND.metrics] == [4, 3, 1]
        assert self.KIND.slots == 8
        assert [(metric.name, offset) for metric, offset in self.KIND.layout()] == [
            ("genai_h_seconds", 0),
            ("genai_s_total", 4),
            ("genai_p_total", 7),
        ]
        assert self.KIND.offset("genai_p_total") == 7
        with pytest.raises(KeyError):
            self.KIND.offset("genai_other_total")

    @pytest.mark.parametrize(
        "other",
        [
            BlockKind("l", KIND.metrics),
            BlockKind("k", (SPLIT, HISTOGRAM, PLAIN)),
            BlockKind("k", (HISTOGRAM, SPLIT)),
            BlockKind("k", (replace(HISTOGRAM, buckets=(0.1, 2.0)), SPLIT, PLAIN)),
            BlockKind("k", (HISTOGRAM, replace(SPLIT, split=("part", ("x", "z", "y"))), PLAIN)),
            BlockKind("k", (HISTOGRAM, SPLIT, replace(PLAIN, name="genai_q_total"))),
            BlockKind("k", (HISTOGRAM, SPLIT, replace(PLAIN, type="gauge"))),
            BlockKind("k", tuple(replace(metric, labels=("b",)) for metric in KIND.metrics)),
            BlockKind("k", KIND.metrics, merge="live_sum"),
        ],
    )
    def test_any_change_is_another_layout(self, other: BlockKind) -> None:
        """What would be misread has another layout id."""
        assert other.layout_id != self.KIND.layout_id

    def test_texts_are_not_part_of_it(self) -> None:
        """Help and source may be reworded without making old files unreadable."""
        reworded = BlockKind("k", tuple(replace(metric, help="Other.", source="x") for metric in self.KIND.metrics))
        assert reworded.layout_id == self.KIND.layout_id

    def test_metrics_of_a_kind_share_their_labels(self) -> None:
        """A kind has one key."""
        with pytest.raises(ValueError, match="block kind bad"):
            BlockKind("bad", (self.PLAIN, replace(self.PLAIN, labels=("b",))))
