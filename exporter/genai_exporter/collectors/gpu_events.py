"""Critical errors (Xid) of devices: the driver queues them, and each scrape takes what has come since the last."""

from collections.abc import Iterator
from typing import Any

from genai_exporter.collectors.gpu_nvml import Device
from genai_exporter.collectors.gpu_readings import Reading
from genai_metrics.catalog import gpu

# A device that storms with errors must not keep a scrape from ending; the next one takes the rest.
_MOST_A_SCRAPE = 100


class XidErrors:
    """Counts of all devices since the exporter started; one thread at a time."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._last: dict[str, int] = {}
        self._queues: dict[str, Any] = {}

    def restart(self) -> None:
        """Forget the queues, which end with the library's use; counts go on."""
        self._queues.clear()

    def readings(self, device: Device, uuid: str) -> Iterator[Reading]:
        """Yield count and last number of a device, or nothing if its errors cannot be heard of.

        Raises ``DeviceLost`` and ``DriverError``.
        """
        if uuid not in self._queues:
            self._queues[uuid] = self._listen(device)
        queue = self._queues[uuid]
        if queue is None:
            return
        for _ in range(_MOST_A_SCRAPE):
            number = self._next(device, queue)
            if number is None:
                break
            self._counts[uuid] = self._counts.get(uuid, 0) + 1
            self._last[uuid] = number
        yield gpu.XID_ERRORS, (), float(self._counts.get(uuid, 0))
        yield gpu.LAST_XID, (), float(self._last.get(uuid, 0))

    def _listen(self, device: Device) -> Any | None:
        """Return a queue of the device's critical errors, or None if it has none."""
        nvml = device.driver.nvml
        kind = nvml.nvmlEventTypeXidCriticalError
        if not (device.read("nvmlDeviceGetSupportedEventTypes") or 0) & kind:
            return None
        queue, _ = device.driver.call("nvmlEventSetCreate")
        if queue is not None:
            try:
                nvml.nvmlDeviceRegisterEvents(device.handle, kind, queue)
            except nvml.NVMLError:
                device.driver.call("nvmlEventSetFree", queue)
                return None
        return queue

    def _next(self, device: Device, queue: Any) -> int | None:
        """Take the next error's number from the queue, without waiting for one."""
        nvml = device.driver.nvml
        try:
            return int(nvml.nvmlEventSetWait_v2(queue, 0).eventData)
        except nvml.NVMLError_Timeout:
            return None  # the queue is empty
        except nvml.NVMLError:
            return None  # of a device that is lost, the sensors tell as much
