"""Writes blocks of Prometheus's storage itself: a week of samples every 15 s is some billions of them.

``promtool tsdb create-blocks-from openmetrics`` takes an hour for each billion. Here samples are encoded once for each
*course* that values may take, and every series that takes it gets a copy. What comes out is what Prometheus writes:
chunks of 120 samples, an index, a meta file (prometheus/tsdb/docs/format).
"""

import json
import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import google_crc32c

Labels = tuple[tuple[str, str], ...]
"""Labels of a series, the name among them as ``__name__``, sorted."""

CHUNK_SAMPLES = 120
_SEGMENT_BYTES = 512 * 2**20  # of a file of chunks, as Prometheus has them
_ULID = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Bits:
    """A row of bits, the first one highest."""

    def __init__(self) -> None:
        self._value, self._length = 0, 0

    def add(self, value: int, length: int) -> None:
        """Append the lowest bits of a number."""
        self._value = self._value << length | value & (1 << length) - 1
        self._length += length

    def add_bytes(self, data: bytes) -> None:
        """Append whole bytes."""
        self.add(int.from_bytes(data), 8 * len(data))

    def padded(self) -> bytes:
        """The bits, filled up with zeros to whole bytes."""
        rest = -self._length % 8
        return (self._value << rest).to_bytes((self._length + rest) // 8)


def uvarint(number: int) -> bytes:
    """A number >= 0 in as few bytes as it needs, as Go's ``binary.PutUvarint``."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def varint(number: int) -> bytes:
    """A number of either sign, likewise."""
    return uvarint(2 * number if number >= 0 else -2 * number - 1)


def encoded(values: Sequence[float], start: int, step: int) -> bytes:
    """Samples ``step`` milliseconds apart from ``start`` on as an XOR chunk: at least two, at most 65 535."""
    bits = _Bits()
    bits.add(len(values), 16)
    before = leading = trailing = 0
    for number, value in enumerate(values):
        word = int.from_bytes(struct.pack(">d", value))
        if number == 0:
            bits.add_bytes(varint(start))
            bits.add(word, 64)
            before, leading = word, -1
            continue
        if number == 1:
            bits.add_bytes(uvarint(step))
        else:
            bits.add(0, 1)  # as long after the last one as that after the one before
        changed, before = word ^ before, word
        if not changed:
            bits.add(0, 1)
            continue
        zeros, last = min(64 - changed.bit_length(), 31), (changed & -changed).bit_length() - 1
        if 0 <= leading <= zeros and last >= trailing:
            bits.add(0b10, 2)
        else:
            leading, trailing = zeros, last
            bits.add(0b11, 2)
            bits.add(leading, 5)
            bits.add(64 - leading - trailing, 6)  # 64 as 0
        bits.add(changed >> trailing, 64 - leading - trailing)
    return bits.padded()


@dataclass(frozen=True)
class Run:
    """The chunks of one course over one block: as bytes of a file, and as entries of the index behind the first one."""

    data: bytes
    chunks: int
    samples: int
    span: bytes
    entries: bytes

    @classmethod
    def of(cls, values: Sequence[float], start: int, step: int) -> "Run":
        """Encode samples; ``start`` and ``step`` in milliseconds."""
        data = bytearray()
        span, entries, place = b"", bytearray(), 0
        for first in range(0, len(values), CHUNK_SAMPLES):
            part = values[first : first + CHUNK_SAMPLES]
            body = b"\x01" + encoded(part, start + first * step, step)
            here = len(data)
            data += uvarint(len(body) - 1) + body + struct.pack(">I", google_crc32c.value(body))
            length = uvarint((len(part) - 1) * step)
            if first == 0:
                span = varint(start) + length
            else:
                entries += uvarint(step) + length + varint(here - place)
            place = here
        chunks = -(-len(values) // CHUNK_SAMPLES)
        return cls(bytes(data), chunks, len(values), span, bytes(entries))


@dataclass(frozen=True)
class Written:
    """What a block holds."""

    series: int
    samples: int
    bytes: int


class Chunks:
    """The files of chunks of one block."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder, self._number, self._place = folder, 0, _SEGMENT_BYTES
        self._file: BufferedWriter | None = None
        self.size = 0

    def add(self, run: Run) -> int:
        """Write a run; returns the reference of its first chunk."""
        if self._file is None or self._place + len(run.data) > _SEGMENT_BYTES:
            self.close()
            self._number += 1
            self._file = (self._folder / f"{self._number:06}").open("wb")
            self._file.write(struct.pack(">IB3x", 0x85BD40DD, 1))
            self._place = 8
        place = self._place
        self._file.write(run.data)
        self._place += len(run.data)
        self.size += len(run.data)
        return (self._number - 1) << 32 | place

    def close(self) -> None:
        """Write what is left."""
        if self._file is not None:
            self._file.close()


def write(
    folder: Path, number: int, series: Iterable[tuple[Labels, Run]], times: tuple[int, int], copies: int
) -> Written:
    """Write a block into ``folder``.

    ``series`` are sorted by labels; their samples lie from the first of ``times`` to before the second, in ms.
    ``number`` tells blocks apart. Of each run at most ``copies`` are written, which its series share in turn: as many
    as a processor's cache cannot hold, and no more than a disk can.
    """
    ulid = "".join(_ULID[number >> shift & 31] for shift in range(125, -1, -5))
    block = folder / ulid
    chunks = Chunks(block / "chunks")
    places: defaultdict[int, list[int]] = defaultdict(list)
    taken: defaultdict[int, int] = defaultdict(int)
    rows: list[tuple[Labels, Run, int]] = []
    for labels, run in series:
        key = id(run)
        if len(places[key]) < copies:
            places[key].append(chunks.add(run))
        rows.append((labels, run, places[key][taken[key] % copies]))
        taken[key] += 1
    chunks.close()
    with (block / "index").open("wb") as file:
        _write_index(file, rows)
        size = file.tell()
    samples = sum(run.samples for _, run, _ in rows)
    meta = {
        "ulid": ulid,
        "minTime": times[0],
        "maxTime": times[1],
        "stats": {
            "numSamples": samples,
            "numSeries": len(rows),
            "numChunks": sum(run.chunks for _, run, _ in rows),
        },
        "compaction": {"level": 1, "sources": [ulid]},
        "version": 1,
    }
    (block / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    return Written(len(rows), samples, chunks.size + size)


def _checked(body: bytes) -> bytes:
    """A section of the index: its length, itself, its checksum."""
    return struct.pack(">I", len(body)) + body + struct.pack(">I", google_crc32c.value(body))


def _write_index(file: BufferedWriter, rows: Sequence[tuple[Labels, Run, int]]) -> None:
    symbols = sorted({text.encode() for labels, _, _ in rows for pair in labels for text in pair} | {b""})
    numbers = {text.decode(): uvarint(number) for number, text in enumerate(symbols)}
    file.write(struct.pack(">IB", 0xBAAAD700, 2))
    toc = [file.tell()]
    file.write(_checked(struct.pack(">I", len(symbols)) + b"".join(uvarint(len(text)) + text for text in symbols)))

    postings: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    toc.append(_align(file, 16))
    for labels, run, reference in rows:
        here = _align(file, 16) // 16
        postings["", ""].append(here)
        for pair in labels:
            postings[pair].append(here)
        body = b"".join(
            (
                uvarint(len(labels)),
                *(numbers[text] for pair in labels for text in pair),
                uvarint(run.chunks),
                run.span,
                uvarint(reference),
                run.entries,
            )
        )
        file.write(uvarint(len(body)) + body + struct.pack(">I", google_crc32c.value(body)))

    toc += [0, 0]  # indices of labels: no reader asks for them any more
    toc.append(_align(file, 4))
    table = bytearray(struct.pack(">I", len(postings)))
    for name, value in sorted(postings, key=lambda pair: (pair[0].encode(), pair[1].encode())):
        place = _align(file, 4)
        found = postings[name, value]
        file.write(_checked(struct.pack(f">{len(found) + 1}I", len(found), *found)))
        texts = name.encode(), value.encode()
        table += b"\x02" + b"".join(uvarint(len(text)) + text for text in texts) + uvarint(place)
    toc.append(_align(file, 4))
    file.write(_checked(bytes(table)))
    body = struct.pack(">6Q", *toc)
    file.write(body + struct.pack(">I", google_crc32c.value(body)))


def _align(file: BufferedWriter, size: int) -> int:
    """Fill up to a multiple of ``size``; returns the place that is reached."""
    file.write(b"\0" * (-file.tell() % size))
    return file.tell()
