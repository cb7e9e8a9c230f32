"""Recorded answers of NVIDIA's library: what a scrape asked and was told, as JSON, and what answers so again.

A capture goes into a bug report, and from there into the tests: ``Recording`` listens to a real library, ``Replay``
takes its place. A file holds one object a scrape, a line a call::

    "nvmlDeviceGetPowerUsage(gpu0)": 121340,
    "nvmlDeviceGetFanSpeed_v2(gpu0, 0)": {"error": "NotSupported"},

Numbers and texts stand for themselves, ``{"handle": …}`` for what the library hands out to be given back,
``{"struct": …}`` and ``{"object": …}`` for its records, ``{"error": …}`` for one of its errors, ``{"each": […]}`` for
the answers to a call that was made several times. Devices' ids are replaced, and of processes only the name of the
program is kept.
"""

import ctypes
import importlib
import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_nvml import DriverError
from genai_exporter.collectors.gpu_processes import program_name

FORMAT = 1
"""Version of the file's layout."""

_ERROR = "NVMLError_"
_HANDLE_NAMES = {
    "nvmlDeviceGetHandleByIndex": "gpu",
    "nvmlDeviceGetMigDeviceHandleByIndex": "mig",
    "nvmlEventSetCreate": "events",
}
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")


class CaptureError(ValueError):
    """A capture cannot be read, or has no answer to what is asked; the text says which."""


class Recording:
    """Passes calls on to the module ``pynvml`` and keeps the answers; one thread at a time."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles: dict[int, str] = {}
        self._ids: dict[str, str] = {}
        self._scrapes: list[dict[str, list[Any]]] = []

    def __getattr__(self, name: str) -> Any:
        """Return a constant or class of the module, or its function in a wrapper that listens."""
        found = getattr(self._nvml, name)
        if not inspect.isfunction(found) and not inspect.ismethod(found):
            return found

        def call(*arguments: Any) -> Any:
            try:
                answer = found(*arguments)
            except self._nvml.NVMLError as error:
                self._keep(name, arguments, {"error": type(error).__name__.removeprefix(_ERROR)})
                raise
            self._keep(name, arguments, self._encode(answer, name))
            return answer

        return call

    def begin_scrape(self) -> None:
        """Keep what follows as a further scrape."""
        self._scrapes.append({})

    def text(self) -> str:
        """Return the file's text."""
        scrapes = [
            "{\n"
            + ",\n".join(
                f"{json.dumps(call)}: {json.dumps(answers[0] if len(answers) == 1 else {'each': answers})}"
                for call, answers in scrape.items()
            )
            + "\n}"
            for scrape in self._scrapes
        ]
        return f'{{"format": {FORMAT}, "scrapes": [\n' + ",\n".join(scrapes) + "\n]}\n"

    def _keep(self, function: str, arguments: tuple[Any, ...], answer: Any) -> None:
        text = _call_text(function, [self._argument(argument) for argument in arguments])
        if function == "nvmlSystemGetProcessName" and isinstance(answer, str):
            answer = program_name(answer)
        self._scrapes[-1].setdefault(text, []).append(answer)

    def _argument(self, argument: Any) -> str:
        return self._handles[_address(argument)] if isinstance(argument, ctypes._Pointer) else str(argument)

    def _encode(self, value: Any, function: str) -> Any:
        if isinstance(value, ctypes._Pointer):
            name = _HANDLE_NAMES.get(function, "handle")
            numbers = sum(other.startswith(name) for other in self._handles.values())
            return {"handle": self._handles.setdefault(_address(value), f"{name}{numbers}")}
        if isinstance(value, ctypes.Structure):
            fields = {field[0]: getattr(value, field[0]) for field in value._fields_}
            return {"struct": type(value).__name__, **self._fields(fields, function)}
        if isinstance(value, ctypes.Union):
            return {"ullVal": getattr(value, "ullVal", 0)}
        if isinstance(value, self._nvml.nvmlFriendlyObject):
            return {"object": self._fields(vars(value), function)}
        if isinstance(value, list | tuple | ctypes.Array):
            return [self._encode(item, function) for item in value]
        return _UUID.sub(self._other_id, value) if isinstance(value, str) else value

    def _fields(self, fields: dict[str, Any], function: str) -> dict[str, Any]:
        """Encode a record's fields, but for handles in it: nothing reads them."""
        return {
            name: self._encode(value, function)
            for name, value in fields.items()
            if not isinstance(value, ctypes._Pointer)
        }

    def _other_id(self, match: re.Match[str]) -> str:
        return self._ids.setdefault(match[0], f"00000000-0000-0000-0000-{len(self._ids) + 1:012}")


