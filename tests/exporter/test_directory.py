"""Attacks on the metrics directory: what others put there is neither followed, waited for, nor read without end."""

import errno
import logging
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from genai_exporter.aggregate import LOCK_NAME, Applications
from genai_exporter.archive import ARCHIVE_NAME
from genai_exporter.directory import DirectoryError, Limits, MetricsDirectory, UntrustedFileError
from genai_exporter.shown import SHOWN_NAME
from genai_metrics.blockfile import MAX_FILE_BYTES, header_size, pack_block, pack_header
from genai_metrics.catalog import TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

GOOD = 'genai_tenant_requests_total{service="service",tenant="good",mode="m"}'
SECRET = 'genai_tenant_requests_total{service="service",tenant="secret",mode="m"}'


def block_file(tenant: str, calls: float = 1.0, token: bytes = b"t" * 16, used: int | None = None) -> bytes:
    """A sound file of a dead process with some requests of one tenant; ``used`` may lie."""
    body = pack_block(TENANT_REQUESTS.layout_id, f"{tenant}\0m".encode(), 1) + struct.pack("=d", calls)
    size = header_size("service")
    used = size + len(body) if used is None else used
    return pack_header(used=used, size=size, pid=7, start_time=1.0, token=token, service="service") + body


@pytest.fixture
def samples(samples: Samples) -> Samples:
    """A function that scrapes and returns the requests of tenants alone: a recorder shows series of its own."""

    def requests(applications: Applications) -> dict[str, float]:
        return {
            name: value for name, value in samples(applications).items() if name.startswith("genai_tenant_requests")
        }

    return requests


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A metrics directory beside other things."""
    (tmp_path / "metrics").mkdir(mode=0o700)
    return tmp_path / "metrics"


@pytest.fixture
def good(directory: Path, writer: Writer) -> Recorder:
    """A living writer in it, with one call."""
    recorder = writer(directory)
    recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
    return recorder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that would be shown if it lay in the directory."""
    path = tmp_path / "secret"
    path.write_bytes(block_file("secret"))
    return path


