"""Tests of processes that disagree on whether a cache or a queue is theirs or shared: a series never has two lines."""

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from recording_process import recording

from genai_exporter.aggregate import Applications
from genai_exporter.reporting import read_directory
from genai_metrics.summaries import summarize
from genai_stack.binaries import require

Open = Callable[..., Applications]

# Says the sizes of one cache and one queue, as its own or as shared ones, and stays.
PROCESS = """
import sys
from genai_metrics import configure, track_cache, track_queue
configure(metrics_dir=sys.argv[1], service_name="service", pricing=False)
size, shared = int(sys.argv[2]), sys.argv[3] == "shared"
track_cache("answers", capacity=10 * size, shared=shared).size(entries=size, bytes=100 * size)
track_queue("jobs", size, shared=shared)
print(flush=True)
sys.stdin.read()
"""


def sizes(applications: Applications) -> tuple[float, ...]:
    """Queue length, entries, capacity and bytes in a scrape in which no series comes twice."""
    scrape = applications.scrape()
    text = b"".join(scrape.render(False))
    checked = subprocess.run([str(require("promtool")), "check", "metrics"], input=text, capture_output=True)
    assert (checked.stdout, checked.stderr, checked.returncode) == (b"", b"", 0)
    found: dict[str, float] = {}
    parsed = parse_openmetrics((b"".join(scrape.render(True)) + b"# EOF\n").decode())  # type: ignore[no-untyped-call]
    samples = [sample for family in parsed for sample in family.samples]
    assert len({(sample.name, *sorted(sample.labels.items())) for sample in samples}) == len(samples)
    assert scrape.series == len(samples)
    found = {sample.name: sample.value for sample in samples}
    names = ("queue_length", "cache_entries", "cache_capacity_entries", "cache_bytes")
    return tuple(found.get(f"genai_{name}", -1.0) for name in names)


def times(size: float) -> tuple[float, ...]:
    """What ``sizes`` finds of things of this size together."""
    return (size, size, 10 * size, 100 * size)


class TestDisagreement:
    """Processes of one service, one name, and both kinds of things."""

    @pytest.mark.parametrize("order", list(permutations(((3, "own"), (4, "own"), (50, "shared")))))
    def test_sum(self, tmp_path: Path, exporter: Open, order: tuple[tuple[int, str], ...]) -> None:
        """The sizes of all private things and of the shared one, in whatever order they came; the report says the same.

        Of ended processes nothing is left.
        """
        applications = exporter(tmp_path)
        with ExitStack() as others:
            for size, whose in order[1:]:
                others.enter_context(recording(PROCESS, tmp_path, size, whose))
            with recording(PROCESS, tmp_path, *order[0]):
                assert sizes(applications) == times(57)
                (cache,) = summarize(read_directory(tmp_path).rows["service"], scope="").caches.values()
                assert (cache.entries, cache.bytes) == (57, 5700)
            assert sizes(applications) == times(57 - order[0][0])
        assert sizes(applications) == (-1.0,) * 4

    def test_of_shared_things_one_counts(self, tmp_path: Path, exporter: Open) -> None:
        """The last word of the processes that call it shared, beside the one that does not."""
        applications = exporter(tmp_path)
        with (
            recording(PROCESS, tmp_path, 50, "shared"),
            recording(PROCESS, tmp_path, 3, "own"),
            recording(PROCESS, tmp_path, 60, "shared"),
        ):
            assert sizes(applications) == times(63)
