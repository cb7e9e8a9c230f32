"""CPU, memory, load and descriptors: the machine's as ``/proc`` says, or what a cgroup allows and uses of them.

Each function yields what one source says, and raises ``OSError`` or ``ValueError`` for what it does not.
"""

import os
from collections.abc import Iterator

from genai_exporter.collectors.host_cgroup import Cgroup
from genai_exporter.collectors.host_files import Reading, Roots, count, decimal, line, lines
from genai_metrics.catalog import host

_MODES = host.CPU_SECONDS.split[1] if host.CPU_SECONDS.split else ()
# Stolen time counts as used: it is what a virtual machine wanted and did not get, so more of it is not to be had.
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_WINDOWS = host.LOAD.split[1] if host.LOAD.split else ()


def cpu_modes(roots: Roots) -> Iterator[Reading]:
    """Yield the CPU time of the machine by mode."""
    for mode, seconds in _modes(roots).items():
        yield host.CPU_SECONDS, (mode,), seconds


def cpu_limit(roots: Roots) -> Iterator[Reading]:
    """Yield how many CPUs may be used, and whether that is a container's limit."""
    cores, limited = _cores(roots)
    yield host.LIMITED, ("cpu",), limited
    yield host.CPU_LIMIT, (), cores


def cpu_usage(roots: Roots) -> Iterator[Reading]:
    """Yield the CPU time used by what the limit is about."""
    if _cores(roots)[1]:
        yield host.CPU_USAGE, (), Cgroup(roots.cgroups).cpu_usage()
    else:
        modes = _modes(roots)
        yield host.CPU_USAGE, (), sum(modes.get(mode, 0.0) for mode in _BUSY)


def cpu_throttling(roots: Roots) -> Iterator[Reading]:
    """Yield what the quota of CPU time cost, if there is one."""
    yield from Cgroup(roots.cgroups).throttling()


def load(roots: Roots) -> Iterator[Reading]:
    """Yield the load averages."""
    path = roots.proc / "loadavg"
    for window, text in zip(_WINDOWS, line(path).split()[:3], strict=True):
        yield host.LOAD, (window,), decimal(text, path)


def memory(roots: Roots) -> Iterator[Reading]:
    """Yield the memory that may be used, and what of it is in use and available."""
    limit = _memory_limit(roots)
    if limit is not None:
        yield host.LIMITED, ("memory",), True
        yield host.MEMORY_TOTAL, (), limit
        used = Cgroup(roots.cgroups).memory_used()
        yield host.MEMORY_USED, (), used
        # The kernel lets usage pass the limit for a moment.
        yield host.MEMORY_AVAILABLE, (), max(0, limit - used)
    else:
        total = _meminfo(roots, "MemTotal")
        yield host.LIMITED, ("memory",), False
        yield host.MEMORY_TOTAL, (), total
        available = _meminfo(roots, "MemAvailable")
        yield host.MEMORY_AVAILABLE, (), available
        yield host.MEMORY_USED, (), max(0, total - available)


def swap(roots: Roots) -> Iterator[Reading]:
    """Yield the swap space that may be used, and what of it is in use."""
    cgroup = Cgroup(roots.cgroups)
    limited = _memory_limit(roots) is not None
    own = cgroup.swap_used() if limited else None
    if own is not None:
        yield host.SWAP_USED, (), own
    total = _meminfo(roots, "SwapTotal")
    if own is not None:
        limit = cgroup.swap_limit()
        yield host.SWAP_TOTAL, (), total if limit is None else min(limit, total)
    else:
        yield host.SWAP_TOTAL, (), total
        yield host.SWAP_USED, (), max(0, total - _meminfo(roots, "SwapFree"))


def descriptors(roots: Roots) -> Iterator[Reading]:
    """Yield how many descriptors are open, and may be."""
    path = roots.proc / "sys/fs/file-nr"
    fields = line(path).split()
    if len(fields) != 3:
        raise ValueError(f"{path} does not have 3 numbers")
    # The second, of allocated and unused ones, is 0 since Linux 2.6.
    yield host.DESCRIPTORS, (), count(fields[0], path) - count(fields[1], path)
    yield host.MAX_DESCRIPTORS, (), count(fields[2], path)


def boot_time(roots: Roots) -> Iterator[Reading]:
    """Yield when the machine started."""
    path = roots.proc / "stat"
    for text in lines(path):
        name, _, value = text.partition(" ")
        if name == "btime":
            yield host.BOOT_TIME, (), count(value, path)
            return
    raise ValueError(f"{path} has no btime")


def _modes(roots: Roots) -> dict[str, float]:
    """Return the seconds that all CPUs spent in each mode; old kernels know fewer modes."""
    path = roots.proc / "stat"
    first = next(lines(path), "").split()
    # user, nice, system and idle are as old as Linux.
    if first[:1] != ["cpu"] or len(first) < 5:
        raise ValueError(f"{path} does not begin with the times of all CPUs")
    tick = os.sysconf("SC_CLK_TCK")
    # Times of guests, which come last, are part of user and nice.
    return {mode: count(text, path) / tick for mode, text in zip(_MODES, first[1:], strict=False)}


def _cores(roots: Roots) -> tuple[float, bool]:
    """Return how many CPUs may be used, and whether the cgroup says so."""
    cgroup = Cgroup(roots.cgroups)
    quota, cpus = cgroup.quota(), cgroup.cpus()
    path = roots.proc / "stat"
    machine = sum(text[:3] == "cpu" and text[3:4].isdigit() for text in lines(path))
    if not machine:
        raise ValueError(f"{path} lists no CPU")
    cores = min(limit for limit in (quota, cpus, machine) if limit is not None)
    return cores, cores < machine


def _memory_limit(roots: Roots) -> int | None:
    """Return the cgroup's limit, or None if it has none or one above what the machine has."""
    limit = Cgroup(roots.cgroups).memory_limit()
    return limit if limit is not None and limit < _meminfo(roots, "MemTotal") else None


def _meminfo(roots: Roots, name: str) -> int:
    """Return a line of ``/proc/meminfo`` in bytes."""
    path = roots.proc / "meminfo"
    for text in lines(path):
        key, _, value = text.partition(":")
        if key == name:
            return 1024 * count(value.strip().removesuffix(" kB"), path)
    raise ValueError(f"{path} has no {name}")


SOURCES = (
    cpu_modes,
    cpu_limit,
    cpu_usage,
    cpu_throttling,
    load,
    memory,
    swap,
    descriptors,
    boot_time,
)
"""All of them; each fails by itself."""
