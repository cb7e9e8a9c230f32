"""Metrics of the machine, or of the container's share of it, read from the kernel by the exporter."""

from genai_metrics.catalog.model import MetricSpec, MetricType

_Split = tuple[str, tuple[str, ...]]

_ACCESS = ("direction", ("read", "write"))
_TRAFFIC = ("direction", ("receive", "transmit"))
_FILESYSTEM = ("mountpoint", "device")


def _metric(
    name: str,
    type_: MetricType,
    help_text: str,
    source: str,
    split: _Split | None = None,
    labels: tuple[str, ...] = (),
) -> MetricSpec:
    """Return a metric of the host; ``source`` names the file of the kernel that it is read from."""
    return MetricSpec(f"genai_host_{name}", type_, help_text, labels, split=split, source=source)


LIMITED = _metric(
    "limited",
    "gauge",
    "1 if a container's limit, not the machine's size, is what the cpu or memory metrics are about, else 0.",
    "cgroup cpu.max, memory.max",
    ("resource", ("cpu", "memory")),
)
CPU_SECONDS = _metric(
    "cpu_seconds_total",
    "counter",
    "Time that all CPUs of the machine spent in each mode, also in a container: the kernel tells no idle time of one.",
    "/proc/stat",
    ("mode", ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")),
)
CPU_LIMIT = _metric(
    "cpu_limit_cores",
    "gauge",
    "CPUs that may be used at once: the container's quota or CPU set, else those of the machine.",
    "cgroup cpu.max, cpuset.cpus.effective; /proc/stat",
)
CPU_USAGE = _metric(
    "cpu_usage_seconds_total",
    "counter",
    "CPU time used, by the container if its CPU is limited, else by the machine (stolen time included).",
    "cgroup cpu.stat; /proc/stat",
)
CPU_PERIODS = _metric(
    "cpu_quota_periods_total",
    "counter",
    "Periods of the CPU quota in which the container wanted to run; absent without a quota.",
    "cgroup cpu.stat nr_periods",
)
CPU_THROTTLED_PERIODS = _metric(
    "cpu_throttled_periods_total",
    "counter",
    "Periods of the CPU quota in which the container used it up and had to wait; absent without a quota.",
    "cgroup cpu.stat nr_throttled",
)
CPU_THROTTLED_SECONDS = _metric(
    "cpu_throttled_seconds_total",
    "counter",
    "Time that the container's CPUs, added up, had to wait for the next period; absent without a quota.",
    "cgroup cpu.stat throttled_usec",
)
LOAD = _metric(
    "load_average",
    "gauge",
    "Tasks of the machine that run or wait for CPU or disk, averaged over the last 1, 5 and 15 minutes.",
    "/proc/loadavg",
    ("window", ("1m", "5m", "15m")),
)

MEMORY_TOTAL = _metric(
    "memory_total_bytes",
    "gauge",
    "Memory that may be used: the container's limit, else that of the machine.",
    "cgroup memory.max; /proc/meminfo MemTotal",
)
MEMORY_AVAILABLE = _metric(
    "memory_available_bytes",
    "gauge",
    "Memory that can still be used without swapping: what is neither in use nor hard to reclaim.",
    "cgroup memory.current, memory.stat; /proc/meminfo MemAvailable",
)
MEMORY_USED = _metric(
    "memory_used_bytes",
    "gauge",
    "Memory in use: total without available; in a container its working set.",
    "cgroup memory.current, memory.stat; /proc/meminfo",
)
SWAP_TOTAL = _metric(
    "swap_total_bytes",
    "gauge",
    "Swap space that may be used: the container's limit if its memory is limited, else that of the machine.",
    "cgroup memory.swap.max; /proc/meminfo SwapTotal",
)
SWAP_USED = _metric(
    "swap_used_bytes",
    "gauge",
    "Swap space in use.",
    "cgroup memory.swap.current; /proc/meminfo SwapFree",
)

DISK_TOTAL = _metric("disk_total_bytes", "gauge", "Size of a local file system.", "statvfs f_blocks", None, _FILESYSTEM)
DISK_USED = _metric(
    "disk_used_bytes", "gauge", "Space in use in a local file system.", "statvfs f_blocks, f_bfree", None, _FILESYSTEM
)
DISK_AVAILABLE = _metric(
    "disk_available_bytes",
    "gauge",
    "Space that users may still fill; without what is reserved for root.",
    "statvfs f_bavail",
    None,
    _FILESYSTEM,
)
DISK_BYTES = _metric(
    "disk_io_bytes_total", "counter", "Bytes read from and written to a disk.", "/proc/diskstats", _ACCESS, ("device",)
)
DISK_OPERATIONS = _metric(
    "disk_io_operations_total",
    "counter",
    "Reads and writes that a disk completed.",
    "/proc/diskstats",
    _ACCESS,
    ("device",),
)
DISK_SECONDS = _metric(
    "disk_io_seconds_total",
    "counter",
    "Time that reads and writes took, added up; by operation it is their mean duration.",
    "/proc/diskstats",
    _ACCESS,
    ("device",),
)
DISK_BUSY = _metric(
    "disk_busy_seconds_total",
    "counter",
    "Time in which a disk had anything to do; its rate is the share of time.",
    "/proc/diskstats",
    None,
    ("device",),
)

NETWORK_BYTES = _metric(
    "network_bytes_total", "counter", "Bytes received and sent.", "/proc/net/dev", _TRAFFIC, ("device",)
)
NETWORK_PACKETS = _metric(
    "network_packets_total", "counter", "Packets received and sent.", "/proc/net/dev", _TRAFFIC, ("device",)
)
NETWORK_ERRORS = _metric(
    "network_errors_total", "counter", "Packets that were faulty.", "/proc/net/dev errs", _TRAFFIC, ("device",)
)
NETWORK_DROPS = _metric(
    "network_drops_total",
    "counter",
    "Packets that were dropped, for want of buffers, say.",
    "/proc/net/dev drop",
    _TRAFFIC,
    ("device",),
)

DESCRIPTORS = _metric(
    "open_descriptors", "gauge", "Open files, sockets and the like of the machine.", "/proc/sys/fs/file-nr"
)
MAX_DESCRIPTORS = _metric(
    "max_descriptors", "gauge", "Most files, sockets and the like that may be open at once.", "/proc/sys/fs/file-nr"
)
BOOT_TIME = _metric("boot_time_seconds", "gauge", "Unix time at which the machine started.", "/proc/stat btime")

HOST_METRICS = (
    LIMITED,
    CPU_SECONDS,
    CPU_LIMIT,
    CPU_USAGE,
    CPU_PERIODS,
    CPU_THROTTLED_PERIODS,
    CPU_THROTTLED_SECONDS,
    LOAD,
    MEMORY_TOTAL,
    MEMORY_AVAILABLE,
    MEMORY_USED,
    SWAP_TOTAL,
    SWAP_USED,
    DISK_TOTAL,
    DISK_USED,
    DISK_AVAILABLE,
    DISK_BYTES,
    DISK_OPERATIONS,
    DISK_SECONDS,
    DISK_BUSY,
    NETWORK_BYTES,
    NETWORK_PACKETS,
    NETWORK_ERRORS,
    NETWORK_DROPS,
    DESCRIPTORS,
    MAX_DESCRIPTORS,
    BOOT_TIME,
)
"""Every metric of the host, in the order in which they are served; rendered by prometheus_client."""
