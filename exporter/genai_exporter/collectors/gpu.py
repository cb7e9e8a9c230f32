"""The collector of NVIDIA GPUs: which devices there are, which answer, and the families made of what they say."""

import importlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import Metric

from genai_exporter.collectors.families import family
from genai_exporter.collectors.gpu_events import XidErrors
from genai_exporter.collectors.gpu_nvml import Device, DeviceLost, Driver, DriverError
from genai_exporter.collectors.gpu_processes import instances_and_processes
from genai_exporter.collectors.gpu_readings import Reading, readings
from genai_metrics.catalog import GPU_METRICS, MetricSpec, gpu

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Identity:
    """Labels of a device; unknown ones are empty: of a device that never answered only the index is known."""

    uuid: str
    index: str
    name: str

    @property
    def labels(self) -> tuple[str, str, str]:
        """Values of the labels in the catalogue's order."""
        return self.uuid, self.index, self.name

    @property
    def key(self) -> str:
        """What tells the device from others, also when indices have moved."""
        return self.uuid or self.index


class GpuCollector:
    """Reads all NVIDIA GPUs of the machine through the driver's library; one thread at a time.

    Without driver or GPU it says that there are 0 devices, and logs why once. A driver that is installed and does not
    work, or that worked once and is gone, makes ``collect`` raise ``DriverError``; the next call tries anew. One that
    stays away costs a call of the library each time.

    ``nvml`` is the module ``pynvml``, which is imported when first needed, or recorded answers in its place.
    """

    name = "gpu"

    def __init__(self, nvml: Any = None) -> None:
        self._driver = None if nvml is None else Driver(nvml)
        self._running = False
        self._absence: str | None = None
        self._known: dict[str, _Identity] = {}
        self._at_index: dict[int, _Identity] = {}
        self._xid_errors = XidErrors()

    def collect(self) -> Iterable[Metric]:
        """Read all devices and return fresh families; about 40 ms for each device, in which PCIe traffic is counted.

        A device that does not answer is lost and says nothing else; what a device does not have is absent. Raises
        ``DriverError``.
        """
        driver = self._started()
        if driver is None:
            return [family(gpu.DEVICES, {(): 0})]
        try:
            found = self._read(driver)
        except DriverError:
            self._stop(driver)
            raise
        return [family(metric, found[metric]) for metric in GPU_METRICS if metric in found]

    def _started(self) -> Driver | None:
        """Return the driver ready for use, or None if there is none."""
        if self._driver is None:
            try:
                self._driver = Driver(importlib.import_module("pynvml"))
            except ModuleNotFoundError:
                self._note_absence("nvidia-ml-py is not installed: pip install 'genai-exporter[gpu]'")
                return None
        if not self._running:
            absence = self._driver.start()
            if absence is not None and self._known:
                raise DriverError(f"the NVIDIA driver is gone: {absence}; load it again, or restart the exporter")
            if absence is not None:
                self._note_absence(absence)
                return None
            self._running = True
        return self._driver

    def _note_absence(self, reason: str) -> None:
        if reason != self._absence:
            self._absence = reason
            log.info("no NVIDIA GPU to watch", extra={"fields": {"reason": reason}})

    def _stop(self, driver: Driver) -> None:
        self._running = False
        self._xid_errors.restart()
        driver.stop()

    def _read(self, driver: Driver) -> dict[MetricSpec, dict[tuple[str, ...], float]]:
        found: dict[MetricSpec, dict[tuple[str, ...], float]] = {}
        answering: dict[str, _Identity] = {}
        silent: list[int] = []
        for index in range(driver.count()):
            try:
                device = driver.device(index)
                if device is None:
                    continue  # of another container, say
                identity = self._identify(device, index)
                said = self._ask(device, identity)
            except DeviceLost:
                silent.append(index)
                continue
            answering[identity.key] = identity
            for metric, labels, value in said:
                found.setdefault(metric, {})[(*identity.labels, *labels)] = value
        found[gpu.DEVICES] = {(): len(answering) + len(silent)}
        lost = self._lost(answering, silent)
        if answering or lost:
            found[gpu.LOST] = {identity.labels: 0 for identity in answering.values()}
            found[gpu.LOST] |= {identity.labels: 1 for identity in lost}
        if silent and not answering:
            # A device that was reset may answer only after the library was started anew. While others answer, that
            # is not worth the risk that it does not start.
            self._stop(driver)
        return found

    def _ask(self, device: Device, identity: _Identity) -> list[Reading]:
        """Return all that a device says; raises ``DeviceLost`` also if that is nothing because all calls fail."""
        said = [*self._xid_errors.readings(device, identity.key), *readings(device)]
        split = any(metric is gpu.MIG_ENABLED and value for metric, _, value in said)
        said += instances_and_processes(device, split)
        if device.failed and not device.answered:
            raise DeviceLost("no call succeeds")
        return said

    def _lost(self, answering: dict[str, _Identity], silent: list[int]) -> list[_Identity]:
        """Return who is behind the indices that do not answer, and who was there once and is not listed any more."""
        lost = {}
        for index in silent:
            identity = self._at_index.get(index)
            if identity is None or identity.key in answering:
                identity = _Identity("", str(index), "")
            lost[identity.key] = identity
        missing = [identity for key, identity in self._known.items() if key not in answering and key not in lost]
        return [*lost.values(), *missing]

    def _identify(self, device: Device, index: int) -> _Identity:
        """Return who a device is, and remember it for when it does not answer; raises ``DeviceLost``."""
        identity = _Identity(device.text("nvmlDeviceGetUUID"), str(index), device.text("nvmlDeviceGetName"))
        if not identity.uuid:
            return self._at_index.get(index, identity)
        self._known[identity.key] = self._at_index[index] = identity
        return identity
