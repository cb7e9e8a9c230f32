"""Tests of captures: what is recorded can be replayed, what cannot be says why, and nothing private is in them."""

import ctypes
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import pytest

from genai_exporter.collectors import gpu_capture
from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_capture import CaptureError, Recording, Replay, record

SOURCES = Path(gpu_capture.__file__).parent
CAPTURES = Path(__file__).with_name("gpu_captures")
UUID = "GPU-12345678-9abc-def0-1234-56789abcdef0"


class Machine:
    """Stands for ``pynvml`` on a machine with one device, which knows little but answers with real handles."""

    def __init__(self, **answers: Any) -> None:
        self._answers = {"nvmlInit": None, "nvmlDeviceGetCount": 1, "nvmlDeviceGetUUID": UUID, **answers}

    def __getattr__(self, name: str) -> Any:
        found = getattr(pynvml, name)
        return self._function(name) if inspect.isfunction(found) else found

    def _function(self, name: str) -> Callable[..., Any]:
        def call(*_: Any) -> Any:
            if name in self._answers:
                return self._answers[name]
            if name == "nvmlDeviceGetHandleByIndex":
                return ctypes.cast(0xABCDEF, pynvml.c_nvmlDevice_t)
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

        return call


def replayed(capture: str) -> Replay:
    """Return a replay that is at its first scrape."""
    replay = Replay(capture, pynvml)
    replay.begin_scrape()
    return replay


