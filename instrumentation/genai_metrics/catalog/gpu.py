"""Metrics of NVIDIA GPUs, read from the driver by the exporter."""

from genai_metrics.catalog.model import OVERFLOW, MetricSpec, MetricType

_DEVICE = ("uuid", "index", "name")
_INSTANCE = (*_DEVICE, "mig", "profile")
_KINDS = ("kind", ("corrected", "uncorrected"))
_CLOCKS = ("clock", ("graphics", "sm", "memory", "video"))


def _metric(
    name: str,
    type_: MetricType,
    help_text: str,
    source: str,
    split: tuple[str, tuple[str, ...]] | None = None,
    labels: tuple[str, ...] = _DEVICE,
) -> MetricSpec:
    """Return a metric of a device; ``source`` names the function of NVML that it is read from."""
    return MetricSpec(f"genai_gpu_{name}", type_, help_text, labels, split=split, source=f"NVML {source}")


DEVICES = _metric(
    "devices",
    "gauge",
    "GPUs that the NVIDIA driver lists and the exporter may read, lost ones included; 0 without driver or GPU.",
    "nvmlDeviceGetCount",
    labels=(),
)
LOST = _metric(
    "lost",
    "gauge",
    "1 if a GPU does not answer (it fell off the bus or needs a reset) or is no longer listed, else 0.",
    "NVML_ERROR_GPU_IS_LOST",
)

UTILIZATION = _metric(
    "utilization_ratio",
    "gauge",
    "Share of the driver's last sample period (up to 1 s) in which a kernel ran, however small: 1 does not mean that "
    "the GPU could do no more.",
    "nvmlDeviceGetUtilizationRates",
)
MEMORY_CONTROLLER_UTILIZATION = _metric(
    "memory_controller_utilization_ratio",
    "gauge",
    "Share of the driver's last sample period (up to 1 s) in which memory was read or written.",
    "nvmlDeviceGetUtilizationRates",
)
MEMORY_USED = _metric("memory_used_bytes", "gauge", "Memory in use by processes.", "nvmlDeviceGetMemoryInfo_v2")
MEMORY_RESERVED = _metric(
    "memory_reserved_bytes",
    "gauge",
    "Memory that the driver keeps for itself; absent with drivers before 510, which count it as used.",
    "nvmlDeviceGetMemoryInfo_v2",
)
MEMORY_TOTAL = _metric(
    "memory_total_bytes",
    "gauge",
    "Memory of the device: used, reserved and free.",
    "nvmlDeviceGetMemoryInfo_v2",
)

POWER = _metric("power_watts", "gauge", "Power draw of the whole board.", "nvmlDeviceGetPowerUsage")
POWER_LIMIT = _metric(
    "power_limit_watts", "gauge", "Power limit that the driver enforces.", "nvmlDeviceGetEnforcedPowerLimit"
)
ENERGY = _metric(
    "energy_joules_total",
    "counter",
    "Energy consumed since the driver was loaded.",
    "nvmlDeviceGetTotalEnergyConsumption",
)

TEMPERATURE = _metric("temperature_celsius", "gauge", "Temperature of the GPU's die.", "nvmlDeviceGetTemperature")
MEMORY_TEMPERATURE = _metric(
    "memory_temperature_celsius", "gauge", "Temperature of the memory.", "NVML_FI_DEV_MEMORY_TEMP"
)
TEMPERATURE_THRESHOLD = _metric(
    "temperature_threshold_celsius",
    "gauge",
    "Temperature at which the GPU slows itself down or shuts itself off, and the highest in normal operation of GPU "
    "and memory; some newer devices tell the margin alone.",
    "nvmlDeviceGetTemperatureThreshold",
    ("threshold", ("slowdown", "shutdown", "gpu_max", "memory_max")),
)
TEMPERATURE_MARGIN = _metric(
    "temperature_margin_celsius",
    "gauge",
    "How much hotter the GPU may become before it slows itself down.",
    "nvmlDeviceGetMarginTemperature",
)

CLOCK = _metric("clock_hertz", "gauge", "Current clock frequency.", "nvmlDeviceGetClockInfo", _CLOCKS)
CLOCK_MAX = _metric("clock_max_hertz", "gauge", "Highest clock frequency.", "nvmlDeviceGetMaxClockInfo", _CLOCKS)
PERFORMANCE_STATE = _metric(
    "performance_state",
    "gauge",
    "Performance state: from 0 (P0, fastest) to 15 (slowest).",
    "nvmlDeviceGetPerformanceState",
)
THROTTLED = _metric(
    "throttled",
    "gauge",
    "1 while clocks are held down for the reason, else 0; hardware_slowdown accompanies the other two of hardware.",
    "nvmlDeviceGetCurrentClocksEventReasons",
    (
        "reason",
        (
            "software_power_cap",
            "software_thermal",
            "hardware_slowdown",
            "hardware_thermal",
            "hardware_power_brake",
            "sync_boost",
            "application_clocks",
            "display_clocks",
        ),
    ),
)
THROTTLED_SECONDS = _metric(
    "throttled_seconds_total",
    "counter",
    "Time for which clocks were held down, by reason, also between scrapes.",
    "nvmlDeviceGetViolationStatus",
    ("reason", ("power", "thermal", "sync_boost", "board_limit", "reliability")),
)

