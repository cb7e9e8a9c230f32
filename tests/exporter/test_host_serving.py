"""Tests of the host collector in the real exporter, read by a real Prometheus."""

from pathlib import Path

import psutil
from host_scrapes import FIXTURES
from servers import exporter, prometheus, wait_for


def metrics_dir(folder: Path) -> Path:
    """Return a metrics directory that the exporter can make."""
    return folder / "metrics"


def test_prometheus_sees_this_host(tmp_path: Path) -> None:
    """Ratios can be computed from what arrives, and the collector's health is there."""
    with exporter(metrics_dir(tmp_path)) as server, prometheus(tmp_path / "prometheus", {"genai": server.port}) as seen:
        ratio = wait_for(
            "the ratio of CPU use",
            lambda: seen.value("rate(genai_host_cpu_usage_seconds_total[1m]) / genai_host_cpu_limit_cores"),
        )
        assert 0 <= ratio < 1.5
        used = seen.value("genai_host_memory_used_bytes / genai_host_memory_total_bytes")
        assert used is not None
        assert 0 < used < 1
        assert seen.value("genai_host_boot_time_seconds") == psutil.boot_time()
        assert seen.value('genai_exporter_collector_success{collector="host"}') == 1


def test_another_host_can_be_watched(tmp_path: Path) -> None:
    """The options say where its files are, as an exporter in a container needs it."""
    folder = FIXTURES / "container-cgroup-v2"
    options = ("--path.procfs", folder / "proc", "--path.sysfs", folder / "sys", "--path.cgroupfs", folder / "cgroup")
    with exporter(metrics_dir(tmp_path), *map(str, options)) as server:
        body = server.scrape()
    assert "genai_host_memory_total_bytes 2.147483648e+09\n" in body
    assert "genai_host_cpu_limit_cores 1.5\n" in body
    assert 'genai_host_network_bytes_total{device="eth0",direction="receive"} 5e+06\n' in body


def test_a_host_that_is_not_there_fails_alone(tmp_path: Path) -> None:
    """The scrape goes on without it, and says so."""
    empty = str(tmp_path / "none")
    with exporter(metrics_dir(tmp_path), "--path.procfs", empty, "--path.sysfs", empty) as server:
        body = server.scrape()
    assert "genai_host_" not in body
    assert 'genai_exporter_collector_success{collector="host"} 0.0\n' in body
    assert 'genai_exporter_collector_success{collector="applications"} 1.0\n' in body


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    """No family of it and no health."""
    with exporter(metrics_dir(tmp_path), "--no-collector.host") as server:
        body = server.scrape()
    assert "genai_host_" not in body
    assert 'collector="host"' not in body
