"""Who uses a device: its MIG instances and its processes."""

from collections.abc import Iterator

from genai_exporter.collectors.gpu_nvml import Device, number
from genai_exporter.collectors.gpu_readings import Reading, memory
from genai_metrics.catalog import OVERFLOW, gpu

# A device of an inference server has one to a few processes; a shared one may have hundreds, each a series that ends
# with it.
LARGEST_PROCESSES = 20
"""Processes of a device, or of a MIG instance, that are told one by one."""

_LONGEST_NAME = 64


def instances_and_processes(device: Device, split: bool) -> Iterator[Reading]:
    """Yield memory by MIG instance and by process; ``split`` says whether the device has instances.

    Of a split device the instances are asked: a process uses one of them. Raises ``DeviceLost`` and ``DriverError``.
    """
    if not split:
        yield from _processes(device, "")
        return
    for uuid, profile, instance in _instances(device):
        for metric, _, value in memory(instance, gpu.MIG_MEMORY_USED, gpu.MIG_MEMORY_TOTAL, None):
            if value is not None:
                yield metric, (uuid, profile), value
        yield from _processes(instance, uuid)


def program_name(title: str) -> str:
    """Return the name of the program in a process's title: its first word without folders.

    A process may give itself any title, with its arguments in it.
    """
    words = title.split()
    return words[0].rpartition("/")[2][:_LONGEST_NAME] if words else ""


def _instances(device: Device) -> Iterator[tuple[str, str, Device]]:
    """Yield uuid, profile (such as 1g.10gb) and handle of each MIG instance."""
    for index in range(int(number(device.read("nvmlDeviceGetMaxMigDeviceCount")) or 0)):
        handle = device.read("nvmlDeviceGetMigDeviceHandleByIndex", index)
        if handle is None:
            continue  # a free place
        instance = Device(device.driver, handle)
        uuid = instance.text("nvmlDeviceGetUUID")
        if uuid:
            yield uuid, instance.text("nvmlDeviceGetName").rpartition("MIG ")[2], instance


def _processes(device: Device, mig: str) -> Iterator[Reading]:
    used: dict[int, float] = {}
    # Clients of the multi-process service (MPS) have a list of their own; some drivers list them in both.
    for function in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v3"):
        for process in device.read(function) or ():
            size = number(process.usedGpuMemory)
            if size is not None:
                used[process.pid] = max(size, used.get(process.pid, 0.0))
    largest = sorted(used, key=lambda pid: (-used[pid], pid))
    for pid in largest[:LARGEST_PROCESSES]:
        # Unknown, and empty, if the process is in another pid namespace, such as that of another container.
        name = program_name(device.driver.text("nvmlSystemGetProcessName", pid))
        yield gpu.PROCESS_MEMORY, (mig, str(pid), name), used[pid]
    if len(largest) > LARGEST_PROCESSES:
        rest = sum(used[pid] for pid in largest[LARGEST_PROCESSES:])
        yield gpu.PROCESS_MEMORY, (mig, "", OVERFLOW), rest