class Replay:
    """Answers like the module ``pynvml`` on the machine of a capture, one scrape after the other.

    ``nvml`` is the real module, for its constants, records and errors; it need not find a driver. A call that the
    scrape did not make raises ``CaptureError``, as does one that does not fit the real function's parameters.
    """

    def __init__(self, text: str, nvml: Any) -> None:
        self._nvml = nvml
        try:
            content = json.loads(text)
            version = content["format"]
            self._scrapes = [
                {call: _answers(answer) for call, answer in scrape.items()} for scrape in content["scrapes"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CaptureError(f"not a capture: {error!r}") from error
        if version != FORMAT:
            raise CaptureError(f"a capture of format {version}; this release reads {FORMAT}")
        self._now: dict[str, list[Any]] = {}

    @property
    def scrapes(self) -> int:
        """Number of scrapes that are left."""
        return len(self._scrapes)

    def begin_scrape(self) -> None:
        """Answer from the next scrape on; raises ``CaptureError`` after the last."""
        if not self._scrapes:
            raise CaptureError("the capture has no further scrape")
        self._now = self._scrapes.pop(0)

    def unasked(self) -> list[str]:
        """Calls of this scrape that have an answer nobody asked for."""
        return [call for call, answers in self._now.items() if answers]

    def __getattr__(self, name: str) -> Any:
        """Return a constant or class of the module, or a function that answers from the capture."""
        found = getattr(self._nvml, name)
        return self._function(name, found) if inspect.isfunction(found) else found

    def _function(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                inspect.signature(real).bind(*arguments)
            except TypeError as error:
                raise CaptureError(f"{name}: {error}") from error
            text = _call_text(name, [str(argument) for argument in arguments])
            answers = self._now.get(text)
            if not answers:
                raise CaptureError(f"the capture has no {'further ' if answers == [] else ''}answer to {text}")
            return self._decode(answers.pop(0))

        return call

    def _decode(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "error" in value:
            raise getattr(self._nvml, _ERROR + value["error"])
        if "handle" in value:
            return value["handle"]
        if "object" in value:
            return self._nvml.nvmlFriendlyObject(value["object"])
        record = getattr(self._nvml, value["struct"])()
        for name, field in value.items():
            if isinstance(field, dict):
                for inner, number in field.items():
                    setattr(getattr(record, name), inner, number)
            elif name != "struct":
                setattr(record, name, field)
        return record


def record(nvml: Any = None) -> str:
    """Scrape the GPUs of this machine once and return what the driver said, as a capture.

    A driver that does not work is a capture, too. Raises ``ModuleNotFoundError`` without nvidia-ml-py.
    """
    recording = Recording(importlib.import_module("pynvml") if nvml is None else nvml)
    recording.begin_scrape()
    try:
        GpuCollector(recording).collect()
    except DriverError:
        pass  # its errors are kept
    return recording.text()


def _answers(answer: Any) -> list[Any]:
    return list(answer["each"]) if isinstance(answer, dict) and "each" in answer else [answer]


def _call_text(function: str, arguments: list[str]) -> str:
    return f"{function}({', '.join(arguments)})"


def _address(pointer: Any) -> int:
    return ctypes.cast(pointer, ctypes.c_void_p).value or 0
