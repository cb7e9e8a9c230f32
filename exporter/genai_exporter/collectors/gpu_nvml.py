"""NVIDIA's management library (NVML) behind guarded calls: what an error means for a sensor, a device, the driver.

Takes the module ``pynvml`` of the distribution nvidia-ml-py as a parameter and imports none of it, so that recorded
answers can stand in for a driver. An error of one call is one of these:

* the sensor is not there, or not for us: the call's value is None;
* the device does not answer any more: ``DeviceLost``;
* the driver does not answer any more: ``DriverError``.
"""

import logging
from typing import Any

log = logging.getLogger(__name__)

_ABSENT = ("LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED", "GPU_NOT_FOUND")
_BROKEN = ("UNINITIALIZED", "LIBRARY_NOT_FOUND", "DRIVER_NOT_LOADED", "LIB_RM_VERSION_MISMATCH")
_LOST = ("GPU_IS_LOST", "RESET_REQUIRED", "GPU_NOT_FOUND")
# What a device, a driver or a split device does not have. Some cards call an unknown clock an invalid argument.
_UNSUPPORTED = (
    "NOT_SUPPORTED",
    "FUNCTION_NOT_FOUND",
    "NOT_FOUND",
    "INVALID_ARGUMENT",
    "ARGUMENT_VERSION_MISMATCH",
    "DEPRECATED",
    "NO_DATA",
    "VGPU_ECC_NOT_SUPPORTED",
)

# Values that mean "unknown": all ones in 32 and in 64 bits (NVML), and the 16 highest positive ones (DCGM's blanks,
# such as 9223372036854775794).
_UNKNOWN_32 = 2**32 - 1
_UNKNOWN_64 = 2**63 - 16

_REMEDIES = {
    "LIB_RM_VERSION_MISMATCH": "the driver was upgraded under a running system: restart the exporter, and the machine "
    "if its kernel module is the older one",
    "NO_PERMISSION": "give the exporter's user or container access to /dev/nvidiactl and /dev/nvidia*",
    "UNKNOWN": "in a container, restart it: its access to /dev/nvidia* may have been withdrawn; elsewhere ask "
    "nvidia-smi and the kernel log",
}


class DriverError(Exception):
    """The driver as a whole does not answer; the text says why and what to do."""


class DeviceLost(Exception):
    """A device does not answer any more."""


class Driver:
    """The library and its errors; one thread at a time.

    ``nvml`` is the module ``pynvml`` or something that answers like it; its constants are read from it, too.
    """

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self._complained: set[tuple[str, int]] = set()
        self._absent = self._codes(_ABSENT)
        self._broken = self._codes(_BROKEN)
        self._lost = self._codes(_LOST)
        self._unsupported = self._codes(_UNSUPPORTED)

    def start(self) -> str | None:
        """Initialise the library; returns why there is no driver or no device, or None if it works.

        Raises ``DriverError`` if a driver is installed and does not work.
        """
        try:
            self.nvml.nvmlInit()
        except self.nvml.NVMLError as error:
            if error.value in self._absent:
                return str(error)
            raise self._failure("nvmlInit", error) from error
        return None

    def stop(self) -> None:
        """Let go of the library, whatever state it is in."""
        try:
            self.nvml.nvmlShutdown()
        except self.nvml.NVMLError:
            pass

    def count(self) -> int:
        """Return the number of devices that the driver lists; raises ``DriverError``."""
        try:
            return int(self.nvml.nvmlDeviceGetCount())
        except self.nvml.NVMLError as error:
            raise self._failure("nvmlDeviceGetCount", error) from error

    def device(self, index: int) -> "Device | None":
        """Return the device at ``index``, or None if we may not use it; raises ``DeviceLost``, ``DriverError``."""
        try:
            return Device(self, self.nvml.nvmlDeviceGetHandleByIndex(index))
        except self.nvml.NVMLError as error:
            if error.value == self.nvml.NVML_ERROR_NO_PERMISSION:
                self._complain("nvmlDeviceGetHandleByIndex", error)
                return None
            self._raise_if_driver("nvmlDeviceGetHandleByIndex", error)
            raise DeviceLost(str(error)) from error

    def text(self, function: str, *arguments: Any) -> str:
        """Call a function that returns text; without control characters, and empty when it cannot be read."""
        try:
            found, _ = self.call(function, *arguments)
        except UnicodeDecodeError:
            return ""
        return "".join(character for character in str(found or "") if character.isprintable())

    def call(self, function: str, *arguments: Any) -> tuple[Any, bool]:
        """Call a function; returns its value or None, and False if it failed although it may be supported.

        Raises ``DeviceLost`` and ``DriverError``.
        """
        try:
            return getattr(self.nvml, function)(*arguments), True
        except self.nvml.NVMLError as error:
            self._raise_if_driver(function, error)
            if error.value in self._lost:
                raise DeviceLost(str(error)) from error
            if error.value in self._unsupported:
                return None, True
            self._complain(function, error)
            return None, error.value == self.nvml.NVML_ERROR_NO_PERMISSION

    def _codes(self, names: tuple[str, ...]) -> frozenset[int]:
        return frozenset(getattr(self.nvml, f"NVML_ERROR_{name}") for name in names)

    def _raise_if_driver(self, function: str, error: Any) -> None:
        if error.value in self._broken:
            raise self._failure(function, error) from error

    def _failure(self, function: str, error: Any) -> DriverError:
        remedies = {getattr(self.nvml, f"NVML_ERROR_{name}"): remedy for name, remedy in _REMEDIES.items()}
        remedy = remedies.get(error.value, "ask nvidia-smi and the kernel log")
        return DriverError(f"the NVIDIA driver does not answer: {function}: {error}; {remedy}")

    def _complain(self, function: str, error: Any) -> None:
        """Log an odd error of a function once."""
        if (function, error.value) not in self._complained:
            self._complained.add((function, error.value))
            log.warning("a GPU sensor cannot be read", extra={"fields": {"call": function, "error": str(error)}})


class Device:
    """One device, or one MIG instance of it, during one scrape.

    ``answered`` is true once any call returned a value, ``failed`` once any call failed that may be supported: a device
    of which the one is false and the other true answers nothing at all.
    """

    def __init__(self, driver: Driver, handle: Any) -> None:
        self.driver = driver
        self.handle = handle
        self.answered = False
        self.failed = False

    def read(self, function: str, *arguments: Any) -> Any | None:
        """Call a function of this device with its handle first; None if it has no value for us."""
        value, sound = self.driver.call(function, self.handle, *arguments)
        self.answered = self.answered or value is not None
        self.failed = self.failed or not sound
        return value

    def first(self, *calls: tuple[Any, ...]) -> Any | None:
        """Return the first value of several calls (function, arguments), newest first: older drivers lack some."""
        for function, *arguments in calls:
            value = self.read(function, *arguments)
            if value is not None:
                return value
        return None

    def text(self, function: str) -> str:
        """Call a function of this device that returns text; empty when it cannot be read."""
        return self.driver.text(function, self.handle)


def number(value: Any) -> float | None:
    """Return a number that a call returned, or None if it stands for an unknown one."""
    if value is None or value == _UNKNOWN_32 or value >= _UNKNOWN_64:
        return None
    return float(value)
