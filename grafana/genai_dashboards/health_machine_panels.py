"""Panels of the dashboard "Health" on machines and GPUs, one function each.

In a container CPU and memory are those that its limits allow.
"""

from grafana_foundation_sdk.builders import bargauge, timeseries

from genai_dashboards import health_queries as queries
from genai_dashboards import style
from genai_dashboards.judgement import threshold_lines
from genai_dashboards.limits import dashed
from genai_dashboards.panels import bars, graph, stacked
from genai_dashboards.targets import at_the_end, over_time
from genai_metrics.catalog import gpu, host

_HOST = "no exporter on this machine, or its collector `host` is off"
_GPU = "no NVIDIA GPU, or the exporter's collector `gpu` is off"
_LEGEND = "{{instance}} GPU {{index}}"


def cpu() -> timeseries.Panel:
    """How busy machines are."""
    return (
        graph(
            "CPU in use",
            "CPU time over 5 minutes as a share of what may be used; in a container, of its limit. "
            "GenAIHostCpuSaturated fires above the threshold.",
            style.SHARE,
            _HOST,
        )
        .with_target(over_time(queries.per_host(queries.CPU), "{{instance}}"))
        .with_target(threshold_lines("host_cpu_ratio", "above"))
    )


def memory() -> timeseries.Panel:
    """How full memory is."""
    return (
        graph(
            "Memory in use",
            "Memory as a share of what may be used; in a container, of its limit. GenAIHostMemoryHigh fires above the "
            "threshold.",
            style.SHARE,
            _HOST,
        )
        .with_target(over_time(queries.per_host(queries.MEMORY), "{{instance}}"))
        .with_target(threshold_lines("host_memory_ratio", "above"))
    )


def disk() -> timeseries.Panel:
    """How full disks are."""
    return (
        graph(
            "Disk space in use",
            "Share of each file system in use, as df counts. GenAIDiskFull fires above the threshold, or when space "
            "runs out within hours.",
            style.SHARE,
            _HOST,
        )
        .with_target(over_time(queries.per_host(queries.DISK, "mountpoint"), "{{instance}} {{mountpoint}}"))
        .with_target(threshold_lines("disk_used_ratio", "above"))
    )


def network() -> timeseries.Panel:
    """What goes over the network."""
    return graph(
        "Network", "Bytes received and sent per second, all interfaces together.", style.BYTES_PER_SECOND, _HOST
    ).with_target(over_time(queries.host_rate(host.NETWORK_BYTES, "direction"), "{{instance}} {{direction}}"))


def cpu_modes() -> timeseries.Panel:
    """What CPUs do."""
    return stacked(
        "CPU by mode",
        "Share of all CPUs' time by what they did; of the machine, also in a container. Idle time is left out.",
        style.SHARE,
        _HOST,
    ).with_target(over_time(queries.cpu_by_mode(), "{{instance}} {{mode}}"))


def throttling() -> timeseries.Panel:
    """Whether a container's CPU limit slows it."""
    return graph(
        "CPU quota used up",
        "Share of the CPU quota's periods in which the container had to wait: more than a little shows as latency.",
        style.SHARE,
        "no container with a CPU quota",
    ).with_target(over_time(queries.throttled_share(), "{{instance}}"))


def disk_traffic() -> timeseries.Panel:
    """What goes to and from disks."""
    return graph(
        "Disk traffic", "Bytes read and written per second, all disks together.", style.BYTES_PER_SECOND, _HOST
    ).with_target(over_time(queries.host_rate(host.DISK_BYTES, "direction"), "{{instance}} {{direction}}"))


def descriptors() -> timeseries.Panel:
    """Whether files and sockets run out."""
    return graph(
        "Open descriptors",
        "Open files, sockets and the like of the machine as a share of the most that may be open.",
        style.SHARE,
        _HOST,
    ).with_target(over_time(queries.descriptors(), "{{instance}}"))


def gpu_utilization() -> timeseries.Panel:
    """Whether GPUs work."""
    return graph(
        "GPU utilization",
        "Share of time in which any kernel ran, however small: 100 % does not mean that the GPU could do no more.",
        style.SHARE,
        _GPU,
    ).with_target(over_time(queries.per_gpu(gpu.UTILIZATION), _LEGEND))


def gpu_memory() -> timeseries.Panel:
    """How full GPU memory is."""
    return (
        graph(
            "GPU memory in use",
            "Share of the device's memory in use or reserved by the driver. GenAIGpuMemoryFull fires above the "
            "threshold.",
            style.SHARE,
            _GPU,
        )
        .with_target(over_time(queries.per_gpu(queries.GPU_MEMORY), _LEGEND))
        .with_target(threshold_lines("gpu_memory_ratio", "above"))
    )


def gpu_power() -> timeseries.Panel:
    """What GPUs draw."""
    panel = (
        graph("GPU power", "Power draw of the board, and the limit that the driver enforces.", style.WATTS, _GPU)
        .with_target(over_time(queries.per_gpu(gpu.POWER), _LEGEND, "A"))
        .with_target(over_time(queries.per_gpu(gpu.POWER_LIMIT), f"{_LEGEND} limit", "B"))
    )
    return dashed(panel, "limit", style.DEGRADED)


def gpu_temperature() -> timeseries.Panel:
    """How hot GPUs are."""
    return (
        graph(
            "GPU temperature",
            "Temperature of the die. GenAIGpuHot fires above the threshold; a little later the GPU slows itself down.",
            style.CELSIUS,
            _GPU,
        )
        .with_target(over_time(queries.per_gpu(gpu.TEMPERATURE), _LEGEND))
        .with_target(threshold_lines("gpu_temperature_celsius", "above"))
    )


def gpu_throttling() -> timeseries.Panel:
    """What slows GPUs down."""
    return graph(
        "GPU throttling by reason",
        "Share of time for which clocks were held down. Heat raises GenAIGpuThrottling, and so does a server that is "
        "short of power; the board's own power limit, reached at full load, does not.",
        style.SHARE,
        _GPU,
    ).with_target(over_time(queries.gpu_throttled(), f"{_LEGEND} {{{{reason}}}}"))


def gpu_errors() -> bargauge.Panel:
    """Which GPU is about to break."""
    uncorrected = ('kind="uncorrected"',)
    return (
        bars(
            "GPU errors",
            "In the time range: memory errors that could not be corrected, critical errors (Xid) that the driver "
            "told, and 1 for a GPU that no longer answers.",
            style.COUNT,
            _GPU,
        )
        .with_target(at_the_end(queries.gpu_errors(gpu.ECC_ERRORS, uncorrected), f"{_LEGEND} memory errors", "A"))
        .with_target(at_the_end(queries.gpu_errors(gpu.XID_ERRORS), f"{_LEGEND} Xid errors", "B"))
        .with_target(at_the_end(queries.per_gpu(gpu.LOST), f"{_LEGEND} lost", "C"))
    )


def gpu_processes() -> timeseries.Panel:
    """Who uses GPU memory."""
    return stacked(
        "GPU memory by process",
        "Memory of the processes that use most of it; the others together are __other__.",
        style.BYTES,
        _GPU,
    ).with_target(over_time(queries.gpu_processes(), f"{_LEGEND} {{{{process}}}}"))
