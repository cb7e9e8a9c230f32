"""What the exporter adds up: one total per service, block kind and label tuple, over all files.

Imports genai_metrics. Pure bookkeeping in memory: no files, no clock.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import TypeAlias

from genai_metrics.blockfile import decode_key, encode_key
from genai_metrics.catalog import OVERFLOW, BlockKind, MetricSpec
from genai_metrics.exemplars import OfBlock, newest
from genai_metrics.exposition import label_text

TotalKey = tuple[str, str, bytes]
"""Service, name of the block kind, key as in a block file (after the exporter's caps)."""

Values: TypeAlias = "array[float]"
"""A block's doubles. Not a list: one of these is one allocation that the garbage collector need not look at."""


class Total:
    """The sum of blocks of equal key."""

    __slots__ = ("_parts", "_round", "key", "kind", "labels", "service", "shown")

    def __init__(self, kind: BlockKind, service: str, key: bytes) -> None:
        self.kind = kind
        self.service = service
        self.key = key
        self.labels = label_text(service, kind.labels, decode_key(key))
        self.shown = False
        self._parts = [array("d", bytes(8 * kind.slots))]
        self._round = -1

    @property
    def name(self) -> TotalKey:
        """What tells this total from all others."""
        return self.service, self.kind.name, self.key

    def add(self, values: Values, round_: int) -> None:
        """Add a block's values; the first block of a round replaces what the last round left."""
        if self._round != round_:
            self._round = round_
            self._parts = [values]
        else:
            self._parts.append(values)

    def values(self) -> Sequence[float]:
        """Return what the last round added up to; never changed afterwards: a rendering may hold it."""
        if len(self._parts) == 1:
            return self._parts[0]
        if self.kind.merge == "live_latest":
            return max(self._parts, key=lambda values: values[-1])
        if self.kind.merge == "live_max":
            return list(map(max, zip(*self._parts, strict=True)))
        # fsum rounds once, from the exact sum. Added one by one, the last bit would depend on the order of files and on
        # which are folded: a counter at rest would fall by that bit, and Prometheus would take it for a reset.
        return list(map(fsum, zip(*self._parts, strict=True)))

    def was_added_in(self, round_: int) -> bool:
        """Whether any block was added in that round: a gauge without one has no living process and is absent."""
        return self._round == round_


MOST_MERGED_VALUES = 10_000
"""How many merged values of a label are told apart, to be counted; beyond, memory would grow with every new one."""


def exact_sum(parts: Sequence[Values]) -> list[Values]:
    """Return few vectors with exactly the sum of ``parts``: the rounded sum, what that left out, and so on.

    Values are finite and, in sum, below the largest double.
    """
    if len(parts) == 1:
        return list(parts)
    columns = [list(column) for column in zip(*parts, strict=True)]
    vectors = [array("d", map(fsum, columns))]
    while True:
        for column, value in zip(columns, vectors[-1], strict=True):
            column.append(-value)
        rest = array("d", map(fsum, columns))
        if not any(rest):
            return vectors
        vectors.append(rest)


class Totals:
    """All totals, and the caps on label values over all processes of a service.

    Each process keeps the caps for itself; the union of what several admitted may still be too large, so they are kept
    here once more, in the order in which values are first seen. ``restore`` repeats the order of an earlier run.
    """

    def __init__(self, label_caps: Mapping[str, int]) -> None:
        self._caps = label_caps
        self._admitted: dict[tuple[str, str], set[str]] = {}
        self._refused: dict[tuple[str, str], set[str]] = {}
        self._by_name: dict[TotalKey, Total] = {}
        self._in_order: dict[BlockKind, list[Total]] = {}
        self._new: list[Total] = []
        self._exemplars: dict[MetricSpec, dict[str, OfBlock]] = {}

    def find(self, kind: BlockKind, service: str, key: bytes) -> Total | None:
        """Return the total for a block's key, made if new; ``None`` when the key does not fit the kind's labels."""
        total = self._by_name.get((service, kind.name, key))
        if total is None:
            values = decode_key(key)
            if len(values) != len(kind.labels):
                return None
            key = encode_key(tuple(self._admit(service, *pair) for pair in zip(kind.labels, values, strict=True)))
            total = self._by_name.get((service, kind.name, key))
            if total is None:
                total = self._by_name[service, kind.name, key] = Total(kind, service, key)
                self._new.append(total)
        return total

    def take_new(self) -> list[Total]:
        """Return the totals made since the last call."""
        new, self._new = self._new, []
        for total in new:
            self._in_order.setdefault(total.kind, []).append(total)
        # By label text, so that the output is the same whatever the order of files.
        for kind in {total.kind for total in new}:
            self._in_order[kind].sort(key=lambda total: total.labels)
        return new

    def by_kind(self) -> Iterator[tuple[BlockKind, list[Total]]]:
        """Yield each kind with its totals in order of their labels."""
        yield from self._in_order.items()

    def note_exemplars(self, total: Total, metric: MetricSpec, found: OfBlock) -> None:
        """Take over exemplars of a histogram of ``total``, each if it is newer than the one there; kept until the end.

        Also of ended processes: a job that is over before the next scrape has a trace all the same.
        """
        of_metric = self._exemplars.setdefault(metric, {})
        of_metric[total.labels] = newest(of_metric.get(total.labels, {}), found)

    def exemplars(self) -> dict[MetricSpec, dict[str, OfBlock]]:
        """Return the newest exemplars by histogram and labels of the total; never changed afterwards."""
        return {metric: dict(of_metric) for metric, of_metric in self._exemplars.items()}

    def merged_values(self) -> dict[tuple[str, str], int]:
        """Return, by service and label, how many distinct values (10 000 at most) were merged into ``__other__``."""
        return {name: len(values) for name, values in self._refused.items()}

    def _admit(self, service: str, label: str, value: str) -> str:
        cap = self._caps.get(label)
        if cap is None or value == OVERFLOW:
            return value
        admitted = self._admitted.setdefault((service, label), set())
        if value in admitted or len(admitted) < cap:
            admitted.add(value)
            return value
        refused = self._refused.setdefault((service, label), set())
        if len(refused) < MOST_MERGED_VALUES:
            refused.add(value)
        return OVERFLOW
