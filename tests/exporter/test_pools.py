"""Tests of pools over processes: connections add up, and the fullest pool is not hidden by idle ones."""

from collections.abc import Callable
from pathlib import Path

from recording_process import recording

from genai_exporter.aggregate import Applications

Open = Callable[..., Applications]
Samples = Callable[[Applications], dict[str, float]]

# Has a pool of ten connections, so many of them in use, and stays.
PROCESS = """
import sys
from genai_metrics import configure, track_pool
configure(metrics_dir=sys.argv[1], service_name="service", pricing=False)
track_pool("db", active=int(sys.argv[2]), idle=0, size=10)
print(flush=True)
sys.stdin.read()
"""


class TestPool:
    """One pool in each of several processes."""

    def test_the_fullest_counts(self, tmp_path: Path, exporter: Open, samples: Samples) -> None:
        """Its share is shown among idle ones, in whatever order they came, and is over when its process is."""
        applications = exporter(tmp_path)
        in_use = 'genai_pool_in_use_ratio{service="service",pool="db"}'
        active = 'genai_pool_connections{service="service",pool="db",state="active"}'
        with recording(PROCESS, tmp_path, 2):
            with recording(PROCESS, tmp_path, 10), recording(PROCESS, tmp_path, 0):
                found = samples(applications)
                assert (found[in_use], found[active]) == (1.0, 12)
                assert found['genai_pool_size{service="service",pool="db"}'] == 30
            assert samples(applications)[in_use] == 0.2
        assert in_use not in samples(applications)
