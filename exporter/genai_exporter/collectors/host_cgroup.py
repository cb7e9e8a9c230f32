"""What the cgroup allows, uses and throttles: that at the root of the cgroups that are seen, of version 2 or 1.

In a container that root is the container's own cgroup, on the machine the root of all, which has no limits. So the
limits are those of the container, and not of the exporter's own service of systemd, which say nothing about others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from genai_exporter.collectors.host_files import Reading, count, line, number, numbers, pick
from genai_metrics.catalog import host


@dataclass(frozen=True)
class _Files:
    """Where one version of cgroups keeps what; the unit of its times in seconds."""

    cpu_stat: str
    cpu_usage: str
    cpu_set: tuple[str, ...]
    throttled: str
    second: float
    memory_limit: str
    memory_usage: str
    memory_stat: str
    inactive_file: str
    swap_limit: str
    swap_usage: str | None


_V2 = _Files(
    cpu_stat="cpu.stat",
    cpu_usage="cpu.stat",
    cpu_set=("cpuset.cpus.effective",),
    throttled="throttled_usec",
    second=1e6,
    memory_limit="memory.max",
    memory_usage="memory.current",
    memory_stat="memory.stat",
    inactive_file="inactive_file",
    swap_limit="memory.swap.max",
    swap_usage="memory.swap.current",
)
# Where cpu and cpuacct are one controller both names are links to its folder.
_V1 = _Files(
    cpu_stat="cpu/cpu.stat",
    cpu_usage="cpuacct/cpuacct.usage",
    cpu_set=("cpuset/cpuset.effective_cpus", "cpuset/cpuset.cpus"),
    throttled="throttled_time",
    second=1e9,
    memory_limit="memory/memory.limit_in_bytes",
    memory_usage="memory/memory.usage_in_bytes",
    memory_stat="memory/memory.stat",
    inactive_file="total_inactive_file",
    # Of memory and swap together.
    swap_limit="memory/memory.memsw.limit_in_bytes",
    # That of memory.memsw.usage_in_bytes without that of memory is off by what each CPU has not yet accounted for.
    swap_usage=None,
)

# Version 1 has no word for it: it says the largest number of whole pages in 63 bits, which depends on the page.
_UNLIMITED = 2**60


class Cgroup:
    """The cgroup in a folder, during one scrape; methods raise ``OSError`` and ``ValueError``.

    A file that is missing is a limit that is not there: the root of all cgroups has none, nor has a controller that is
    off. One that cannot be read or understood is an error, not the absence of a limit.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @cached_property
    def _is_v2(self) -> bool:
        return (self._folder / "cgroup.controllers").exists()

    @cached_property
    def _files(self) -> _Files:
        return _V2 if self._is_v2 else _V1

    def _path(self, name: str) -> Path:
        return self._folder / name

    def quota(self) -> float | None:
        """Return how many CPUs' time may be used, or None if there is no quota."""
        try:
            if self._is_v2:
                path = self._path("cpu.max")
                quota, _, period_text = line(path).partition(" ")
                if quota == "max":
                    return None
                period = count(period_text, path)
            else:
                path = self._path("cpu/cpu.cfs_quota_us")
                quota = line(path)
                if quota == "-1":
                    return None
                period = number(self._path("cpu/cpu.cfs_period_us"))
        except FileNotFoundError:
            return None
        cores = count(quota, path) / period if period else 0.0
        if not cores:
            raise ValueError(f"{path} allows no CPU time")
        return cores

    def cpus(self) -> int | None:
        """Return how many CPUs the set has, or None if there is no set."""
        for name in self._files.cpu_set:
            path = self._path(name)
            try:
                text = line(path)
            except FileNotFoundError:
                continue
            if text:
                return sum(_width(part, path) for part in text.split(","))
        return None

    def cpu_usage(self) -> float:
        """Return the CPU time used, in seconds."""
        path = self._path(self._files.cpu_usage)
        used = pick(numbers(path), "usage_usec", path) if self._is_v2 else number(path)
        return used / self._files.second

    def throttling(self) -> Iterator[Reading]:
        """Yield what the quota cost, if there is one."""
        if self.quota() is not None:
            path = self._path(self._files.cpu_stat)
            found = numbers(path)
            yield host.CPU_PERIODS, (), pick(found, "nr_periods", path)
            yield host.CPU_THROTTLED_PERIODS, (), pick(found, "nr_throttled", path)
            yield host.CPU_THROTTLED_SECONDS, (), pick(found, self._files.throttled, path) / self._files.second

    def memory_limit(self) -> int | None:
        """Return the limit in bytes, or None if there is none."""
        return self._limit(self._files.memory_limit)

    def memory_used(self) -> int:
        """Return the working set in bytes."""
        usage = number(self._path(self._files.memory_usage))
        path = self._path(self._files.memory_stat)
        # Usage includes the page cache. Of that, pages of files that were not used lately are dropped first, for
        # nothing, when memory is short: a container that reads large files is at its limit all the time and not in
        # danger. This is also what Kubernetes evicts by. The two files are not read at one moment.
        return max(0, usage - pick(numbers(path), self._files.inactive_file, path))

    def swap_limit(self) -> int | None:
        """Return how many bytes may be swapped out, or None if that is not limited."""
        limit = self._limit(self._files.swap_limit)
        if limit is None or self._is_v2:
            return limit
        return max(0, limit - number(self._path(self._files.memory_limit)))

    def swap_used(self) -> int | None:
        """Return how many bytes are swapped out, or None if the kernel does not count them."""
        if self._files.swap_usage is None:
            return numbers(self._path(self._files.memory_stat)).get("total_swap")
        try:
            return number(self._path(self._files.swap_usage))
        except FileNotFoundError:
            return None

    def _limit(self, name: str) -> int | None:
        path = self._path(name)
        try:
            text = line(path)
        except FileNotFoundError:
            return None
        if text == "max":
            return None
        limit = count(text, path)
        return limit if limit < _UNLIMITED else None


def _width(part: str, path: Path) -> int:
    """Return how many CPUs ``3`` or ``0-3`` are."""
    first, dash, last = part.partition("-")
    width = count(last if dash else first, path) - count(first, path) + 1
    if width < 1:
        raise ValueError(f"{path}: {part[:40]!r} is not a range of CPUs")
    return width
