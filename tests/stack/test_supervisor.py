"""The supervisor with real processes: readiness, the end by signal, by a failure and by ``kill -9``."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import free_port

from genai_stack import ports

SCRIPT = Path(__file__).with_name("run_stand_ins.py")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition, with a deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether something holds the port."""
    return not ports.is_free(port)


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Run:
    """A supervisor in a process of its own, with its output in a file."""

    def __init__(self, folder: Path, members: list[str], grace: float) -> None:
        self.logs = folder / "logs"
        self._output = folder / "output"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), str(self.logs), str(grace), *members],
                stdout=output,
                stderr=output,
            )

    @property
    def output(self) -> str:
        """What the supervisor has printed so far."""
        return self._output.read_text()

    def wait_ready(self) -> None:
        """Wait until the supervisor says that all is ready."""
        wait_until(lambda: "All ready" in self.output or self.process.poll() is not None, "all ready")
        assert "All ready" in self.output, self.output

    def end(self) -> int:
        """Wait for the supervisor's end; its exit code."""
        return self.process.wait(timeout=30)


@contextmanager
def supervised(folder: Path, *members: str, grace: float = 10.0) -> Iterator[Run]:
    """Run a supervisor and make sure that it is gone afterwards."""
    run = Run(folder, list(members), grace)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


class TestSupervisor:
    """Start, watch, stop."""

    def test_interrupt_stops_all_with_code_0(self, tmp_path: Path) -> None:
        """Ctrl-C ends every child, and the run counts as a success."""
        one, two = free_port(), free_port()
        with supervised(tmp_path, f"serve:{one}", f"serve:{two}") as run:
            run.wait_ready()
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 0
            assert f"serve-{one}: ready http://127.0.0.1:{one}/" in run.output
            # Asked, not killed: a server gets the time to write what it holds.
            assert f"serve-{one}: stopped" in run.output
            assert f"serve-{two}: stopped" in run.output
            assert "ended" not in run.output
        assert not listens(one)
        assert not listens(two)

    def test_terminate_ends_like_interrupt(self, tmp_path: Path) -> None:
        """SIGTERM, which `make down` sends, is a clean end too."""
        port = free_port()
        with supervised(tmp_path, f"serve:{port}") as run:
            run.wait_ready()
            run.process.terminate()
            assert run.end() == 0
        assert not listens(port)

    def test_a_dead_child_stops_the_others_and_is_named(self, tmp_path: Path) -> None:
        """When one dies, the rest is stopped, and its name, exit code and last log lines are shown."""
        stays, dies = free_port(), free_port()
        with supervised(tmp_path, f"serve:{stays}", f"dies:{dies}") as run:
            assert run.end() == 1
            assert f"dies-{dies} ended with code 3" in run.output
            assert f"dies-{dies}: ended (3)" in run.output
            assert f"serve-{stays}: stopped" in run.output
            assert "something [broke]" in run.output
        assert not listens(stays)

    def test_a_program_that_does_not_exist_is_named(self, tmp_path: Path) -> None:
        """A child that cannot be started fails the run with its name."""
        port = free_port()
        with supervised(tmp_path, f"serve:{port}", "ghost:1") as run:
            assert run.end() == 1
            assert "ghost-1 could not be started" in run.output
        assert not listens(port)

    def test_a_deaf_child_is_killed_after_the_grace_period(self, tmp_path: Path) -> None:
        """A child that ignores SIGTERM does not keep the stack from ending."""
        port = free_port()
        with supervised(tmp_path, f"deaf:{port}", grace=0.5) as run:
            run.wait_ready()
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 0
            assert f"deaf-{port}: killed" in run.output
        assert not listens(port)

    def test_a_second_interrupt_kills_at_once(self, tmp_path: Path) -> None:
        """An impatient second Ctrl-C does not wait for the grace period."""
        port = free_port()
        with supervised(tmp_path, f"deaf:{port}", grace=600) as run:
            run.wait_ready()
            run.process.send_signal(signal.SIGINT)
            wait_until(lambda: "Stopping" in run.output, "stopping")
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 0
        assert not listens(port)

    def test_grandchildren_end_too(self, tmp_path: Path) -> None:
        """A child's own children are stopped with it."""
        port = free_port()
        with supervised(tmp_path, f"family:{port}") as run:
            run.wait_ready()
            grandchild = int((run.logs / f"family-{port}.log").read_text().split()[0])
            assert runs(grandchild)
            run.process.send_signal(signal.SIGINT)
            assert run.end() == 0
            wait_until(lambda: not runs(grandchild), "the grandchild's end")

    def test_children_do_not_survive_a_killed_supervisor(self, tmp_path: Path) -> None:
        """After ``kill -9`` of the supervisor nothing is left, grandchildren included."""
        port, other = free_port(), free_port()
        with supervised(tmp_path, f"family:{port}", f"serve:{other}") as run:
            run.wait_ready()
            grandchild = int((run.logs / f"family-{port}.log").read_text().split()[0])
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
            wait_until(lambda: not listens(port) and not listens(other), "the children's end")
            wait_until(lambda: not runs(grandchild), "the grandchild's end")