ECC_ERRORS = _metric(
    "ecc_errors_total",
    "counter",
    "Memory errors since the driver was loaded; absent without ECC.",
    "nvmlDeviceGetTotalEccErrors",
    _KINDS,
)
REMAPPED_ROWS = _metric(
    "remapped_rows_total",
    "counter",
    "Rows of memory replaced by spare ones over the life of the device, by the kind of error.",
    "nvmlDeviceGetRemappedRows",
    _KINDS,
)
REMAPPING_PENDING = _metric(
    "remapping_pending", "gauge", "1 if rows wait for a reset to be remapped, else 0.", "nvmlDeviceGetRemappedRows"
)
REMAPPING_FAILED = _metric(
    "remapping_failed",
    "gauge",
    "1 if a row could not be remapped and the device should be replaced, else 0.",
    "nvmlDeviceGetRemappedRows",
)
XID_ERRORS = _metric(
    "xid_errors_total",
    "counter",
    "Critical errors (Xid) that the driver told while the exporter ran.",
    "nvmlEventTypeXidCriticalError",
)
LAST_XID = _metric(
    "last_xid",
    "gauge",
    "Number of the last critical error (Xid) that the driver told while the exporter ran; 0 if there was none.",
    "nvmlEventTypeXidCriticalError",
)

PCIE_THROUGHPUT = _metric(
    "pcie_bytes_per_second",
    "gauge",
    "PCIe traffic from (transmit) and to (receive) the GPU, over 20 ms of the scrape.",
    "nvmlDeviceGetPcieThroughput",
    ("direction", ("transmit", "receive")),
)
PCIE_REPLAYS = _metric(
    "pcie_replays_total",
    "counter",
    "PCIe packets sent again because of link errors.",
    "nvmlDeviceGetPcieReplayCounter",
)
FAN_SPEED = _metric(
    "fan_speed_ratio",
    "gauge",
    "Speed that the driver asks of a fan, in relation to its highest; absent without fans of its own.",
    "nvmlDeviceGetFanSpeed_v2",
    labels=(*_DEVICE, "fan"),
)

MIG_ENABLED = _metric(
    "mig_enabled", "gauge", "1 if the device is split into MIG instances, else 0.", "nvmlDeviceGetMigMode"
)
MIG_MEMORY_USED = _metric(
    "mig_memory_used_bytes",
    "gauge",
    "Memory in use in a MIG instance; part of what the device uses.",
    "nvmlDeviceGetMemoryInfo_v2",
    labels=_INSTANCE,
)
MIG_MEMORY_TOTAL = _metric(
    "mig_memory_total_bytes",
    "gauge",
    "Memory of a MIG instance; part of the device's.",
    "nvmlDeviceGetMemoryInfo_v2",
    labels=_INSTANCE,
)
PROCESS_MEMORY = _metric(
    "process_memory_bytes",
    "gauge",
    "Memory in use by the processes that use most of it; that of all others of the device is told as process "
    f"{OVERFLOW}.",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    labels=(*_DEVICE, "mig", "pid", "process"),
)

GPU_METRICS = (
    DEVICES,
    LOST,
    UTILIZATION,
    MEMORY_CONTROLLER_UTILIZATION,
    MEMORY_USED,
    MEMORY_RESERVED,
    MEMORY_TOTAL,
    POWER,
    POWER_LIMIT,
    ENERGY,
    TEMPERATURE,
    MEMORY_TEMPERATURE,
    TEMPERATURE_THRESHOLD,
    TEMPERATURE_MARGIN,
    CLOCK,
    CLOCK_MAX,
    PERFORMANCE_STATE,
    THROTTLED,
    THROTTLED_SECONDS,
    ECC_ERRORS,
    REMAPPED_ROWS,
    REMAPPING_PENDING,
    REMAPPING_FAILED,
    XID_ERRORS,
    LAST_XID,
    PCIE_THROUGHPUT,
    PCIE_REPLAYS,
    FAN_SPEED,
    MIG_ENABLED,
    MIG_MEMORY_USED,
    MIG_MEMORY_TOTAL,
    PROCESS_MEMORY,
)
"""Every metric of GPUs, in the order in which they are served; rendered by prometheus_client."""
