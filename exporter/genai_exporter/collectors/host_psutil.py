"""The machine as psutil says, on systems without the files of Linux (macOS, BSD); they have no cgroups.

Each function yields what one source says, and raises ``OSError`` or ``ValueError`` for what it does not.
"""

from collections.abc import Iterator

import psutil

from genai_exporter.collectors.host_files import Reading, Roots
from genai_metrics.catalog import host

_MODES = host.CPU_SECONDS.split[1] if host.CPU_SECONDS.split else ()
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_WINDOWS = host.LOAD.split[1] if host.LOAD.split else ()


def cpu(roots: Roots) -> Iterator[Reading]:
    """Yield the CPU times of the modes that this system tells apart, and how many CPUs there are."""
    said = psutil.cpu_times()._asdict()
    for mode in _MODES:
        if mode in said:
            yield host.CPU_SECONDS, (mode,), said[mode]
    yield host.CPU_USAGE, (), sum(said.get(mode, 0.0) for mode in _BUSY)
    yield host.LIMITED, ("cpu",), False
    count = psutil.cpu_count()
    if count is not None:
        yield host.CPU_LIMIT, (), count


def load(roots: Roots) -> Iterator[Reading]:
    """Yield the load averages."""
    for window, average in zip(_WINDOWS, psutil.getloadavg(), strict=True):
        yield host.LOAD, (window,), average


def memory(roots: Roots) -> Iterator[Reading]:
    """Yield the memory of the machine."""
    said = psutil.virtual_memory()
    yield host.LIMITED, ("memory",), False
    yield host.MEMORY_TOTAL, (), said.total
    yield host.MEMORY_AVAILABLE, (), said.available
    yield host.MEMORY_USED, (), said.total - said.available


def swap(roots: Roots) -> Iterator[Reading]:
    """Yield the swap space of the machine."""
    said = psutil.swap_memory()
    yield host.SWAP_TOTAL, (), said.total
    yield host.SWAP_USED, (), said.used


def filesystems(roots: Roots) -> Iterator[Reading]:
    """Yield the space of each local file system; of those that do not answer, one is raised at the end."""
    failure: OSError | None = None
    for partition in psutil.disk_partitions(all=False):
        try:
            said = psutil.disk_usage(partition.mountpoint)
        except OSError as error:
            failure = error
            continue
        labels = (partition.mountpoint, partition.device.removeprefix("/dev/"))
        yield host.DISK_TOTAL, labels, said.total
        yield host.DISK_USED, labels, said.used
        yield host.DISK_AVAILABLE, labels, said.free
    if failure is not None:
        raise failure


def disks(roots: Roots) -> Iterator[Reading]:
    """Yield what each disk read and wrote, under the names of this system."""
    # nowrap would keep earlier readings; Prometheus sees by itself when a counter begins anew.
    for name, said in (psutil.disk_io_counters(perdisk=True, nowrap=False) or {}).items():
        for direction, bytes_, operations, milliseconds in (
            ("read", said.read_bytes, said.read_count, said.read_time),
            ("write", said.write_bytes, said.write_count, said.write_time),
        ):
            yield host.DISK_BYTES, (name, direction), bytes_
            yield host.DISK_OPERATIONS, (name, direction), operations
            yield host.DISK_SECONDS, (name, direction), milliseconds / 1e3


def networks(roots: Roots) -> Iterator[Reading]:
    """Yield what each network device received and sent."""
    for name, said in psutil.net_io_counters(pernic=True, nowrap=False).items():
        for direction, bytes_, packets, errors, drops in (
            ("receive", said.bytes_recv, said.packets_recv, said.errin, said.dropin),
            ("transmit", said.bytes_sent, said.packets_sent, said.errout, said.dropout),
        ):
            yield host.NETWORK_BYTES, (name, direction), bytes_
            yield host.NETWORK_PACKETS, (name, direction), packets
            yield host.NETWORK_ERRORS, (name, direction), errors
            yield host.NETWORK_DROPS, (name, direction), drops


def boot_time(roots: Roots) -> Iterator[Reading]:
    """Yield when the machine started."""
    yield host.BOOT_TIME, (), psutil.boot_time()


SOURCES = (cpu, load, memory, swap, filesystems, disks, networks, boot_time)
"""All of them; each fails by itself."""
