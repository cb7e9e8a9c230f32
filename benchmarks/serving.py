"""Measures a whole exporter as it runs: time and processor time of a scrape over HTTP, and its memory, by size."""

import gzip
import http.client
import re
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.dataset import LINES_PER_TUPLE
from benchmarks.results import Figure, Section, Target
from benchmarks.scraping import writers

SIZES = (10_000, 100_000, 500_000)
PROCESSES = 8
_SECONDS, _MEBIBYTES = 0.4, 150.0
_JUDGED = 100_000
_CPU = re.compile(rb"^process_cpu_seconds_total (\S+)$", re.MULTILINE)


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure each size in turn; ``directory``: an empty one."""
    wall, processor, memory = [], [], []
    for lines in SIZES:
        name = f"{lines} lines"
        say(f"Exporter with {name}: recording")
        folder = directory / str(lines)
        with (
            writers("ours", folder, PROCESSES, -(-lines // LINES_PER_TUPLE)),
            _running(folder) as (process, connection),
        ):
            say(f"Exporter with {name}")
            times, used = _scrapes(connection, rounds)
            wall.append(Figure(name, times, f"{PROCESSES} processes, gzip, over HTTP"))
            processor.append(Figure(name, used))
            memory.append(Figure(name, (_peak_mebibytes(process.pid),) * rounds, "peak, resident"))
    base = wall[0].name
    judged = SIZES.index(_JUDGED)
    fast = Target(f"scrape of {_JUDGED} lines", wall[judged].median / 1000, _SECONDS, "at most", " s")
    small = Target(f"memory with {_JUDGED} lines", memory[judged].median, _MEBIBYTES, "at most", " MiB")
    return [
        Section("Exporter: duration of a scrape", "ms", tuple(wall), base, (fast,)),
        Section("Exporter: processor time of a scrape", "ms", tuple(processor), base),
        Section("Exporter: memory", "MiB", tuple(memory), base, (small,)),
    ]


def _scrapes(connection: http.client.HTTPConnection, rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return milliseconds of each scrape, and of the processor from one to the next."""
    times, used = [], []
    before = _scrape(connection)[1]
    for _ in range(rounds):
        took, now = _scrape(connection)
        times.append(took)
        # What a scrape uses after it has read its own counter is in the next one's.
        used.append((now - before) * 1000)
        before = now
    return tuple(times), tuple(used)


def _scrape(connection: http.client.HTTPConnection) -> tuple[float, float]:
    """Return milliseconds of a scrape as Prometheus makes it, and the exporter's processor seconds so far."""
    begun = time.perf_counter()
    connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
    body = connection.getresponse().read()
    took = (time.perf_counter() - begun) * 1000
    found = _CPU.search(gzip.decompress(body))
    if found is None:
        raise RuntimeError("the exporter does not tell its processor time")
    return took, float(found[1])


@contextmanager
def _running(directory: Path) -> Iterator[tuple["subprocess.Popen[str]", http.client.HTTPConnection]]:
    """Run an exporter over the directory; yields it and a connection to it."""
    program = Path(sysconfig.get_path("scripts")) / "genai-exporter"
    command = [str(program), "serve", f"--metrics-dir={directory}", "--web.listen-address=127.0.0.1:0"]
    # Series are shown with their values at once: as 0 they would compress better than any real ones.
    process = subprocess.Popen([*command, "--born-at-zero-seconds=0"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        found = None
        for line in process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                break
        if found is None:
            raise RuntimeError(f"the exporter ended with status {process.wait()}")
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        yield process, connection
        connection.close()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def _peak_mebibytes(pid: int) -> float:
    """Largest resident set of a process so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kibibytes) / 1024