class TestRecording:
    """``record`` and what it writes."""

    @pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda path: str(path.stem))
    def test_a_replay_records_as_itself(self, path: Path) -> None:
        """Every stored capture, recorded while it is replayed, has the same first scrape, and so the whole layout."""
        stored = path.read_text("utf-8")
        content = json.loads(stored)
        again = json.loads(record(WithPointers(replayed(stored))))
        assert again == {"format": 1, "scrapes": content["scrapes"][:1]}

    def test_is_a_line_a_call(self) -> None:
        """People can read and change it."""
        lines = record(Machine(nvmlDeviceGetPowerUsage=120_000)).splitlines()
        assert '"nvmlDeviceGetPowerUsage(gpu0)": 120000,' in lines
        assert '"nvmlDeviceGetEnforcedPowerLimit(gpu0)": {"error": "NotSupported"},' in lines

    def test_ids_and_titles_are_replaced(self) -> None:
        """Neither the device's id nor folders and arguments of processes are in it, and no serial number is asked."""
        process = pynvml.nvmlFriendlyObject({"pid": 7, "usedGpuMemory": 1000})
        capture = record(
            Machine(
                nvmlDeviceGetComputeRunningProcesses_v3=[process],
                nvmlSystemGetProcessName="/home/jane/bin/serve --token=abc",
            )
        )
        assert '"nvmlDeviceGetUUID(gpu0)": "GPU-00000000-0000-0000-0000-000000000001"' in capture
        assert '"nvmlSystemGetProcessName(7)": "serve"' in capture
        for private in ("12345678", "jane", "token", "Serial"):
            assert private not in capture

    def test_a_driver_that_does_not_work_is_recorded(self) -> None:
        """That is what a bug report may be about."""

        class Broken(Machine):
            """A machine whose driver was upgraded."""

            def nvmlInit(self) -> None:
                """Fail."""
                raise pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)

        assert json.loads(record(Broken()))["scrapes"] == [{"nvmlInit()": {"error": "LibRmVersionMismatch"}}]

    def test_the_command_prints_a_capture(self) -> None:
        """``genai-exporter gpu-capture`` on this machine, with the real library: it can be replayed."""
        done = subprocess.run(
            [sys.executable, "-m", "genai_exporter", "gpu-capture"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert list(GpuCollector(replayed(done.stdout)).collect())

    def test_the_command_names_a_missing_package(self) -> None:
        """Without nvidia-ml-py there is nothing to record, and the message says what to install."""
        script = "import sys; sys.modules['pynvml'] = None; from genai_exporter.cli import main; main(['gpu-capture'])"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        assert "pip install 'genai-exporter[gpu]'" in done.stderr
        assert "Traceback" not in done.stderr


class WithPointers:
    """Gives a replay's handles, which are texts, the form that the real library's have."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._pointers: dict[str, Any] = {}
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._replay, name)
        if not inspect.isfunction(found):
            return found

        def call(*arguments: Any) -> Any:
            answer = found(*(self._name(argument) for argument in arguments))
            return (
                self._pointer(answer)
                if isinstance(answer, str) and re.fullmatch(r"(gpu|mig|events)\d+", answer)
                else answer
            )

        return call

    def _pointer(self, name: str) -> Any:
        if name not in self._pointers:
            address = len(self._pointers) + 1
            self._pointers[name] = ctypes.cast(address, pynvml.c_nvmlDevice_t)
            self._names[address] = name
        return self._pointers[name]

    def _name(self, argument: Any) -> Any:
        address = ctypes.cast(argument, ctypes.c_void_p).value if isinstance(argument, ctypes._Pointer) else None
        return argument if address is None else self._names[address]


class TestReplay:
    """``Replay`` is strict."""

    def test_a_call_that_was_not_made_is_named(self) -> None:
        """With its arguments."""
        with pytest.raises(CaptureError, match=re.escape("the capture has no answer to nvmlDeviceGetHandleByIndex(3)")):
            replayed('{"format": 1, "scrapes": [{}]}').nvmlDeviceGetHandleByIndex(3)

    def test_a_call_made_too_often_is_named(self) -> None:
        """Once was recorded."""
        replay = replayed('{"format": 1, "scrapes": [{"nvmlDeviceGetCount()": 2}]}')
        assert replay.nvmlDeviceGetCount() == 2
        with pytest.raises(CaptureError, match=re.escape("no further answer to nvmlDeviceGetCount()")):
            replay.nvmlDeviceGetCount()

    def test_a_call_that_does_not_fit_the_real_function_fails(self) -> None:
        """The bindings' own parameters are checked."""
        with pytest.raises(CaptureError, match="nvmlDeviceGetCount: too many positional arguments"):
            replayed('{"format": 1, "scrapes": [{"nvmlDeviceGetCount(1)": 2}]}').nvmlDeviceGetCount(1)

    def test_a_function_that_does_not_exist_fails(self) -> None:
        """As it would on the real module."""
        with pytest.raises(AttributeError):
            replayed('{"format": 1, "scrapes": [{"nvmlNoSuchCall()": 2}]}').nvmlNoSuchCall()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not a capture"),
            ("[]", "not a capture"),
            ('{"scrapes": []}', "not a capture"),
            ('{"format": 1}', "not a capture"),
            ('{"format": 2, "scrapes": []}', "a capture of format 2; this release reads 1"),
        ],
    )
    def test_other_files_are_refused(self, text: str, message: str) -> None:
        """What is not a capture, or one of another release."""
        with pytest.raises(CaptureError, match=message):
            Replay(text, pynvml)

    def test_ends(self) -> None:
        """After the last scrape there is none."""
        replay = replayed('{"format": 1, "scrapes": [{}]}')
        assert replay.scrapes == 0
        with pytest.raises(CaptureError, match="no further scrape"):
            replay.begin_scrape()


class TestBindings:
    """The installed nvidia-ml-py, without a driver."""

    def test_every_name_exists(self) -> None:
        """Each function and constant of the library that our sources spell is in the real module."""
        text = "".join(path.read_text("utf-8") for path in SOURCES.glob("gpu*.py"))
        names = set(re.findall(r"\b(?:nvml[A-Z]\w+|NVML_\w+|NVMLError\w*)\b", text))
        names -= {"NVML_ERROR_", "NVMLError_", "nvmlReturn"}  # beginnings, completed at run time; a field of a record
        assert len(names) > 60
        assert {name for name in names if not hasattr(pynvml, name)} == set()

    def test_recording_passes_constants_on(self) -> None:
        """A recording listens to functions alone."""
        assert Recording(pynvml).NVML_CLOCK_SM == pynvml.NVML_CLOCK_SM
        assert Recording(pynvml).NVMLError is pynvml.NVMLError
