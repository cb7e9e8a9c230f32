"""Tests of the block file: its format, and the writer's side of it."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_metrics import blockfile, track_llm_call
from genai_metrics.blockfile import (
    MAX_FILE_BYTES,
    RESERVE_BYTES,
    BlockFileError,
    BlockFileWriter,
    decode_key,
    encode_key,
    header_size,
    pack_block,
    pack_header,
    parse_blocks,
    parse_header,
)
from genai_metrics.catalog import LLM_CALL, LLM_FALLBACK, LLM_STREAM

if TYPE_CHECKING:
    from conftest import Metrics

LABEL = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


def header(**changes: Any) -> bytes:
    """Return the header of an empty file of the service ``svc``."""
    size = header_size("svc")
    fields: dict[str, Any] = {"used": size, "size": size, "pid": 7, "start_time": 1.5, "token": b"t" * 16}
    return pack_header(**{**fields, "service": "svc", **changes})


class TestFormat:
    """What is written is read, and what was not written so is refused."""

    @given(LABEL)
    def test_header(self, service: str) -> None:
        """Every field comes back, for any service name."""
        size = header_size(service)
        data = pack_header(used=size + 8, size=size, pid=3, start_time=2.5, token=b"0123456789abcdef", service=service)
        assert size % 8 == 0
        parsed = parse_header(data)
        assert (parsed.used, parsed.size, parsed.pid, parsed.start_time) == (size + 8, size, 3, 2.5)
        assert (parsed.token, parsed.service) == (b"0123456789abcdef", service)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "only 0 bytes long"),
            (header()[:40], "only 40 bytes long"),
            (b"GENAIBLX" + header()[8:], "wrong magic"),
            (header()[:8] + b"\2\0\0\0" + header()[12:], "format version 2, this reader knows 1"),
            (header(used=8), "contradict"),
            (header(size=header_size("svc") + 8), "contradict"),
            (header()[:-8], "contradict"),
            (header()[:64] + b"\xff\xff\xff" + header()[67:], "not UTF-8"),
        ],
    )
    def test_bad_header(self, data: bytes, message: str) -> None:
        """The error says what is wrong."""
        with pytest.raises(BlockFileError, match=message):
            parse_header(data)

    @given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.lists(LABEL, min_size=1), st.integers(0, 50))))
    def test_blocks(self, blocks: list[tuple[int, list[str], int]]) -> None:
        """Layout, key and place of every block come back; doubles are aligned."""
        data = b"".join(pack_block(i, encode_key(tuple(key)), n) + b"\1" * 8 * n for i, key, n in blocks)
        found = list(parse_blocks(data, 0, len(data)))
        assert [(b.layout_id, list(decode_key(b.key)), b.slots) for b in found] == blocks
        assert all(b.offset % 8 == 0 and data[b.offset : b.offset + 8 * b.slots] == b"\1" * 8 * b.slots for b in found)

    @given(st.data())
    def test_damaged_blocks(self, data: st.DataObject) -> None:
        """Any changed byte outside the doubles and the padding is noticed, none makes the reader run away."""
        packed = pack_block(9, encode_key(("model", "mode")), 2)
        whole = bytearray(packed + bytes(16))
        place = data.draw(st.integers(0, len(packed) - 1).filter(lambda i: i < 16 + len("model\0mode")))
        whole[place] ^= data.draw(st.integers(1, 255))
        with pytest.raises(BlockFileError):
            list(parse_blocks(bytes(whole), 0, len(whole)))

    @pytest.mark.parametrize(("used", "message"), [(8, "cut off"), (32, "reaches past"), (1000, "truncated")])
    def test_lengths(self, used: int, message: str) -> None:
        """Blocks that do not fit what is there are refused."""
        data = pack_block(9, encode_key(("m",)), 2) + bytes(16)
        with pytest.raises(BlockFileError, match=message):
            list(parse_blocks(data, 0, used))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[BlockFileWriter]:
    """A writer of the service ``my service/1``."""
    made = BlockFileWriter(tmp_path / "metrics", "my service/1")
    yield made
    made.let_go()


class TestWriter:
    """The file of one process."""

    def test_file(self, writer: BlockFileWriter) -> None:
        """Named after service and process, for its owner alone, large and sparse; the header says whose it is."""
        status = writer.path.stat()
        assert writer.path.name.startswith(f"my_service_1-{os.getpid()}-")
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_size == MAX_FILE_BYTES
        assert RESERVE_BYTES <= status.st_blocks * 512 <= 2 * RESERVE_BYTES
        parsed = parse_header(writer.path.read_bytes()[:4096])
        assert (parsed.service, parsed.pid, parsed.used) == ("my service/1", os.getpid(), parsed.size)
        assert list(writer.path.parent.iterdir()) == [writer.path]

    def test_two_writers_never_share_a_file(self, writer: BlockFileWriter, tmp_path: Path) -> None:
        """The pid alone is no identity: containers reuse it."""
        other = BlockFileWriter(tmp_path / "metrics", "my service/1")
        other.let_go()
        assert other.path != writer.path

    def test_lock(self, writer: BlockFileWriter) -> None:
        """The lock is held from the moment the file has its name until the writer lets go."""
        with writer.path.open("rb") as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            writer.let_go()
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def test_append(self, writer: BlockFileWriter) -> None:
        """Blocks follow each other in the file; what is stored in their doubles is in the file at once."""
        first = writer.append(LLM_STREAM, ("a", "b", "c", "d", "ü"))
        second = writer.append(LLM_FALLBACK, ("x", "y", "z"))
        first[0], second[0] = 1.5, -2.5
        data = writer.path.read_bytes()
        parsed = parse_header(data)
        blocks = list(parse_blocks(data, parsed.size, parsed.used))
        assert [(b.layout_id, decode_key(b.key)) for b in blocks] == [
            (LLM_STREAM.layout_id, ("a", "b", "c", "d", "ü")),
            (LLM_FALLBACK.layout_id, ("x", "y", "z")),
        ]
        values = [memoryview(data)[b.offset : b.offset + 8 * b.slots].cast("d").tolist() for b in blocks]
        assert values == [[1.5] + [0.0] * (LLM_STREAM.slots - 1), [-2.5]]

    def test_disk_is_reserved_before_it_is_used(self, writer: BlockFileWriter) -> None:
        """At no time do blocks reach into a part of the file that has no disk: writing there could be SIGBUS."""
        for i in range(1000):
            writer.append(LLM_CALL, (f"{i}", "b", "c", "d", "e"))
            used = parse_header(os.pread(writer._lock_fd, 4096, 0)).used
            assert writer.path.stat().st_blocks * 512 >= used
        assert used > 2 * RESERVE_BYTES

    def test_full(self, tmp_path: Path) -> None:
        """A block that does not fit raises EFBIG, and what is in the file stays sound."""
        writer = BlockFileWriter(tmp_path, "s", max_bytes=RESERVE_BYTES)
        blocks: list[object] = []

        def fill() -> None:
            while len(blocks) < 10_000:
                blocks.append(writer.append(LLM_CALL, (f"{len(blocks)}", "b", "c", "d", "e")))

        with pytest.raises(OSError, match="is full") as caught:
            fill()
        assert caught.value.errno == errno.EFBIG
        data = writer.path.read_bytes()
        parsed = parse_header(data)
        assert len(list(parse_blocks(data, parsed.size, parsed.used))) == len(blocks)
        assert RESERVE_BYTES - 500 < parsed.used <= RESERVE_BYTES
        writer.let_go()

    @pytest.mark.parametrize("failing", ["ftruncate", "posix_fallocate", "rename"])
    def test_failure_leaves_nothing_behind(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
        """Neither a file nor an open descriptor."""

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.EIO, "made to fail")

        open_before = len(os.listdir("/proc/self/fd"))
        monkeypatch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="made to fail"):
            BlockFileWriter(tmp_path / "metrics", "s")
        assert list((tmp_path / "metrics").iterdir()) == []
        assert len(os.listdir("/proc/self/fd")) == open_before

    def test_platform_without_locks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without flock there are no files, and the reason is told."""
        monkeypatch.setattr(blockfile, "fcntl", None)
        with pytest.raises(OSError, match="no flock"):
            BlockFileWriter(tmp_path, "s")

    def test_platform_without_fallocate(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where posix_fallocate is missing, as on macOS, zeros are written instead."""
        monkeypatch.delattr(os, "posix_fallocate")
        writer = BlockFileWriter(tmp_path, "s")
        for i in range(1000):
            writer.append(LLM_CALL, (f"{i}", "b", "c", "d", "e"))[0] = 1.0
        data = writer.path.read_bytes()
        parsed = parse_header(data)
        blocks = list(parse_blocks(data, parsed.size, parsed.used))
        assert sum(memoryview(data)[b.offset : b.offset + 8].cast("d")[0] for b in blocks) == 1000
        assert writer.path.stat().st_blocks * 512 >= parsed.used
        writer.let_go()


def test_recording_without_locks(
    metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a platform without flock the package records in private memory and says so once."""

    monkeypatch.setattr(blockfile, "fcntl", None)
    metrics.configure(files=True)
    for _ in range(3):
        track_llm_call(model="gpt-4")
    assert metrics.value("genai_llm_calls_total") == 3
    assert metrics.faults() == {"storage": 1}
    assert [record.getMessage() for record in caplog.records if "no flock" in record.getMessage()] != []
