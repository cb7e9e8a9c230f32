"""What the catalogue is made of: metrics, and the block kinds that hold their values.

The arithmetic of slots; imports the standard library only. A *block kind* is the set of metrics that one call updates
under one label tuple; its values are one contiguous run of doubles, laid out in the order in which its metrics are
listed. Renaming a metric, or changing the order, labels or buckets of a kind changes its
``layout_id``: readers do not accept blocks of a layout that they do not know, so old files are never misread.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

MetricType = Literal["counter", "gauge", "histogram"]
Merge = Literal["sum", "live_sum", "live_max", "live_latest", "newest"]

OVERFLOW = "__other__"
"""Label value that stands for all values that came after a label's cap was reached."""

SERVICE_LABEL = "service"
"""Label that every application metric carries in addition to those of its spec."""


# eq=False: there is one object of each, and hashing all fields of a kind takes microseconds in loops over blocks.
@dataclass(frozen=True, eq=False)
class MetricSpec:
    """One metric family as it is exposed; compared by identity.

    ``labels`` are those of the block's key; ``split`` adds one label whose values are a fixed list, one slot each.
    ``buckets`` are the finite upper bounds in the metric's base unit, ascending; ``+Inf`` is implied.
    ``source`` names where the definition comes from (a convention, a system call, our own reasoning).
    """

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    split: tuple[str, tuple[str, ...]] | None = None
    buckets: tuple[float, ...] = ()
    source: str = "own"

    @property
    def family(self) -> str:
        """Name as OpenMetrics writes it in TYPE and HELP lines: a counter's without ``_total``."""
        return self.name.removesuffix("_total") if self.type == "counter" else self.name

    @property
    def unit(self) -> str:
        """Base unit that the name ends in (``seconds``, ``bytes``, ``ratio``), or an empty string."""
        last = self.family.rpartition("_")[2]
        return last if last in ("seconds", "bytes", "ratio") else ""

    @property
    def slots(self) -> int:
        """Number of doubles that the metric takes in a block (a histogram: one a bucket, +Inf, and the sum)."""
        if self.type == "histogram":
            return len(self.buckets) + 2
        return len(self.split[1]) if self.split else 1

    @property
    def label_names(self) -> tuple[str, ...]:
        """All labels of the exposed series but ``service`` and ``le``."""
        return self.labels + ((self.split[0],) if self.split else ())


@dataclass(frozen=True, eq=False)
class BlockKind:
    """Metrics that share one label tuple and are updated by one call; compared by identity.

    ``merge`` says how blocks of equal key from several processes become one: ``sum`` over all files, dead or alive
    (counters and histograms); ``live_sum`` over files of living processes only, ``live_max`` the largest of them
    (gauges); ``live_latest``: what a living process said last (gauges), for which a block ends with the Unix time of
    its last change; ``newest``: see ``ExemplarKind``.
    """

    name: str
    metrics: tuple[MetricSpec, ...]
    merge: Merge = "sum"

    def __post_init__(self) -> None:
        """Refuse a kind whose metrics do not share their labels."""
        if len({metric.labels for metric in self.metrics}) != 1:
            raise ValueError(f"block kind {self.name}: its metrics must have equal labels")

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names of the key, in key order."""
        return self.metrics[0].labels

    @cached_property
    def slots(self) -> int:
        """Number of doubles in a block of this kind."""
        return sum(metric.slots for metric in self.metrics) + (self.merge == "live_latest")

    @cached_property
    def layout_id(self) -> int:
        """CRC-32 of everything that a reader must agree on to read a block of this kind."""
        shape = [(m.name, m.type, m.labels, m.split, m.buckets) for m in self.metrics]
        return zlib.crc32(repr((self.name, self.merge, shape)).encode())

    def layout(self) -> Iterator[tuple[MetricSpec, int]]:
        """Yield each metric with the index of its first slot."""
        offset = 0
        for metric in self.metrics:
            yield metric, offset
            offset += metric.slots

    def offset(self, name: str) -> int:
        """Index of the first slot of the metric called ``name``; ``KeyError`` when the kind has none such."""
        return {metric.name: offset for metric, offset in self.layout()}[name]


EXEMPLAR_SLOTS = 8
"""Doubles of one exemplar; see ``genai_metrics.exemplars`` for what they are."""


@dataclass(frozen=True, eq=False)
class ExemplarKind(BlockKind):
    """Blocks with the exemplars of one histogram of another kind, ``of``: one for each bucket, +Inf included.

    Such a block has the key of the block whose observations it is about. It counts nothing: it makes no series of its
    own, is neither added up nor archived, and of several processes' exemplars the newest is shown.
    """

    of: BlockKind = field(kw_only=True)

    @cached_property
    def bounds(self) -> tuple[float, ...]:
        """Finite upper bounds of the histogram's buckets."""
        return self.metrics[0].buckets

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where in a block the exemplar of each bucket lies."""
        return tuple(
            slice(EXEMPLAR_SLOTS * i, EXEMPLAR_SLOTS * (i + 1)) for i in range(len(self.metrics[0].buckets) + 1)
        )

    @cached_property
    def slots(self) -> int:
        """Number of doubles in a block of this kind."""
        return EXEMPLAR_SLOTS * len(self.places)


def exemplars_of(kind: BlockKind, histogram: str) -> ExemplarKind:
    """Return the kind for exemplars of a histogram of ``kind``, by the histogram's name."""
    metric = next(metric for metric in kind.metrics if metric.name == histogram)
    return ExemplarKind(f"{kind.name}_exemplars", (metric,), "newest", of=kind)
