"""Tests of who may write to a metrics directory: what is made, what is refused, and that the application goes on."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from genai_metrics import configure, runtime, track_llm_call
from genai_metrics.blockfile import BlockFileWriter
from genai_metrics.ownership import UnsafeDirectoryError, open_directory

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"

# Records as another user; prints where the calls went and what was counted as a fault.
STRANGER = """
import os, sys
from genai_metrics import configure, runtime, track_llm_call

uid, gid, directory, shared = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4] or None
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
configure(metrics_dir=directory, metrics_dir_shared=shared, pricing=False, service_name="stranger")
track_llm_call(model="m")
blocks = {(b.kind.name, b.key[-1]): b.read()[0] for b in runtime.recorder().blocks()}
print(int(blocks["recorder_fault", "storage"]), runtime.recorder().is_settled())
"""


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask, from one that allows everything to one that allows nothing."""
    mask: int = request.param
    before = os.umask(mask)
    yield mask
    os.umask(before)


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


class TestMade:
    """What is missing is made for this user alone."""

    def test_whatever_the_umask(self, tmp_path: Path, umask: int) -> None:
        """0700 and 0600, neither more nor less."""
        writer = BlockFileWriter(tmp_path / "metrics", "service")
        writer.let_go()
        assert (mode(tmp_path / "metrics"), mode(writer.path)) == (0o700, 0o600)

    def test_parents_are_not_open_to_others(self, tmp_path: Path) -> None:
        """Even when the umask would let everybody write to them, and so replace the directory."""
        before = os.umask(0)
        try:
            os.close(open_directory(tmp_path / "a" / "b" / "metrics"))
        finally:
            os.umask(before)
        assert [mode(tmp_path / path) for path in ("a", "a/b", "a/b/metrics")] == [0o755, 0o755, 0o700]

    def test_for_a_group(self, tmp_path: Path, umask: int) -> None:
        """The group may write to the directory and read the files, which get its group."""
        writer = BlockFileWriter(tmp_path / "metrics", "service", shared="group")
        writer.let_go()
        assert (mode(tmp_path / "metrics"), mode(writer.path)) == (0o2770, 0o640)
        assert writer.path.stat().st_gid == (tmp_path / "metrics").stat().st_gid

    def test_an_existing_one_is_left_as_it_is(self, tmp_path: Path) -> None:
        """Readable by others is the owner's choice: files are not."""
        (tmp_path / "metrics").mkdir()
        (tmp_path / "metrics").chmod(0o755)
        writer = BlockFileWriter(tmp_path / "metrics", "service")
        writer.let_go()
        assert (mode(tmp_path / "metrics"), mode(writer.path)) == (0o755, 0o600)

    def test_through_an_own_link(self, tmp_path: Path) -> None:
        """An administrator may put the directory elsewhere."""
        (tmp_path / "link").symlink_to(tmp_path / "real")
        (tmp_path / "real").mkdir(mode=0o700)
        BlockFileWriter(tmp_path / "link", "service").let_go()
        assert len(list((tmp_path / "real").iterdir())) == 1

    def test_a_dangling_link_is_no_directory(self, tmp_path: Path) -> None:
        """Nothing is made where a link happens to lead."""
        (tmp_path / "link").symlink_to(tmp_path / "nothing")
        with pytest.raises(FileNotFoundError):
            open_directory(tmp_path / "link")
        assert not (tmp_path / "nothing").exists()


