"""Tests of the GPU collector on captures of NVIDIA's library; run as a program, it writes the golden scrapes again."""

import json
import logging
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_capture import Replay
from genai_exporter.collectors.gpu_nvml import DriverError
from genai_exporter.collectors.gpu_processes import LARGEST_PROCESSES
from genai_metrics.catalog import GPU_METRICS
from genai_stack.binaries import require

CAPTURES = Path(__file__).with_name("gpu_captures")
NAMES = sorted(path.stem for path in CAPTURES.glob("*.json"))
DATA_CENTRE = "h100-sxm__580"
FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
EVENTS_OF_SECOND = {"handle": "events1"}
ODD = ("Unknown", "Timeout", "CorruptedInforom", "OperatingSystem")


# Every call about the first device but those that decide which queue of events the second gets.
SENSORS = tuple(
    call
    for call in json.loads((CAPTURES / f"{DATA_CENTRE}.json").read_text("utf-8"))["scrapes"][0]
    if "(gpu0" in call and not call.startswith(("nvmlDeviceGetUUID", "nvmlDeviceRegister", "nvmlDeviceGetSupported"))
)
NOT_SUPPORTED = {"error": "NotSupported"}
# What is asked of older drivers when the newer call fails.
OLDER_CALLS = {
    "nvmlDeviceGetMemoryInfo(gpu0)": NOT_SUPPORTED,
    "nvmlDeviceGetTemperature(gpu0, 0)": NOT_SUPPORTED,
    "nvmlDeviceGetCurrentClocksThrottleReasons(gpu0)": NOT_SUPPORTED,
}


class Families(Collector):
    """Yields families that were collected before."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def text(families: Iterable[Metric]) -> str:
    """Return families as Prometheus is served them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(families))
    return generate_latest(registry).decode()


def scrapes(capture: str) -> Iterator[str]:
    """Scrape through a capture with one collector, and yield what each scrape serves or why it fails."""
    replay = Replay(capture, pynvml)
    collector = GpuCollector(replay)
    while replay.scrapes:
        replay.begin_scrape()
        try:
            yield text(collector.collect())
        except DriverError as error:
            yield f"# failed: {error}\n"
        assert replay.unasked() == []


def stored(name: str) -> str:
    """Return the text of a capture."""
    return (CAPTURES / f"{name}.json").read_text("utf-8")


def altered(name: str, answers: dict[str, Any]) -> str:
    """Return a capture of one scrape with some answers changed; None removes one."""
    content = json.loads(stored(name))
    content["scrapes"] = content["scrapes"][:1]
    content["scrapes"][0] = {**content["scrapes"][0], **answers}
    return json.dumps(content)


def served(capture: str) -> dict[str, float]:
    """Return the series of the first scrape of a capture."""
    lines = next(scrapes(capture)).splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def of_device(found: dict[str, float], uuid: str) -> dict[str, float]:
    """Return the series of one device."""
    return {series: value for series, value in found.items() if f'uuid="{uuid}"' in series}


def values(found: dict[str, float], metric: str) -> list[float]:
    """Return the values of one metric's series."""
    return [value for series, value in found.items() if series.partition("{")[0] == f"genai_gpu_{metric}"]


