"""Tests of the GPU collector on the real bindings, nvidia-ml-py, over a stand-in for the driver's own library."""

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml
import pytest

from genai_exporter.collectors.gpu import GpuCollector
from genai_metrics.catalog import GPU_METRICS

NUMBER = 8  # also the bit that says that critical errors are told


class Library:
    """Answers every function of libnvidia-ml.so with success: one device, numbers are 8, texts are x, records are 0."""

    def __init__(self) -> None:
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.called.add(name)
            for argument in arguments:
                target = getattr(argument, "_obj", argument)  # of byref()
                if isinstance(target, ctypes.Array) and target._type_ is ctypes.c_char:
                    target.value = b"x"
                elif target is not argument and isinstance(target, ctypes._SimpleCData):
                    target.value = 1 if name == "nvmlDeviceGetCount_v2" else NUMBER
            if "RunningProcesses" in name and arguments[2] is None:
                return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
            return int(pynvml.NVML_SUCCESS)

        return call


def test_the_bindings_take_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments pass the bindings' conversion to C, and what they return makes every metric of the catalogue."""
    library = Library()
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "_nvmlLib_refcount", 0)
    families = {family.name: family for family in GpuCollector(pynvml).collect()}
    assert set(families) == {metric.family for metric in GPU_METRICS}
    assert [sample.value for sample in families["genai_gpu_devices"].samples] == [1]
    assert [sample.value for sample in families["genai_gpu_power_watts"].samples] == [NUMBER / 1000]
    assert {sample.labels["process"] for sample in families["genai_gpu_process_memory_bytes"].samples} == {"x"}
    assert {"nvmlInitWithFlags", "nvmlDeviceGetMemoryInfo_v2", "nvmlEventSetWait_v2"} <= library.called
