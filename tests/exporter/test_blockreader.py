"""Tests of reading block files that are not as a writer leaves them: refused, counted, logged once, never deleted."""

import logging
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_exporter.blockreader import KINDS_BY_LAYOUT
from genai_metrics.blockfile import header_size, pack_block, pack_header, parse_header
from genai_metrics.catalog import LLM_FALLBACK, TENANT, TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

GOOD = 'genai_tenant_requests_total{service="service",tenant="good",mode="m"}'
USED = slice(16, 24)


def header(used: int, service: str = "service") -> bytes:
    """A header as a writer makes it."""
    return pack_header(used=used, size=header_size(service), pid=7, start_time=1.0, token=b"t" * 16, service=service)


def file_of(*blocks: bytes, service: str = "service") -> bytes:
    """A whole file with the given blocks."""
    body = b"".join(blocks)
    return header(header_size(service) + len(body), service) + body


def block(key: bytes, value: float = 1.0) -> bytes:
    """A block of tenant requests."""
    return pack_block(TENANT_REQUESTS.layout_id, key, 1) + struct.pack("=d", value)


SOUND = file_of(block(b"bad\0m"), block(b"worse\0m"))


def with_bytes(data: bytes, where: slice, new: bytes) -> bytes:
    """Data with some bytes replaced."""
    return data[: where.start] + new + data[where.stop :]


UNSOUND = {
    "empty": (b"", "only 0 bytes long"),
    "half-a-header": (SOUND[:40], "only 40 bytes long"),
    "wrong-magic": (b"GENAIBLX" + SOUND[8:], "not a block file (wrong magic)"),
    "wrong-version": (with_bytes(SOUND, slice(8, 12), struct.pack("=I", 2)), "format version 2, this reader knows 1"),
    "wrong-size": (with_bytes(SOUND, slice(12, 16), struct.pack("=I", 80)), "header lengths contradict each other"),
    "used-below-header": (with_bytes(SOUND, USED, struct.pack("=Q", 8)), "header lengths contradict each other"),
    "used-odd": (with_bytes(SOUND, USED, struct.pack("=Q", len(SOUND) - 5)), "reaches past the used part"),
    "used-huge": (with_bytes(SOUND, USED, struct.pack("=Q", 2**63)), "more than any writer uses"),
    "used-past-the-end": (with_bytes(SOUND, USED, struct.pack("=Q", 2**20)), "truncated: 1048576 bytes used"),
    "truncated": (SOUND[:-8], f"truncated: {len(SOUND)} bytes used, {len(SOUND) - 8} present"),
    "damaged-block": (SOUND.replace(b"worse", b"wOrse"), "has a wrong checksum"),
    "endless-block": (file_of(struct.pack("=IIII", 1, 2**32 - 1, 2**32 - 1, 0)), "reaches past the used part"),
    "key-not-utf8": (file_of(block(b"bad\0m"), block(b"b\xffd\0m")), "has a key that is not UTF-8"),
    "service-not-utf8": (SOUND.replace(b"service", b"serv\xffce"), "service name is not UTF-8"),
    "service-with-nul": (SOUND.replace(b"service", b"ser\0ice"), "service name has a NUL"),
    "nan": (file_of(block(b"bad\0m"), block(b"nan\0m", float("nan"))), "impossible numbers in a block"),
    "infinite": (file_of(block(b"bad\0m", float("-inf"))), "impossible numbers in a block"),
    "overflowing": (file_of(block(b"bad\0m", 1.7e308)), "impossible numbers in a block"),
}


@pytest.fixture
def good(tmp_path: Path, writer: Writer) -> Recorder:
    """A living writer in the directory, with one call."""
    recorder = writer(tmp_path)
    recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
    return recorder


@pytest.fixture
def unreadable() -> Iterator[Path]:
    """A directory for a file that this process may not read: as root, become somebody else for the test."""
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        # Not tmp_path, which only root may enter.
        if is_root:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            if is_root:
                os.seteuid(0)


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Messages that were logged as errors."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


