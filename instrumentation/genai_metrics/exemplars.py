"""Exemplars: one observation of a histogram's bucket, with the trace that it belongs to; and how they lie in blocks.

An exemplar takes eight doubles: value, Unix time in seconds, the trace id in three parts of 43 bits and the span id in
two of 32, which doubles hold exactly, and last the CRC-32 of those seven. They are not written in one step for readers
in other processes: a reader that comes in between, or after a writer that was killed in between, finds a checksum that
is wrong and leaves the exemplar out. It never shows a mixture. Imports the catalogue only.
"""

import math
import struct
import zlib
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from genai_metrics.blocks import Values
from genai_metrics.catalog import ExemplarKind

_FIELDS = struct.Struct("=7d")
_CHECKSUM = struct.Struct("=d")
_TRACE_PART = 1 << 43
_SPAN_PART = 1 << 32
_LATEST = 1e11  # Unix seconds; what is later would overflow Prometheus's milliseconds, and cost the whole scrape
_MOST_TRACE_ID = 1 << 128
_MOST_SPAN_ID = 1 << 64


class Exemplar(NamedTuple):
    """One observation: Unix ``time`` in seconds, ``value`` in the histogram's unit, ids as OpenTelemetry has them."""

    time: float
    value: float
    trace_id: int
    span_id: int

    @property
    def labels(self) -> dict[str, str]:
        """The ids in hexadecimal: 63 characters with their names, of the 128 that OpenMetrics allows."""
        return {"trace_id": f"{self.trace_id:032x}", "span_id": f"{self.span_id:016x}"}

    @property
    def text(self) -> str:
        """What OpenMetrics has after the value of a bucket."""
        labels = f'trace_id="{self.trace_id:032x}",span_id="{self.span_id:016x}"'
        return f" # {{{labels}}} {self.value!r} {self.time:.3f}"


OfBlock = Mapping[int, Exemplar]
"""Exemplars of one histogram under one label tuple, by the index of their bucket."""


def packed(exemplar: Exemplar) -> "Values | None":
    """Return an exemplar's doubles; ``None`` when an id is not what W3C's trace context allows."""
    time, value, trace_id, span_id = exemplar
    if not (0 < trace_id < _MOST_TRACE_ID and 0 < span_id < _MOST_SPAN_ID):
        return None
    fields = _FIELDS.pack(
        value,
        time,
        trace_id >> 86,
        trace_id >> 43 & _TRACE_PART - 1,
        trace_id & _TRACE_PART - 1,
        span_id >> 32,
        span_id & _SPAN_PART - 1,
    )
    return memoryview(fields + _CHECKSUM.pack(zlib.crc32(fields))).cast("d")


def unpacked(kind: ExemplarKind, values: Sequence[float]) -> dict[int, Exemplar]:
    """Return the exemplars in a block's values by bucket; what is unused, half-written or impossible is left out."""
    found = {}
    for bucket, place in enumerate(kind.places):
        checksum = values[place.stop - 1]
        if not checksum:
            continue
        fields = values[place.start : place.stop - 1]
        if checksum != zlib.crc32(_FIELDS.pack(*fields)):
            continue
        value, time, high, middle, low, span_high, span_low = fields
        # Only a damaged or foreign file can fail these. Negated, so that NaN fails them too.
        if not (0 <= high < _TRACE_PART / 2 and 0 <= middle < _TRACE_PART and 0 <= low < _TRACE_PART):
            continue
        if not (0 <= span_high < _SPAN_PART and 0 <= span_low < _SPAN_PART and 0 < time < _LATEST):
            continue
        if not 0 <= value < math.inf or bisect_left(kind.bounds, value) != bucket:
            continue
        trace_id = int(high) << 86 | int(middle) << 43 | int(low)
        found[bucket] = Exemplar(time, value, trace_id, int(span_high) << 32 | int(span_low))
    return found


def newest(one: OfBlock, other: OfBlock) -> OfBlock:
    """Return of each bucket the exemplar that was recorded last; of equally old ones always the same."""
    merged = dict(one)
    for bucket, exemplar in other.items():
        merged[bucket] = max(exemplar, merged.get(bucket, exemplar))
    return merged
