"""Tests with writers in other pid namespaces than the exporter, as in containers that share a volume."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from genai_exporter.aggregate import Applications
from genai_metrics.blockfile import SUFFIX, parse_header

Samples = Callable[[Applications], dict[str, float]]
Sum = Callable[..., float]
Start = Callable[..., subprocess.Popen[str]]
Tell = Callable[..., dict[str, int]]
Open = Callable[..., Applications]

CALLS = "genai_llm_calls_total"

# A pid namespace of its own, as a container has; without root it takes a user namespace as well.
CONTAINER = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
CONTAINER += ["--pid", "--fork", "--mount-proc", "--kill-child"]


def pids(directory: Path) -> list[int]:
    """Process ids that the writers of all block files gave as theirs."""
    found = []
    for path in directory.glob("*" + SUFFIX):
        with path.open("rb") as file:
            found.append(parse_header(file.read(4096)).pid)
    return found


class TestContainers:
    """Liveness does not depend on process ids, which repeat."""

    def test_two_living_writers_with_process_id_1(
        self,
        tmp_path: Path,
        start_worker: Start,
        tell: Tell,
        exporter: Open,
        samples: Samples,
        total: Sum,
        eventually: Callable[[Callable[[], bool]], None],
    ) -> None:
        """Both count; when one is killed its file alone is folded, though pid 1 lives on everywhere."""
        applications = exporter(tmp_path)
        first = start_worker(tmp_path, launcher=CONTAINER)
        second = start_worker(tmp_path, launcher=CONTAINER)
        for worker, calls in ((first, 3), (second, 4)):
            tell(worker, calls=[{"model": "m"}] * calls)
        assert pids(tmp_path) == [1, 1]
        assert total(samples(applications), CALLS) == 7
        assert applications.scrape().files["live"] == 2

        first.kill()
        eventually(lambda: applications.scrape().files["folded"] == 1)
        assert applications.scrape().files["live"] == 1
        assert total(samples(applications), CALLS) == 7
        tell(second, calls=[{"model": "m"}])
        assert total(samples(applications), CALLS) == 8

    def test_restarts_that_reuse_the_process_id(
        self,
        tmp_path: Path,
        start_worker: Start,
        tell: Tell,
        exporter: Open,
        samples: Samples,
        total: Sum,
        eventually: Callable[[Callable[[], bool]], None],
    ) -> None:
        """A container that is killed and comes back with the same pid adds to what it had counted before."""
        applications = exporter(tmp_path)
        for number in range(1, 4):
            worker = start_worker(tmp_path, launcher=CONTAINER)
            tell(worker, calls=[{"model": "m"}])
            assert pids(tmp_path) == [1]
            assert total(samples(applications), CALLS) == number
            worker.kill()
            eventually(lambda: applications.scrape().files["live"] == 0)
            assert applications.scrape().files["folded"] == number
        assert total(samples(applications), CALLS) == 3

    def test_a_living_pid_of_the_exporters_own_does_not_count(
        self,
        tmp_path: Path,
        start_worker: Start,
        tell: Tell,
        exporter: Open,
        samples: Samples,
        total: Sum,
        eventually: Callable[[Callable[[], bool]], None],
    ) -> None:
        """A dead writer is dead although the pid it had belongs to a living process here: pid 1 always does."""
        worker = start_worker(tmp_path, launcher=CONTAINER)
        tell(worker, calls=[{"model": "m"}], enter="m")
        worker.kill()
        assert Path("/proc/1").exists()
        applications = exporter(tmp_path)
        eventually(lambda: applications.scrape().files["folded"] == 1)
        found = samples(applications)
        assert total(found, CALLS) == 1
        assert not [name for name in found if "in_flight" in name]