class TestRejected:
    """Files that are not sound."""

    @pytest.mark.parametrize("name", UNSOUND)
    def test_is_left_out_and_said_once(
        self,
        name: str,
        tmp_path: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """None of its series are shown, the others are, the log says once why, and the file stays as it is."""
        data, reason = UNSOUND[name]
        path = tmp_path / f"{name}.blocks"
        path.write_bytes(data)
        applications = exporter(tmp_path)
        for _ in range(3):
            found = samples(applications)
            assert found[GOOD] == 1
            assert not [series for series in found if '"bad"' in series or '"worse"' in series]
        assert applications.scrape().files == {"live": 1, "dead": 0, "folded": 0, "rejected": 1, "partial": 0}
        (message,) = errors(caplog)
        assert message.startswith(f"{path}: left out: ")
        assert reason in message
        assert path.read_bytes() == data

    def test_many_at_once_and_a_restart(
        self, tmp_path: Path, good: Recorder, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each is counted; the sound ones of dead processes are folded beside them."""
        for name, (data, _) in UNSOUND.items():
            (tmp_path / f"{name}.blocks").write_bytes(data)
        (tmp_path / "sound.blocks").write_bytes(SOUND)
        applications = exporter(tmp_path)
        first = samples(applications)
        assert applications.scrape().files["rejected"] == len(UNSOUND)
        assert applications.scrape().files["folded"] == 1
        applications.close()
        applications = exporter(tmp_path)
        assert samples(applications) == first
        assert len(errors(caplog)) == 2 * len(UNSOUND)

    def test_what_is_no_file(
        self, tmp_path: Path, good: Recorder, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A symbolic link out of the directory, a FIFO, a directory and a dangling link of such a name."""
        (tmp_path / "elsewhere").mkdir()
        target = tmp_path / "elsewhere" / "secret.blocks"
        target.write_bytes(SOUND)
        (tmp_path / "link.blocks").symlink_to(target)
        (tmp_path / "dangling.blocks").symlink_to(tmp_path / "nothing")
        os.mkfifo(tmp_path / "fifo.blocks")
        (tmp_path / "directory.blocks").mkdir()
        applications = exporter(tmp_path)
        for _ in range(2):
            found = samples(applications)
            assert found[GOOD] == 1
            assert not [series for series in found if '"bad"' in series]
        assert applications.scrape().files["rejected"] == 4
        assert len(errors(caplog)) == 4
        assert target.read_bytes() == SOUND

    def test_unreadable(
        self, unreadable: Path, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file of another user is refused; when it may be read, it is served."""
        path = unreadable / "secret.blocks"
        path.write_bytes(SOUND)
        path.chmod(0)
        applications = exporter(unreadable)
        assert samples(applications) == {}
        assert applications.scrape().files["rejected"] == 1
        assert len(errors(caplog)) == 1
        assert "Permission denied" in errors(caplog)[0]
        path.chmod(0o600)
        assert len(samples(applications)) == 2
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 1, "rejected": 0, "partial": 0}
        applications.close()

    def test_a_name_that_is_not_utf8(self, tmp_path: Path, exporter: Open, samples: Samples) -> None:
        """A sound file is folded whatever its name is."""
        with open(os.fsencode(tmp_path) + b"/\xff.blocks", "wb") as file:
            file.write(SOUND)
        applications = exporter(tmp_path)
        first = samples(applications)
        assert len(first) == 2
        assert os.listdir(os.fsencode(tmp_path)).count(b"\xff.blocks") == 0
        applications.close()
        assert samples(exporter(tmp_path)) == first


class TestSpoiled:
    """Files that were sound once."""

    @pytest.mark.parametrize("damage", ["truncate", "shrink", "replace", "values"])
    def test_keeps_its_counts(
        self,
        damage: str,
        tmp_path: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Damage that comes later lowers no counter, nothing is guessed, and the file is not folded."""
        applications = exporter(tmp_path)
        path = tmp_path / "spoiled.blocks"
        # Partial, or it would be folded at once.
        unknown = file_of(block(b"bad\0m"), block(b"worse\0m"), pack_block(99, b"", 0))
        path.write_bytes(unknown)
        first = samples(applications)
        assert len([series for series in first if '"bad"' in series]) == 1
        path.write_bytes(
            {
                "truncate": unknown[:-40],
                "shrink": with_bytes(unknown, USED, struct.pack("=Q", header_size("service"))),
                "replace": unknown.replace(b"t" * 16, b"u" * 16),
                "values": unknown.replace(struct.pack("=d", 1.0), struct.pack("=d", float("inf"))),
            }[damage]
        )
        for _ in range(2):
            assert samples(applications) == first
        assert applications.scrape().files == {"live": 1, "dead": 0, "folded": 0, "rejected": 1, "partial": 0}
        assert len(errors(caplog)) == 1
        path.write_bytes(unknown)
        assert samples(applications) == first
        assert applications.scrape().files["rejected"] == 0

    @pytest.mark.parametrize("alive", [True, False])
    def test_removed_by_somebody(
        self,
        alive: bool,
        tmp_path: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a file had counted before it was removed stays, over a restart too, and is said once."""
        applications = exporter(tmp_path)
        first = samples(applications)
        if not alive:
            good.let_go()
        (path,) = tmp_path.glob("*.blocks")
        path.unlink()
        for _ in range(2):
            assert samples(applications) == first
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 1, "rejected": 0, "partial": 0}
        (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert message == (
            f"{path}: removed, and not by this exporter; what it had counted is kept, "
            "what its process goes on recording is lost"
        )
        applications.close()
        assert samples(exporter(tmp_path)) == first


class TestPartial:
    """Files with blocks that this version does not know."""

    def test_the_known_blocks_are_served_and_the_file_stays(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An older exporter shows what it knows and folds nothing; the newer one then takes all of it."""
        recorder = writer(tmp_path)
        recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        recorder.block(LLM_FALLBACK, ("a", "b", "slow")).add(0, 3)
        fallback = 'genai_llm_fallbacks_total{service="service",from_model="a",to_model="b",reason="slow"}'
        with monkeypatch.context() as older:
            older.delitem(KINDS_BY_LAYOUT, LLM_FALLBACK.layout_id)
            applications = exporter(tmp_path)
            assert applications.scrape().files == {"live": 1, "dead": 0, "folded": 0, "rejected": 0, "partial": 1}
            recorder.let_go()
            for _ in range(2):
                found = samples(applications)
                assert found[GOOD] == 1
                assert fallback not in found
            assert applications.scrape().files == {"live": 0, "dead": 1, "folded": 0, "rejected": 0, "partial": 1}
            applications.close()
        applications = exporter(tmp_path)
        assert samples(applications)[fallback] == 3
        assert samples(applications)[GOOD] == 1
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 1, "rejected": 0, "partial": 0}

    def test_a_known_kind_of_another_shape_is_unknown(self, tmp_path: Path, exporter: Open, samples: Samples) -> None:
        """Neither a wrong number of values nor of labels is made to fit."""
        values = struct.pack("=2d", 1.0, 1.0)
        path = tmp_path / "odd.blocks"
        path.write_bytes(
            file_of(
                pack_block(TENANT_REQUESTS.layout_id, b"bad\0m", 2) + values,
                pack_block(TENANT_REQUESTS.layout_id, b"bad", 1) + values[:8],
                block(b"good\0m"),
            )
        )
        applications = exporter(tmp_path)
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files["partial"] == 1
        assert path.exists()


def test_a_file_that_grows_is_read_on(tmp_path: Path, writer: Writer, exporter: Open, samples: Samples) -> None:
    """Blocks made after the first scrape, past the reserved space too, are found; the header says how far it goes."""
    recorder = writer(tmp_path)
    applications = exporter(tmp_path)
    for count in range(1, 1200):
        recorder.block(TENANT, (f"tenant-{count}",)).add(0, 1)
        if count % 300 == 1:
            assert sum(value for name, value in samples(applications).items() if "tenant_tokens" in name) == count
    (path,) = tmp_path.glob("*.blocks")
    assert parse_header(path.read_bytes()[:4096]).used > 65536