class TestRefused:
    """Directories that strangers may write to."""

    @pytest.mark.parametrize(
        ("bits", "shared", "message"),
        [
            (0o777, None, "every user of this machine may write to {} (mode 0777): run chmod o-w {}, or name a folder"),
            (0o1777, None, "every user of this machine may write to {} (mode 1777): name a folder in it that"),
            (0o702, "group", "every user of this machine may write to {} (mode 0702)"),
            (0o770, None, "may write to {} (mode 0770): run chmod g-w {}, or, where users of this group share it"),
        ],
    )
    def test_by_mode(
        self,
        metrics: "Metrics",
        bits: int,
        shared: str | None,
        message: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """The application goes on in memory, the log says what to do; once mended, it is used."""
        metrics.directory.mkdir()
        metrics.directory.chmod(bits)
        metrics.configure(files=True, metrics_dir_shared=shared)
        for _ in range(3):
            track_llm_call(model="gpt-4")
        assert list(metrics.directory.iterdir()) == []
        assert metrics.value(CALLS) == 3
        assert metrics.faults() == {"storage": 1}
        (logged,) = [record.getMessage() for record in caplog.records]
        assert message.format(metrics.directory, metrics.directory) in logged
        assert "recording in private memory" in logged
        metrics.directory.chmod(0o700)
        metrics.configure(files=True)
        assert metrics.stored(CALLS) == 3

    def test_a_group_that_shares_it_on_purpose(self, metrics: "Metrics") -> None:
        """By argument or environment."""
        metrics.directory.mkdir()
        metrics.directory.chmod(0o770)
        metrics.configure(files=True, metrics_dir_shared="group")
        track_llm_call(model="gpt-4")
        assert metrics.stored(CALLS) == 1

    def test_the_environment_says_so(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """``GENAI_METRICS_DIR_SHARED=group``."""
        metrics.directory.mkdir()
        metrics.directory.chmod(0o770)
        monkeypatch.setenv("GENAI_METRICS_DIR_SHARED", "group")
        metrics.configure(files=True)
        track_llm_call(model="gpt-4")
        assert metrics.stored(CALLS) == 1

    def test_another_way_of_sharing(self, metrics: "Metrics") -> None:
        """What is not known is refused at once."""
        with pytest.raises(ValueError, match="metrics_dir_shared: 'world' is unknown; give 'group'"):
            configure(metrics_dir_shared="world")

    def test_another_users(self, open_to_all: Path, run_python: Callable[..., str]) -> None:
        """Whoever owns a directory may do anything in it; only root may use that of others."""
        directory = open_to_all / "metrics"
        directory.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(directory, 5001, 5001)
            assert run_python(STRANGER, "5002", "5001", str(directory), "") == "1 False\n"
            assert run_python(STRANGER, "5001", "5001", str(directory), "") == "0 True\n"
            os.close(open_directory(directory))
        told = run_python(
            """
            import os, pathlib
            from genai_metrics.ownership import UnsafeDirectoryError, check_directory
            if os.geteuid() == 0:
                os.setuid(5002)
            try:
                check_directory(os.stat_result((0o40755, 0, 0, 1, 4999, 0, 0, 0, 0, 0)), pathlib.Path("/m"))
            except UnsafeDirectoryError as error:
                print(error)
            """
        )
        assert "/m belongs to user 4999, and this process runs as user " in told
        assert "GENAI_METRICS_DIR_SHARED=group" in told

    def test_two_users_of_one_group(self, open_to_all: Path, run_python: Callable[..., str]) -> None:
        """Both record into the directory that the first of them made."""
        parent = open_to_all / "group"
        parent.mkdir()
        parent.chmod(0o777)
        users = (5001, 5002) if os.geteuid() == 0 else (os.geteuid(),) * 2
        for uid in users:
            assert run_python(STRANGER, str(uid), "6001", str(parent / "metrics"), "group") == "0 True\n"
        assert {path.stat().st_uid for path in (parent / "metrics").iterdir()} == set(users)
        assert {mode(path) for path in (parent / "metrics").iterdir()} == {0o640}

    def test_in_a_folder_like_tmp(self, open_to_all: Path, run_python: Callable[..., str]) -> None:
        """Whoever comes first has it, for himself alone; the others are refused, and go on in memory."""
        shared = open_to_all / "tmp"
        shared.mkdir()
        shared.chmod(0o1777)
        uid = 5001 if os.geteuid() == 0 else os.geteuid()
        assert run_python(STRANGER, str(uid), "5001", str(shared / "metrics"), "") == "0 True\n"
        assert (shared / "metrics").stat().st_uid == uid
        assert mode(shared / "metrics") == 0o700
        if os.geteuid() == 0:
            assert run_python(STRANGER, "5002", "5001", str(shared / "metrics"), "") == "1 False\n"

    def test_a_link_that_a_stranger_made(self, open_to_all: Path, run_python: Callable[..., str]) -> None:
        """It would have us write into another directory of ours."""
        ours, link = open_to_all / "ours", open_to_all / "link"
        ours.mkdir(mode=0o700)
        link.symlink_to(ours)
        if os.geteuid() == 0:
            os.chown(ours, 5001, 5001)
            os.chown(link, 5002, 5002, follow_symlinks=False)
            assert run_python(STRANGER, "5001", "5001", str(link), "") == "1 False\n"
            os.chown(link, 5001, 5001, follow_symlinks=False)
            assert list(ours.iterdir()) == []
        uid = 5001 if os.geteuid() == 0 else os.geteuid()
        assert run_python(STRANGER, str(uid), "5001", str(link), "") == "0 True\n"


def test_nothing_stays_open(tmp_path: Path) -> None:
    """Neither a directory that was used nor one that was refused leaves a descriptor."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(UnsafeDirectoryError):
            open_directory(tmp_path / "open")
        with pytest.raises(UnsafeDirectoryError):
            BlockFileWriter(tmp_path / "open", "service")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_an_attacker_foresees_is_impossible(metrics: "Metrics") -> None:
    """Names are random, and an existing one is never opened: recording goes to a new file each time."""
    metrics.configure(files=True)
    track_llm_call(model="gpt-4")
    first = metrics.files()
    runtime.restart()
    track_llm_call(model="gpt-4")
    assert len(metrics.files()) == 2
    assert set(first) < set(metrics.files())
