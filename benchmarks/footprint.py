"""Measures what importing the package and holding 1 000 label tuples cost an application.

Each value comes from a new process: ``python -m benchmarks.footprint WHAT DIRECTORY`` prints KiB.
"""

import gc
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from resource import getpagesize

from benchmarks.results import Figure, Section, Target

TUPLES = 1000
OURS_FILE, OURS_MEMORY, PEER = "track_llm_call, file", "track_llm_call, memory", "prometheus_client"
IMPORT, IMPORT_PEER = "genai_metrics after prometheus_client", "prometheus_client"


# In a bare interpreter: what this package itself imports would otherwise be loaded already.
_IMPORTS = """
import time
begun = time.perf_counter()
import prometheus_client
between = time.perf_counter()
import genai_metrics
print(1000 * (between - begun), 1000 * (time.perf_counter() - between))
"""


def measure(*, rounds: int, say: Callable[[str], None]) -> list[Section]:
    """Measure memory and import time, interleaved."""
    grown: dict[str, list[float]] = {"file": [], "private": [], "peer": []}
    imports: list[tuple[float, ...]] = []
    for number in range(rounds):
        say(f"memory and import: round {number + 1} of {rounds}")
        for what, values in grown.items():
            with tempfile.TemporaryDirectory() as directory:
                values += _run("-m", "benchmarks.footprint", what, directory)
        imports.append(_run("-c", _IMPORTS))
    peer, ours = zip(*imports, strict=True)
    memory_section = Section(
        f"Memory of {TUPLES} label tuples of streamed, priced calls",
        "KiB",
        (
            Figure(OURS_FILE, tuple(grown["file"]), "pages of the file included"),
            Figure(OURS_MEMORY, tuple(grown["private"])),
            Figure(PEER, tuple(grown["peer"]), "the same families"),
        ),
        PEER,
    )
    import_section = Section(
        "Import, after that of prometheus_client", "ms", (Figure(IMPORT, ours), Figure(IMPORT_PEER, peer)), IMPORT_PEER
    )
    return [
        _with(memory_section, Target(OURS_FILE, memory_section.figure(OURS_FILE).median, 2048, "at most", " KiB")),
        _with(import_section, Target(IMPORT, import_section.figure(IMPORT).median, 60, "at most", " ms")),
    ]


def _run(*arguments: str) -> tuple[float, ...]:
    """The numbers that a new interpreter prints."""
    output = subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
    return tuple(map(float, output.split()))


def _with(section: Section, target: Target) -> Section:
    return Section(section.title, section.unit, section.figures, section.base, (target,))


def memory(record: Callable[[int], None]) -> float:
    """KiB by which the process grows while so many label tuples are first recorded."""
    record(1)
    gc.collect()
    before = _resident()
    record(TUPLES + 1)
    gc.collect()
    return (_resident() - before) / 1024


def _resident() -> int:
    """Bytes of memory that the process holds, mapped files included (Linux: /proc/self/statm)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize()


def main() -> None:
    """Print one measured value of memory."""
    from prometheus_client import CollectorRegistry

    from benchmarks.dataset import peer_metrics, record_ours, record_peer

    what, directory = sys.argv[1:]
    if what == "peer":
        metrics = peer_metrics(CollectorRegistry())
        print(memory(lambda tuples: record_peer(0, tuples, metrics)))
    else:
        import genai_metrics

        genai_metrics.configure(metrics_dir=directory if what == "file" else None, service_name="benchmark")
        print(memory(lambda tuples: record_ours(0, tuples)))


if __name__ == "__main__":
    main()
