"""What one device says: a table of sensors, and the calls that return more than a number.

Each reading is a metric of the catalogue, the values of its labels after those of the device, and a number in its base
unit. What a device does not have is not there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from genai_exporter.collectors.gpu_nvml import Device, number
from genai_metrics.catalog import MetricSpec, gpu

Reading = tuple[MetricSpec, tuple[str, ...], float]


def _as_it_is(value: float) -> float:
    return value


def _milli(value: float) -> float:
    return value / 1e3


def _kilo(value: float) -> float:
    return value * 1e3


def _mega(value: float) -> float:
    return value * 1e6


def _nano(value: float) -> float:
    return value / 1e9


def _percent(value: float) -> float:
    return value / 1e2


@dataclass(frozen=True)
class _Sensor:
    """A call that returns one number; ``constants`` are the names of its arguments after the handle."""

    metric: MetricSpec
    function: str
    constants: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    scale: Callable[[float], float] = _as_it_is


_CLOCKS = {
    "graphics": "NVML_CLOCK_GRAPHICS",
    "sm": "NVML_CLOCK_SM",
    "memory": "NVML_CLOCK_MEM",
    "video": "NVML_CLOCK_VIDEO",
}
_THRESHOLDS = {
    "slowdown": "NVML_TEMPERATURE_THRESHOLD_SLOWDOWN",
    "shutdown": "NVML_TEMPERATURE_THRESHOLD_SHUTDOWN",
    "gpu_max": "NVML_TEMPERATURE_THRESHOLD_GPU_MAX",
    "memory_max": "NVML_TEMPERATURE_THRESHOLD_MEM_MAX",
}
_ERRORS = {
    "corrected": "NVML_MEMORY_ERROR_TYPE_CORRECTED",
    "uncorrected": "NVML_MEMORY_ERROR_TYPE_UNCORRECTED",
}
_DIRECTIONS = {"transmit": "NVML_PCIE_UTIL_TX_BYTES", "receive": "NVML_PCIE_UTIL_RX_BYTES"}

_SENSORS = (
    _Sensor(gpu.POWER, "nvmlDeviceGetPowerUsage", scale=_milli),
    _Sensor(gpu.POWER_LIMIT, "nvmlDeviceGetEnforcedPowerLimit", scale=_milli),
    _Sensor(gpu.ENERGY, "nvmlDeviceGetTotalEnergyConsumption", scale=_milli),
    _Sensor(gpu.TEMPERATURE_MARGIN, "nvmlDeviceGetMarginTemperature"),
    *(
        _Sensor(gpu.TEMPERATURE_THRESHOLD, "nvmlDeviceGetTemperatureThreshold", (constant,), (threshold,))
        for threshold, constant in _THRESHOLDS.items()
    ),
    *(_Sensor(gpu.CLOCK, "nvmlDeviceGetClockInfo", (name,), (clock,), _mega) for clock, name in _CLOCKS.items()),
    *(_Sensor(gpu.CLOCK_MAX, "nvmlDeviceGetMaxClockInfo", (name,), (clock,), _mega) for clock, name in _CLOCKS.items()),
    *(
        _Sensor(gpu.ECC_ERRORS, "nvmlDeviceGetTotalEccErrors", (constant, "NVML_VOLATILE_ECC"), (kind,))
        for kind, constant in _ERRORS.items()
    ),
    # In units of 1000 bytes a second; each of the two takes 20 ms.
    *(
        _Sensor(gpu.PCIE_THROUGHPUT, "nvmlDeviceGetPcieThroughput", (constant,), (direction,), _kilo)
        for direction, constant in _DIRECTIONS.items()
    ),
    _Sensor(gpu.PCIE_REPLAYS, "nvmlDeviceGetPcieReplayCounter"),
)

_THROTTLE_REASONS = {
    "software_power_cap": "nvmlClocksEventReasonSwPowerCap",
    "software_thermal": "nvmlClocksEventReasonSwThermalSlowdown",
    "hardware_slowdown": "nvmlClocksEventReasonHwSlowdown",
    "hardware_thermal": "nvmlClocksEventReasonHwThermalSlowdown",
    "hardware_power_brake": "nvmlClocksEventReasonHwPowerBrakeSlowdown",
    "sync_boost": "nvmlClocksEventReasonSyncBoost",
    "application_clocks": "nvmlClocksEventReasonApplicationsClocksSetting",
    "display_clocks": "nvmlClocksEventReasonDisplayClockSetting",
}
_POLICIES = {
    "power": "NVML_PERF_POLICY_POWER",
    "thermal": "NVML_PERF_POLICY_THERMAL",
    "sync_boost": "NVML_PERF_POLICY_SYNC_BOOST",
    "board_limit": "NVML_PERF_POLICY_BOARD_LIMIT",
    "reliability": "NVML_PERF_POLICY_RELIABILITY",
}


def readings(device: Device) -> Iterator[Reading]:
    """Yield what the device says of itself; raises ``DeviceLost`` and ``DriverError``."""
    for metric, labels, value in (
        *_sensors(device),
        *_utilization(device),
        *memory(device, gpu.MEMORY_USED, gpu.MEMORY_TOTAL, gpu.MEMORY_RESERVED),
        *_temperatures(device),
        *_throttling(device),
        *_remapped_rows(device),
        *_fans(device),
        *_states(device),
    ):
        if value is not None:
            yield metric, labels, value


_Maybe = tuple[MetricSpec, tuple[str, ...], float | None]


def memory(device: Device, used: MetricSpec, total: MetricSpec, reserved: MetricSpec | None) -> Iterator[_Maybe]:
    """Yield the memory of a device or MIG instance under the given metrics."""
    info = device.first(
        ("nvmlDeviceGetMemoryInfo", device.driver.nvml.nvmlMemory_v2),
        ("nvmlDeviceGetMemoryInfo",),
    )
    if info is not None:
        yield used, (), number(info.used)
        yield total, (), number(info.total)
        if reserved is not None:
            yield reserved, (), number(getattr(info, "reserved", None))


def _scaled(value: float | None, scale: Callable[[float], float]) -> float | None:
    return None if value is None else scale(value)


def _sensors(device: Device) -> Iterator[_Maybe]:
    for sensor in _SENSORS:
        constants = (getattr(device.driver.nvml, name) for name in sensor.constants)
        value = number(device.read(sensor.function, *constants))
        yield sensor.metric, sensor.labels, _scaled(value, sensor.scale)


def _utilization(device: Device) -> Iterator[_Maybe]:
    rates = device.read("nvmlDeviceGetUtilizationRates")
    if rates is not None:
        yield gpu.UTILIZATION, (), _scaled(number(rates.gpu), _percent)
        yield gpu.MEMORY_CONTROLLER_UTILIZATION, (), _scaled(number(rates.memory), _percent)


def _temperatures(device: Device) -> Iterator[_Maybe]:
    nvml = device.driver.nvml
    value = device.first(
        ("nvmlDeviceGetTemperatureV", nvml.NVML_TEMPERATURE_GPU),
        ("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
    )
    yield gpu.TEMPERATURE, (), number(value)
    # The call succeeds although the field may not: each field has a result of its own.
    for field in device.read("nvmlDeviceGetFieldValues", [nvml.NVML_FI_DEV_MEMORY_TEMP]) or ():
        if field.nvmlReturn == nvml.NVML_SUCCESS:
            yield gpu.MEMORY_TEMPERATURE, (), number(field.value.uiVal)


def _throttling(device: Device) -> Iterator[_Maybe]:
    nvml = device.driver.nvml
    reasons = number(
        device.first(("nvmlDeviceGetCurrentClocksEventReasons",), ("nvmlDeviceGetCurrentClocksThrottleReasons",))
    )
    if reasons is not None:
        for reason, constant in _THROTTLE_REASONS.items():
            yield gpu.THROTTLED, (reason,), float(bool(int(reasons) & getattr(nvml, constant)))
    for reason, constant in _POLICIES.items():
        violation = device.read("nvmlDeviceGetViolationStatus", getattr(nvml, constant))
        if violation is not None:
            yield gpu.THROTTLED_SECONDS, (reason,), _scaled(number(violation.violationTime), _nano)


def _remapped_rows(device: Device) -> Iterator[_Maybe]:
    rows = device.read("nvmlDeviceGetRemappedRows")
    if rows is not None:
        corrected, uncorrected, pending, failed = (number(value) for value in rows)
        yield gpu.REMAPPED_ROWS, ("corrected",), corrected
        yield gpu.REMAPPED_ROWS, ("uncorrected",), uncorrected
        yield gpu.REMAPPING_PENDING, (), pending
        yield gpu.REMAPPING_FAILED, (), failed


def _fans(device: Device) -> Iterator[_Maybe]:
    for fan in range(int(number(device.read("nvmlDeviceGetNumFans")) or 0)):
        yield gpu.FAN_SPEED, (str(fan),), _scaled(number(device.read("nvmlDeviceGetFanSpeed_v2", fan)), _percent)


def _states(device: Device) -> Iterator[_Maybe]:
    state = number(device.read("nvmlDeviceGetPerformanceState"))
    yield gpu.PERFORMANCE_STATE, (), None if state == device.driver.nvml.NVML_PSTATE_UNKNOWN else state
    mode = device.read("nvmlDeviceGetMigMode")
    if mode is not None:
        yield gpu.MIG_ENABLED, (), number(mode[0])