@pytest.fixture
def busy() -> Iterator[Callable[[Callable[[], None]], None]]:
    """A function that has a thread do something again and again until the end of the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []

    def start(action: Callable[[], None]) -> None:
        def run() -> None:
            try:
                while not stop.is_set():
                    action()
            except BaseException as error:
                failures.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


class TestRefusedDirectory:
    """Directories that are not the exporter's to trust."""

    @pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770])
    def test_the_command_says_why(self, tmp_path: Path, bits: int) -> None:
        """Exit code 1, one line with the remedy, nothing left behind."""
        (tmp_path / "m").mkdir()
        (tmp_path / "m").chmod(bits)
        command = [sys.executable, "-m", "genai_exporter", "serve", "--web.listen-address", "127.0.0.1:0"]
        done = subprocess.run(
            [*command, "--metrics-dir", str(tmp_path / "m")], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        assert f"Error: metrics directory refused: {'the group' if bits == 0o770 else 'every user'}" in done.stderr
        assert f"may write to {tmp_path / 'm'} (mode {bits:04o}): run chmod " in done.stderr
        assert "Traceback" not in done.stderr
        assert list((tmp_path / "m").iterdir()) == []

    def test_a_group_may_share_it(self, directory: Path, exporter: Open, samples: Samples) -> None:
        """When the exporter is told so; then it takes files of any member."""
        directory.chmod(0o770)
        path = directory / "other.blocks"
        path.write_bytes(block_file("good"))
        if os.geteuid() == 0:
            os.chown(path, 5001, 5001)
        assert samples(exporter(directory, shared="group")) == {GOOD: 1}

    def test_opened_up_later(self, directory: Path, good: Recorder, exporter: Open, samples: Samples) -> None:
        """From then on scrapes fail with the remedy; once it is closed again they go on."""
        applications = exporter(directory)
        directory.chmod(0o777)
        with pytest.raises(OSError, match="every user of this machine may write"):
            applications.scrape()
        directory.chmod(0o700)
        assert samples(applications) == {GOOD: 1}

    def test_another_directory_in_its_place(
        self, directory: Path, good: Recorder, exporter: Open, samples: Samples
    ) -> None:
        """Counters that come from elsewhere would be nonsense; with the right one back it goes on."""
        applications = exporter(directory)
        directory.rename(directory.with_name("away"))
        directory.mkdir(mode=0o700)
        (directory / "x.blocks").write_bytes(block_file("secret"))
        with pytest.raises(OSError, match="is another directory than at the start: restart the exporter"):
            applications.scrape()
        (directory / "x.blocks").unlink()
        directory.rmdir()
        directory.with_name("away").rename(directory)
        assert samples(applications) == {GOOD: 1}

    def test_nothing_stays_open(self, directory: Path) -> None:
        """A refused directory leaves no descriptor."""
        directory.chmod(0o777)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(DirectoryError):
            Applications(directory).open()
        assert len(os.listdir("/proc/self/fd")) == before


class TestOwnFiles:
    """The exporter's own files, put there by somebody else before it came."""

    @pytest.mark.parametrize("name", [ARCHIVE_NAME, SHOWN_NAME, LOCK_NAME])
    def test_a_fifo_is_not_waited_for(self, directory: Path, name: str) -> None:
        """Opening a FIFO blocks until somebody writes to it; here it is an error, or a record that is made anew."""
        os.mkfifo(directory / name)
        applications = Applications(directory, born_at_zero_seconds=0)
        if name == SHOWN_NAME:
            applications.open()
            applications.scrape()
            assert not (directory / name).exists()
        else:
            with pytest.raises(DirectoryError, match="not a regular file"):
                applications.open()
        applications.close()

    @pytest.mark.parametrize("link", [os.symlink, os.link])
    @pytest.mark.parametrize("name", [".exporter.archive.new", ".exporter.shown.new", SHOWN_NAME, ARCHIVE_NAME])
    def test_a_link_to_a_victim(
        self, directory: Path, secret: Path, name: str, link: Callable[[Path, Path], None], exporter: Open
    ) -> None:
        """A file elsewhere is neither overwritten nor appended to nor cut off through a name in the directory."""
        link(secret, directory / name)
        (directory / "dead.blocks").write_bytes(block_file("good"))
        before = secret.read_bytes()
        if name == ARCHIVE_NAME:
            with pytest.raises(DirectoryError, match="cannot be read"):
                exporter(directory)
        else:
            applications = exporter(directory)
            for _ in range(2):
                applications.scrape()
            assert applications.scrape().files["folded"] == 1
        assert secret.read_bytes() == before

    def test_made_for_the_owner_alone(self, directory: Path, exporter: Open) -> None:
        """0600 whatever the umask."""
        (directory / "dead.blocks").write_bytes(block_file("good"))
        before = os.umask(0)
        try:
            exporter(directory).scrape()
        finally:
            os.umask(before)
        assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
        assert (directory / ARCHIVE_NAME).exists()


class TestBlockFiles:
    """Names that end as block files do."""

    def test_a_symbolic_link_that_comes_and_goes(
        self,
        directory: Path,
        good: Recorder,
        secret: Path,
        exporter: Open,
        samples: Samples,
        busy: Callable[[Callable[[], None]], None],
    ) -> None:
        """However often a file is swapped for a link, what the link leads to is never read."""
        name, link, empty = directory / "swapped.blocks", directory / "link", directory / "empty"
        empty.touch(0o600)
        swaps = [0]

        def swap() -> None:
            if not link.is_symlink():
                link.symlink_to(secret)
            os.replace(link, name)
            empty.touch(0o600)
            os.replace(empty, name)
            swaps[0] += 1

        busy(swap)
        applications = exporter(directory)
        while swaps[0] < 500:
            assert samples(applications) == {GOOD: 1}

    @pytest.mark.parametrize("own", [True, False])
    def test_a_hard_link(
        self,
        directory: Path,
        good: Recorder,
        secret: Path,
        own: bool,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Neither a file from elsewhere nor one that would count twice is read; with one name it is sound again."""
        applications = exporter(directory)
        if own:
            assert samples(applications) == {GOOD: 1}
        (path,) = directory.glob("*.blocks")
        os.link(path if own else secret, directory / "another.blocks")
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files["rejected"] == (2 if own else 1)
        assert "has 2 names (hard links): remove the others, and copy for backups" in caplog.text
        (directory / "another.blocks").unlink()
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files == {"live": 1, "dead": 0, "folded": 0, "rejected": 0, "partial": 0}

    def test_another_users_file(self, directory: Path, exporter: Open, samples: Samples) -> None:
        """Root could read it, yet who could put it there?"""
        path = directory / "foreign.blocks"
        path.write_bytes(block_file("secret"))
        opened = MetricsDirectory(directory)
        opened.open(make=False)
        status = list(path.stat()[:10])
        status[4] = 4999
        with pytest.raises(UntrustedFileError, match="belongs to user 4999"):
            opened._check_file(os.stat_result(status), path.name)
        opened.close()
        if os.geteuid() == 0:
            os.chown(path, 4999, 4999)
            assert samples(exporter(directory)) == {}

    def test_devices_and_sockets(self, directory: Path, good: Recorder, exporter: Open, samples: Samples) -> None:
        """FIFOs with and without a writer, and, as root, a device that never ends."""
        os.mkfifo(directory / "fifo.blocks")
        os.mkfifo(directory / "written.blocks")
        held = os.open(directory / "written.blocks", os.O_RDWR)
        os.write(held, block_file("secret"))
        strange = 2
        if os.geteuid() == 0:
            try:
                os.mknod(directory / "zero.blocks", 0o600 | 0o020000, os.makedev(1, 5))
                strange += 1
            except PermissionError:  # root of a container
                pass
        applications = exporter(directory)
        assert samples(applications) == {GOOD: 1}
        assert applications.scrape().files["rejected"] == strange
        os.close(held)

    def test_cut_off_while_it_is_read(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        busy: Callable[[Callable[[], None]], None],
    ) -> None:
        """Truncated and restored all the time, a file costs at most itself, and no counter falls."""
        path = directory / "cut.blocks"
        unknown = pack_block(99, b"", 0)  # so that it is never folded
        whole = block_file("cut", 5.0)
        whole = whole[:16] + struct.pack("=Q", len(whole) + len(unknown)) + whole[24:] + unknown
        path.write_bytes(whole)
        applications = exporter(directory)
        first = samples(applications)
        assert first == {GOOD: 1, GOOD.replace("good", "cut"): 5}
        cuts = [0]

        def cut() -> None:
            for size in (0, 30, 80, len(whole) - 8):
                os.truncate(path, size)
            path.write_bytes(whole)
            cuts[0] += 1

        busy(cut)
        while cuts[0] < 300:
            assert samples(applications) == first


class TestLimits:
    """Too much of everything."""

    def test_a_huge_sparse_file(
        self, directory: Path, good: Recorder, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A file of a tebibyte takes neither memory nor time, whatever its header claims."""
        for name, used in (("claims-all", 2**40), ("claims-much", MAX_FILE_BYTES)):
            path = directory / f"{name}.blocks"
            path.write_bytes(block_file("secret", used=used))
            os.truncate(path, 2**40)
        applications = exporter(directory, limits=Limits(file_bytes=1 << 20))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert samples(applications) == {GOOD: 1}
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
        assert applications.scrape().files["rejected"] == 2
        assert "claims 1099511627776 bytes, more than any writer uses" in caplog.text
        assert "uses more than metrics_dir_limits.file_bytes (1048576)" in caplog.text

    def test_many_large_files_share_one_budget(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a scrape reads stays within the limit, also where nothing of it is sound; known files come first."""
        applications = exporter(directory, limits=Limits(total_bytes=10 << 20))
        assert samples(applications) == {GOOD: 1}
        for i in range(30):
            path = directory / f"a{i:02}.blocks"  # sorts before the good one's name
            path.write_bytes(block_file("secret", used=1 << 20))
            os.truncate(path, 2 << 20)
        asked: list[int] = []
        pread = os.pread

        def counting(fd: int, size: int, offset: int) -> bytes:
            asked.append(size)
            return pread(fd, size, offset)

        monkeypatch.setattr(os, "pread", counting)
        for _ in range(3):
            asked.clear()
            assert samples(applications) == {GOOD: 1}
            assert sum(asked) <= (10 << 20) + 31 * 4096
        assert applications.scrape().files["rejected"] == 30
        assert "finds no room within metrics_dir_limits.total_bytes (10485760)" in caplog.text

    def test_fifty_thousand_files(
        self,
        directory: Path,
        good: Recorder,
        exporter: Open,
        samples: Samples,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """A scrape opens 10 000 at most, the living go on, a sound newcomer gets its turn, the log stays short."""
        applications = exporter(directory)
        assert samples(applications) == {GOOD: 1}
        for i in range(50_000):
            os.close(os.open(directory / f"junk-{i}.blocks", os.O_CREAT | os.O_WRONLY, 0o600))
        (directory / "zzz.blocks").write_bytes(block_file("late"))
        opened = [0]
        open_ = os.open

        def counting(*arguments: object, **options: object) -> int:
            opened[0] += 1
            return open_(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(os, "open", counting)
        found = samples(applications)
        assert found == {GOOD: 1}
        assert applications.scrape().files["rejected"] == 50_001
        scrapes = 2
        while GOOD.replace("good", "late") not in found:
            assert scrapes < 6
            opened[0] = 0
            good.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
            found = samples(applications)
            scrapes += 1
            assert opened[0] <= 10_000 + 10
            assert found[GOOD] == scrapes - 1
        messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        waiting = [message for message in messages if "files wait until others are gone" in message]
        assert waiting == [
            f"{directory}: 40002 files wait until others are gone: it has more than metrics_dir_limits.files (10000)"
        ]
        assert len(messages) <= 1 + scrapes * 21

    def test_a_backlog_of_ended_processes(
        self, directory: Path, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """More dead files than the limit are folded part by part, each is counted once, and none is lost."""
        applications = exporter(directory, limits=Limits(files=100))
        for i in range(250):
            (directory / f"job-{i}.blocks").write_bytes(block_file("good", token=i.to_bytes(16, "little")))
        assert [samples(applications)[GOOD] for _ in range(4)] == [100, 200, 250, 250]
        assert applications.scrape().files == {"live": 0, "dead": 0, "folded": 250, "rejected": 0, "partial": 0}

    def test_known_files_do_not_wait(self, directory: Path, writer: Writer, exporter: Open, samples: Samples) -> None:
        """A lower limit takes no new files; the living ones that are known go on being read."""
        recorders = [writer(directory) for _ in range(3)]
        for recorder in recorders:
            recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        applications = exporter(directory, limits=Limits(files=3))
        assert samples(applications)[GOOD] == 3
        late = writer(directory)
        late.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        for recorder in recorders:
            recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
        assert samples(applications)[GOOD] == 6
        assert applications.scrape().files == {"live": 3, "dead": 0, "folded": 0, "rejected": 1, "partial": 0}
        recorders[0].let_go()
        samples(applications)
        assert samples(applications)[GOOD] == 7

    def test_without_a_record_a_waiting_file_may_have_been_shown(
        self, directory: Path, exporter: Open, samples: Samples
    ) -> None:
        """What is found late at a start without a record is shown at once: as 0 it would look like a counter reset."""
        for i in range(5):
            (directory / f"{i}.blocks").write_bytes(block_file(f"t{i}", token=i.to_bytes(16, "little")))
        applications = exporter(directory, limits=Limits(files=2), born_at_zero_seconds=3600)
        seen = [samples(applications) for _ in range(3)]
        assert [len(found) for found in seen] == [2, 4, 5]
        assert set(seen[-1].values()) == {1.0}
        (directory / "new.blocks").write_bytes(block_file("new", token=b"n" * 16))
        assert samples(applications)[GOOD.replace("good", "new")] == 0


class TestReplace:
    """Writing the exporter's files."""

    def test_a_failed_write_leaves_the_old_one(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """And no part of the new one."""
        opened = MetricsDirectory(directory)
        opened.open(make=False)
        opened.replace("file", ".new", b"old")

        def full(fd: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                opened.replace("file", ".new", b"new")
        assert opened.read("file") == b"old"
        assert not opened.exists(".new")
        opened.close()
