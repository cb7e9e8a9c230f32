"""Tests of the host collector on recorded and composed hosts: golden scrapes, and what a broken file costs."""

import logging
import platform
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest
from gpu_scrapes import text
from host_scrapes import FIXTURES, NAMES, collector, copy_of, scrape, series

from genai_exporter.collectors.host import HostCollector, HostError
from genai_exporter.collectors.host_files import lines
from genai_metrics.catalog import HOST_METRICS
from genai_stack.binaries import require

SERVER = "server-cgroup-v2"
V2 = "container-cgroup-v2"
V1 = "container-cgroup-v1__6.18"


def families(served: str) -> set[str]:
    """Return the names of the families of a scrape, without their prefix."""
    split = (line.split() for line in served.splitlines())
    return {words[2].removeprefix("genai_host_") for words in split if words[:2] == ["#", "TYPE"]}


@pytest.mark.parametrize("name", NAMES)
class TestGolden:
    """Every host."""

    def test_is_served_byte_for_byte(self, name: str) -> None:
        """What a scrape serves is what was looked at when the file beside the recording was written."""
        assert (FIXTURES / f"{name}.metrics").read_text("utf-8") == scrape(FIXTURES / name)

    def test_pleases_promtool(self, name: str) -> None:
        """Names, types and help are as Prometheus wants them."""
        done = subprocess.run(
            [require("promtool"), "check", "metrics"],
            input=scrape(FIXTURES / name),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_every_metric_is_served() -> None:
    """All hosts together serve every metric of the catalogue and no other, with every listed label value."""
    bodies = "".join(scrape(FIXTURES / name) for name in NAMES)
    assert {line for line in bodies.splitlines() if line.startswith("# HELP ")} == {
        f"# HELP {metric.name} {metric.help}" for metric in HOST_METRICS
    }
    for metric in HOST_METRICS:
        for value in metric.split[1] if metric.split else ():
            assert f'{metric.split[0] if metric.split else ""}="{value}"' in bodies


class TestThisMachine:
    """The collector on the machine that runs the test."""

    def test_says_what_psutil_says(self) -> None:
        """Figures that do not move agree exactly, counters do not go back in between."""
        before = psutil.cpu_times()
        found = {family.name: family.samples for family in HostCollector().collect()}
        after = psutil.cpu_times()
        assert found["genai_host_boot_time_seconds"][0].value == psutil.boot_time()
        seconds = {sample.labels["mode"]: sample.value for sample in found["genai_host_cpu_seconds"]}
        for mode in ("user", "system", "softirq"):
            assert getattr(before, mode) <= seconds[mode] <= getattr(after, mode)
        assert found["genai_host_open_descriptors"][0].value > 0
        limited = {sample.labels["resource"]: sample.value for sample in found["genai_host_limited"]}
        if not limited["memory"]:
            assert found["genai_host_memory_total_bytes"][0].value == psutil.virtual_memory().total


class TestPsutil:
    """Systems other than Linux; psutil says the same of this one."""

    def test_serves_what_psutil_has(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        """All families but those of cgroups and of Linux alone, with the same sizes as the kernel's files."""
        own = text(HostCollector().collect())
        monkeypatch.setattr(platform, "system", lambda: "Darwin")
        other = text(HostCollector().collect())
        assert [getattr(record, "fields", {}).get("error") for record in caplog.records] == []
        # Some machines have file systems that psutil does not count, or no disk.
        may_be_missing = {"disk_total_bytes", "disk_used_bytes", "disk_available_bytes"}
        linux = {name for name in families(own) if "thrott" not in name and "quota" not in name} - may_be_missing
        assert families(other) - may_be_missing == linux - {
            "open_descriptors",
            "max_descriptors",
            "disk_busy_seconds_total",
        }
        assert series(other)["boot_time_seconds"] == series(own)["boot_time_seconds"]
        assert series(other)["memory_total_bytes"] == psutil.virtual_memory().total
        found = series(other)
        assert found['limited{resource="cpu"}'] == 0
        assert found["memory_used_bytes"] + found["memory_available_bytes"] == found["memory_total_bytes"]


class TestLimits:
    """Inside a container, and on a machine."""

    @pytest.mark.parametrize("limit", ["max\n", f"{2**40}\n"])
    def test_a_limit_above_the_machine_is_none(self, tmp_path: Path, limit: str) -> None:
        """Memory is then the machine's; a file that is missing says the same."""
        host = copy_of(V2, tmp_path)
        (host / "cgroup/memory.max").write_text(limit)
        first = series(scrape(host))
        (host / "cgroup/memory.max").unlink()
        assert series(scrape(host)) == first
        assert first['limited{resource="memory"}'] == 0
        assert first["memory_total_bytes"] == 16384000 * 1024
        assert first["memory_used_bytes"] == 8192000 * 1024

    def test_the_working_set_is_never_negative_or_above_the_limit(self, tmp_path: Path) -> None:
        """The files are read one after the other, and the kernel lets usage pass the limit."""
        host = copy_of(V2, tmp_path)
        (host / "cgroup/memory.current").write_text("1000\n")
        assert series(scrape(host))["memory_used_bytes"] == 0
        (host / "cgroup/memory.current").write_text(f"{2**40}\n")
        assert series(scrape(host))["memory_available_bytes"] == 0

    def test_swap_of_version_1_is_what_is_swapped_out(self, tmp_path: Path) -> None:
        """Not the difference of two counters that lag behind: the recording has one of 217088 bytes, and no swap."""
        host = copy_of(V1, tmp_path)
        assert series(scrape(host))["swap_used_bytes"] == 0
        stat = host / "cgroup/memory/memory.stat"
        stat.write_text(stat.read_text().replace("total_swap 0\n", "total_swap 4096\n"))
        assert series(scrape(host))["swap_used_bytes"] == 4096

    def test_a_cpu_set_is_a_limit(self, tmp_path: Path) -> None:
        """The smaller of set and quota counts; there is no throttling without a quota."""
        host = copy_of(V2, tmp_path)
        (host / "cgroup/cpuset.cpus.effective").write_text("2\n")
        assert series(scrape(host))["cpu_limit_cores"] == 1
        (host / "cgroup/cpuset.cpus.effective").write_text("0-1,3\n")
        (host / "cgroup/cpu.max").write_text("max 100000\n")
        found = series(scrape(host))
        assert found["cpu_limit_cores"] == 3
        assert found['limited{resource="cpu"}'] == 1
        assert "cpu_throttled_periods_total" not in found

    @pytest.mark.parametrize("quota", ["0 100000\n", "150000 0\n", "max\nmax\n", "", "50%\n"])
    def test_a_quota_that_cannot_be_understood_is_no_quota_of_the_machine(self, tmp_path: Path, quota: str) -> None:
        """The limit and what depends on it are absent rather than the machine's; the CPU times remain."""
        host = copy_of(V2, tmp_path)
        (host / "cgroup/cpu.max").write_text(quota)
        lost = families(scrape(FIXTURES / V2)) - families(scrape(host))
        assert lost >= {"cpu_limit_cores", "cpu_usage_seconds_total"}
        assert "cpu_seconds_total" not in lost
        assert 'limited{resource="cpu"}' not in series(scrape(host))


COSTS = {
    "proc/stat": {"cpu_seconds_total", "cpu_limit_cores", "cpu_usage_seconds_total", "boot_time_seconds"},
    "proc/loadavg": {"load_average"},
    "proc/meminfo": {
        "memory_total_bytes",
        "memory_used_bytes",
        "memory_available_bytes",
        "swap_total_bytes",
        "swap_used_bytes",
    },
    "proc/diskstats": {
        "disk_io_bytes_total",
        "disk_io_operations_total",
        "disk_io_seconds_total",
        "disk_busy_seconds_total",
    },
    "proc/sys/fs/file-nr": {"open_descriptors", "max_descriptors"},
    "proc/1/net/dev": {
        "network_bytes_total",
        "network_packets_total",
        "network_errors_total",
        "network_drops_total",
    },
    "proc/1/mountinfo": {"disk_total_bytes", "disk_used_bytes", "disk_available_bytes"},
}
"""By file, the metrics that are read from it alone."""


class TestBroken:
    """One file is missing, cut off or garbage."""

    @pytest.mark.parametrize("file", COSTS)
    @pytest.mark.parametrize("content", [None, b"", b"\xff\x00\x80 garbage -1 1e9 \xc2\xb2\n" * 3])
    def test_a_file_costs_its_own_series(self, tmp_path: Path, file: str, content: bytes | None) -> None:
        """All others are served as before, whether it is missing, empty or not what it should be."""
        host = copy_of(SERVER, tmp_path)
        before = scrape(host)
        (host / file).unlink() if content is None else (host / file).write_bytes(content)
        after = scrape(host)
        assert families(before) - families(after) == COSTS[file]
        assert series(after).items() <= series(before).items()

    @pytest.mark.parametrize("file", COSTS)
    def test_a_file_that_ends_early_never_serves_a_wrong_number(self, tmp_path: Path, file: str) -> None:
        """Cut at any byte, what is still served is what the whole file says."""
        host = copy_of(SERVER, tmp_path)
        whole = (host / file).read_bytes()
        before = series(scrape(host)).items()
        for length in range(0, len(whole), max(1, len(whole) // 60)):
            (host / file).write_bytes(whole[:length])
            after = series(scrape(host))
            wrong = {name: value for name, value in after.items() if (name, value) not in before}
            # CPUs that the file does not list any more cannot be missed.
            assert wrong.keys() <= ({"cpu_limit_cores"} if file == "proc/stat" else set()), length

    def test_a_file_that_ends_early_is_said_to(self, tmp_path: Path) -> None:
        """Also one whose whole lines would do: what is missing is not known."""
        path = tmp_path / "cpu.stat"
        path.write_text("nr_periods 40\nnr_throttled 3")
        with pytest.raises(ValueError, match=r"cpu\.stat is empty or cut off"):
            list(lines(path))

    def test_is_logged_when_it_begins(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Once, with the file, however often it is scraped; and when it ends."""
        host = copy_of(SERVER, tmp_path)
        (host / "proc/loadavg").unlink()
        once = collector(host)
        caplog.set_level(logging.INFO)
        caplog.clear()
        already = len([error for error in _errors(once, caplog) if "loadavg" in error])
        again = len([error for error in _errors(once, caplog) if "loadavg" in error])
        assert (already, again) == (1, 0)
        (host / "proc/loadavg").write_text("1.50 0.75 0.25 2/310 17\n")
        _errors(once, caplog)
        assert [record.getMessage() for record in caplog.records] == ["a part of the host can be read again"]

    def test_nothing_at_all_is_a_failure(self, tmp_path: Path) -> None:
        """The text names a file and the remedies."""
        host = copy_of(SERVER, tmp_path)
        for folder in ("proc", "sys", "cgroup"):
            shutil.rmtree(host / folder)
        with pytest.raises(HostError, match=r"proc/stat.*--path\.procfs.*--no-collector\.host"):
            collector(host).collect()

    def test_an_idle_time_that_falls_is_held(self, tmp_path: Path) -> None:
        """The kernel's idle and iowait times can fall by a little, which Prometheus would take for a restart."""
        host = copy_of(SERVER, tmp_path)
        once = collector(host)
        stat = host / "proc/stat"
        served = []
        for iowait in (16683, 16680, 16690, 10):
            stat.write_text(stat.read_text().replace(stat.read_text().split()[5], str(iowait), 1))
            found = {family.name: family for family in once.collect()}["genai_host_cpu_seconds"]
            served += [sample.value for sample in found.samples if sample.labels["mode"] == "iowait"]
        assert served == [166.83, 166.83, 166.9, 0.1]


def _errors(once: HostCollector, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Scrape and return the errors logged by it."""
    caplog.clear()
    once.collect()
    return [getattr(record, "fields", {}).get("error", "") for record in caplog.records]