@pytest.mark.parametrize("name", NAMES)
class TestGolden:
    """Every capture, scrape by scrape."""

    def test_is_served_byte_for_byte(self, name: str) -> None:
        """What a scrape serves is what was looked at when the file beside the capture was written."""
        expected = {path.name: path.read_text("utf-8") for path in CAPTURES.glob(f"{name}.*.metrics")}
        assert expected == {f"{name}.{number}.metrics": body for number, body in enumerate(scrapes(stored(name)), 1)}

    def test_pleases_promtool(self, name: str) -> None:
        """Names, types and help are as Prometheus wants them."""
        for body in scrapes(stored(name)):
            done = subprocess.run(
                [require("promtool"), "check", "metrics"], input=body, capture_output=True, text=True, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_names_no_real_device(self, name: str) -> None:
        """A capture holds no serial number and no id of a device that exists."""
        assert "Serial" not in stored(name)
        assert stored(name).count("PU-") == stored(name).count("PU-00000000-0000-0000-0000-")


class TestCatalogue:
    """Captures and catalogue."""

    def test_every_metric_is_served(self) -> None:
        """All captures together serve every metric of the catalogue and no other, with every listed label value."""
        bodies = "".join(body for name in NAMES for body in scrapes(stored(name)))
        helps = {line for line in bodies.splitlines() if line.startswith("# HELP ")}
        assert helps == {f"# HELP {metric.name} {metric.help}" for metric in GPU_METRICS}
        for metric in GPU_METRICS:
            for value in metric.split[1] if metric.split else ():
                label = f'{metric.split[0] if metric.split else ""}="{value}"'
                assert any(line.startswith(f"{metric.name}{{") and label in line for line in bodies.splitlines())


class TestSensors:
    """One sensor that is missing or fails costs its series and nothing else."""

    def failing(self, call: str, error: str) -> dict[str, float]:
        """Return what is served when one call fails; calls that follow from its success may go unasked."""
        replay = Replay(altered(DATA_CENTRE, {**OLDER_CALLS, call: {"error": error}}), pynvml)
        replay.begin_scrape()
        lines = text(GpuCollector(replay).collect()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}

    @pytest.mark.parametrize("error", ["NotSupported", "NoPermission", "FunctionNotFound", "NoData", *ODD])
    @pytest.mark.parametrize("call", SENSORS)
    def test_an_error_costs_one_sensor(self, call: str, error: str) -> None:
        """What the call would have told is absent; every other series is the same, on all devices."""
        whole = served(stored(DATA_CENTRE))
        found = self.failing(call, error)
        if call.startswith("nvmlDeviceGetName"):
            # The name is a label of every series.
            assert sorted(found.values()) == sorted(whole.values())
            return
        assert found.items() <= whole.items()
        missing = {series.partition("{")[0] for series in whole.keys() - found.keys()}
        assert len(missing) <= 3
        assert of_device(found, SECOND) == of_device(whole, SECOND)
        assert values(found, "devices") == [2]
        assert values(found, "lost") == [0, 0]

    @pytest.mark.parametrize("error", ["GpuIsLost", "ResetRequired"])
    @pytest.mark.parametrize("call", [call for call in SENSORS if "GetName" not in call])
    def test_a_lost_device_says_so_and_nothing_else(self, call: str, error: str) -> None:
        """Whichever call finds out: one series for the lost device, every series of the other."""
        found = self.failing(call, error)
        expected = {f'genai_gpu_lost{{index="0",name="NVIDIA H100 80GB HBM3",uuid="{FIRST}"}}': 1.0}
        assert {series: value for series, value in found.items() if 'index="0"' in series} == expected
        assert of_device(found, SECOND) == of_device(served(stored(DATA_CENTRE)), SECOND)
        assert values(found, "devices") == [2]

    @pytest.mark.parametrize("error", ["Uninitialized", "DriverNotLoaded", "LibRmVersionMismatch"])
    @pytest.mark.parametrize("call", SENSORS)
    def test_a_broken_driver_fails_the_scrape(self, call: str, error: str) -> None:
        """Whichever call finds out: no half scrape is served."""
        replay = Replay(altered(DATA_CENTRE, {call: {"error": error}, "nvmlShutdown()": None}), pynvml)
        replay.begin_scrape()
        with pytest.raises(DriverError, match="the NVIDIA driver does not answer: nvml"):
            GpuCollector(replay).collect()

    @pytest.mark.parametrize("value", [2**32 - 1, 2**64 - 1, 2**63 - 1, 9223372036854775794])
    @pytest.mark.parametrize("call", [call for call in SENSORS if "Clock" in call or "Power" in call or "Ecc" in call])
    def test_values_that_mean_unknown_are_absent(self, call: str, value: int) -> None:
        """No power of four billion watts."""
        found = served(altered(DATA_CENTRE, {call: value}))
        whole = served(stored(DATA_CENTRE))
        assert found.items() < whole.items()
        assert len({series.partition("{")[0] for series in whole.keys() - found.keys()}) == 1

    def test_an_odd_error_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        """A sensor that should work is named with its error, in the first scrape alone; an absent one is not."""
        content = json.loads(altered(DATA_CENTRE, {"nvmlDeviceGetPowerUsage(gpu0)": {"error": "NoPermission"}}))
        content["scrapes"] *= 2
        replay = Replay(json.dumps(content), pynvml)
        collector = GpuCollector(replay)
        for _ in range(2):
            replay.begin_scrape()
            collector.collect()
        assert [record.__dict__["fields"] for record in caplog.records] == [
            {"call": "nvmlDeviceGetPowerUsage", "error": "Insufficient Permissions"}
        ]

    def test_a_device_that_answers_nothing_is_lost(self) -> None:
        """A card whose every sensor fails without saying that it is lost."""
        events = "nvmlDeviceGetSupportedEventTypes(gpu0)"
        calls = {call: {"error": "Unknown"} for call in [*SENSORS, *OLDER_CALLS, events]}
        replay = Replay(altered(DATA_CENTRE, {**calls, "nvmlEventSetCreate()": EVENTS_OF_SECOND}), pynvml)
        replay.begin_scrape()
        body = text(GpuCollector(replay).collect())
        assert f'genai_gpu_lost{{index="0",name="",uuid="{FIRST}"}} 1.0' in body
        assert [line for line in body.splitlines() if 'index="0"' in line and "lost" not in line] == []

    def test_an_unknown_performance_state_is_absent(self) -> None:
        """The driver's 32 is not a state."""
        found = served(altered(DATA_CENTRE, {"nvmlDeviceGetPerformanceState(gpu0)": 32}))
        assert values(found, "performance_state") == [0]


class TestDevices:
    """Which devices there are."""

    def test_a_lost_device_keeps_its_name(self) -> None:
        """It had answered before: who it is remains known, and the other device goes on as before."""
        first, second, third = scrapes(stored("h100-lost__580"))
        lost = f'genai_gpu_lost{{index="1",name="NVIDIA H100 80GB HBM3",uuid="{SECOND}"}}'
        assert f"{lost} 0.0" in first
        for body in (second, third):
            assert f"{lost} 1.0" in body
            assert body.count(SECOND) == 1
            assert body.count(FIRST) == first.count(FIRST)
            assert "genai_gpu_devices 2.0" in body

    def test_a_device_that_is_no_longer_listed_is_lost(self) -> None:
        """The driver started anew without it."""
        content = json.loads(stored(DATA_CENTRE))
        second = ("gpu1", "events1", "nvmlDeviceGetHandleByIndex(1)")
        gone = {call: answer for call, answer in content["scrapes"][0].items() if not any(n in call for n in second)}
        gone |= {"nvmlDeviceGetCount()": 1, "nvmlEventSetCreate()": {"handle": "events0"}}
        content["scrapes"] += [{"nvmlDeviceGetCount()": {"error": "Unknown"}, "nvmlShutdown()": None}, gone]
        first, failed, third = scrapes(json.dumps(content))
        assert failed.startswith("# failed: ")
        assert "genai_gpu_devices 1.0" in third
        assert f'uuid="{SECOND}"}} 0.0' in first
        assert f'genai_gpu_lost{{index="1",name="NVIDIA H100 80GB HBM3",uuid="{SECOND}"}} 1.0' in third

    def test_another_containers_device_is_left_out(self) -> None:
        """A device that we may not use is neither ours nor lost."""
        answers = {"nvmlDeviceGetHandleByIndex(0)": {"error": "NoPermission"}, "nvmlEventSetCreate()": EVENTS_OF_SECOND}
        replay = Replay(altered(DATA_CENTRE, answers), pynvml)
        replay.begin_scrape()
        body = text(GpuCollector(replay).collect())
        assert "genai_gpu_devices 1.0" in body
        assert 'index="0"' not in body

    def test_the_only_device_comes_back_after_its_reset(self) -> None:
        """When no device answers the library is started anew, because old handles may never answer again."""
        one = json.loads(stored("l4-driver-upgrade__575"))["scrapes"][0]
        lost = {
            "nvmlDeviceGetCount()": 1,
            "nvmlDeviceGetHandleByIndex(0)": {"error": "GpuIsLost"},
            "nvmlShutdown()": None,
        }
        first, second, third = scrapes(json.dumps({"format": 1, "scrapes": [one, lost, one]}))
        assert f'genai_gpu_lost{{index="0",name="NVIDIA L4",uuid="{FIRST}"}} 1.0' in second
        assert third == first

    def test_no_device_is_no_fault(self) -> None:
        """A driver without a device."""
        (body,) = scrapes('{"format": 1, "scrapes": [{"nvmlInit()": null, "nvmlDeviceGetCount()": 0}]}')
        assert [line for line in body.splitlines() if line[0] != "#"] == ["genai_gpu_devices 0.0"]


class TestProcesses:
    """Memory by process."""

    CALL = "nvmlDeviceGetComputeRunningProcesses_v3(gpu0)"
    MPS = "nvmlDeviceGetMPSComputeRunningProcesses_v3(gpu0)"

    def test_small_ones_are_told_together(self) -> None:
        """The largest have a series each; sums over all stay exact."""
        processes = [{"object": {"pid": pid, "usedGpuMemory": pid * 1000}} for pid in range(1, 41)]
        answers = {f"nvmlSystemGetProcessName({pid})": f"p{pid}" for pid in range(41 - LARGEST_PROCESSES, 41)}
        replay = Replay(altered(DATA_CENTRE, {self.CALL: processes, **answers}), pynvml)
        replay.begin_scrape()
        lines = [line for line in text(GpuCollector(replay).collect()).splitlines() if "_process_memory_bytes{" in line]
        assert len(lines) == LARGEST_PROCESSES + 1
        assert sum(float(line.rpartition(" ")[2]) for line in lines) == sum(range(1, 41)) * 1000
        rest = next(line for line in lines if 'process="__other__"' in line)
        assert 'pid=""' in rest
        assert float(rest.rpartition(" ")[2]) == sum(range(1, 41 - LARGEST_PROCESSES)) * 1000

    def test_one_in_both_lists_counts_once(self) -> None:
        """Some drivers list clients of the multi-process service twice."""
        again = [{"object": {"pid": 4117, "usedGpuMemory": 76399247360}}]
        assert values(served(altered(DATA_CENTRE, {self.MPS: again})), "process_memory_bytes") == [76399247360]

    @pytest.mark.parametrize(
        ("title", "name"),
        [
            ("/opt/conda/bin/python3.11", "python3.11"),
            ("/usr/bin/tool --api-key=abc/def", "tool"),
            ("ray::Worker", "ray::Worker"),
            ("a\u0000b\n" + "c" * 100, "abc" + "c" * 61),
            ("", ""),
            (" ", ""),
            ("/", ""),
        ],
    )
    def test_names_are_those_of_programs(self, title: str, name: str) -> None:
        """No folders, no arguments, no control characters, no novels."""
        found = served(altered(DATA_CENTRE, {"nvmlSystemGetProcessName(4117)": title}))
        series = [name for name in found if name.startswith("genai_gpu_process_memory_bytes")]
        assert len(series) == 1
        assert f'process="{name}"' in series[0]


class TestDriver:
    """A driver that is absent, breaks, comes back."""

    def test_none_on_this_machine_or_a_working_one(self) -> None:
        """With the real library the number of devices is served; here without a driver, 0 and nothing else."""
        collector = GpuCollector()
        body = text(collector.collect())
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            assert [line for line in body.splitlines() if line[0] != "#"] == ["genai_gpu_devices 0.0"]
        else:
            assert f"genai_gpu_devices {float(pynvml.nvmlDeviceGetCount())}" in body
            pynvml.nvmlShutdown()

    @pytest.mark.parametrize("error", ["LibraryNotFound", "DriverNotLoaded", "GpuNotFound"])
    def test_absence_is_success_and_logged_once(self, caplog: pytest.LogCaptureFixture, error: str) -> None:
        """Scrape after scrape 0 devices, and one line in the log."""
        caplog.set_level(logging.INFO)
        scrape = {"nvmlInit()": {"error": error}}
        for body in scrapes(json.dumps({"format": 1, "scrapes": [scrape] * 3})):
            assert [line for line in body.splitlines() if line[0] != "#"] == ["genai_gpu_devices 0.0"]
        assert [record.message for record in caplog.records] == ["no NVIDIA GPU to watch"]
        assert caplog.records[0].levelname == "INFO"

    def test_a_missing_package_is_absence_and_names_the_remedy(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without nvidia-ml-py nothing can be read, and the log says what to install."""
        caplog.set_level(logging.INFO)
        monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
        body = text(GpuCollector().collect())
        assert [line for line in body.splitlines() if line[0] != "#"] == ["genai_gpu_devices 0.0"]
        assert "pip install 'genai-exporter[gpu]'" in caplog.records[0].__dict__["fields"]["reason"]

    @pytest.mark.parametrize(
        ("error", "remedy"),
        [
            ("Unknown", "in a container, restart it"),
            ("NoPermission", "give the exporter's user or container access to /dev/nvidiactl"),
            ("LibRmVersionMismatch", "restart the exporter"),
            ("Memory", "ask nvidia-smi"),
        ],
    )
    def test_a_driver_that_does_not_work_is_a_failure(self, error: str, remedy: str) -> None:
        """From the first scrape on: it is installed, so somebody wants it to work."""
        (body,) = scrapes(json.dumps({"format": 1, "scrapes": [{"nvmlInit()": {"error": error}}]}))
        assert body.startswith("# failed: the NVIDIA driver does not answer: nvmlInit: ")
        assert remedy in body

    def test_one_that_worked_fails_and_comes_back(self) -> None:
        """Unloaded, upgraded and loaded again: three failures, and then the same series as before."""
        first, *failures, last = scrapes(stored("l4-driver-upgrade__575"))
        assert [body.startswith("# failed: ") for body in failures] == [True] * 3
        assert "the NVIDIA driver is gone: Driver Not Loaded" in failures[2]
        assert last == first

    def test_one_that_comes_later_is_found(self) -> None:
        """Absence is not for ever."""
        one = json.loads(stored("l4-driver-upgrade__575"))["scrapes"][0]
        before, after = scrapes(
            json.dumps({"format": 1, "scrapes": [{"nvmlInit()": {"error": "DriverNotLoaded"}}, one]})
        )
        assert "genai_gpu_devices 0.0" in before
        assert "genai_gpu_devices 1.0" in after


class TestXidErrors:
    """Critical errors."""

    def test_they_add_up_over_scrapes(self) -> None:
        """The counter begins at 0 for each device, and the gauge holds the last number."""
        content = json.loads(stored("h100-lost__580"))
        first, second = content["scrapes"][0], {**content["scrapes"][0]}
        for call in ("nvmlInit()", "nvmlEventSetCreate()"):
            second.pop(call)
        for call in [call for call in second if call.startswith(("nvmlDeviceRegister", "nvmlDeviceGetSupportedEvent"))]:
            second.pop(call)
        event = {"struct": "c_nvmlEventData_t", "eventType": 8, "eventData": 31}
        queue = "nvmlEventSetWait_v2(events0, 0)"
        bodies = [first, {**second, queue: {"each": [event, {"error": "Timeout"}]}}, second]
        found = [
            [line.rpartition(" ")[2] for line in body.splitlines() if "xid" in line and line[0] != "#"]
            for body in scrapes(json.dumps({"format": 1, "scrapes": bodies}))
        ]
        assert found == [["0.0", "0.0", "0.0", "0.0"], ["1.0", "0.0", "31.0", "0.0"], ["1.0", "0.0", "31.0", "0.0"]]

    def test_a_storm_does_not_keep_a_scrape_from_ending(self) -> None:
        """A scrape takes a hundred at most and leaves the rest to the next."""
        event = {"struct": "c_nvmlEventData_t", "eventType": 8, "eventData": 31}
        replay = Replay(altered(DATA_CENTRE, {"nvmlEventSetWait_v2(events0, 0)": {"each": [event] * 150}}), pynvml)
        replay.begin_scrape()
        body = text(GpuCollector(replay).collect())
        assert f'genai_gpu_xid_errors_total{{index="0",name="NVIDIA H100 80GB HBM3",uuid="{FIRST}"}} 100.0' in body


if __name__ == "__main__":
    for old in CAPTURES.glob("*.metrics"):
        old.unlink()
    for capture_name in NAMES:
        for number, served_text in enumerate(scrapes(stored(capture_name)), 1):
            (CAPTURES / f"{capture_name}.{number}.metrics").write_text(served_text, "utf-8")
