"""Tests of what GPUs say: sensors that fail, processes, critical errors."""

import json

import pynvml
import pytest
from gpu_scrapes import (
    DATA_CENTRE,
    EVENTS_OF_SECOND,
    FIRST,
    SECOND,
    altered,
    of_device,
    scrapes,
    served,
    stored,
    text,
    values,
)

from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_capture import Replay
from genai_exporter.collectors.gpu_nvml import DriverError
from genai_exporter.collectors.gpu_processes import LARGEST_PROCESSES

ODD = ("Unknown", "Timeout", "CorruptedInforom", "OperatingSystem")
# Every call about the first device but those that decide which queue of events the second gets.
SENSORS = tuple(
    call
    for call in json.loads(stored(DATA_CENTRE))["scrapes"][0]
    if "(gpu0" in call and not call.startswith(("nvmlDeviceGetUUID", "nvmlDeviceRegister", "nvmlDeviceGetSupported"))
)
NOT_SUPPORTED = {"error": "NotSupported"}
# What is asked of older drivers when the newer call fails.
OLDER_CALLS = {
    "nvmlDeviceGetMemoryInfo(gpu0)": NOT_SUPPORTED,
    "nvmlDeviceGetTemperature(gpu0, 0)": NOT_SUPPORTED,
    "nvmlDeviceGetCurrentClocksThrottleReasons(gpu0)": NOT_SUPPORTED,
}


class TestSensors:
    """One sensor that is missing or fails costs its series and nothing else."""

    def failing(self, call: str, error: str) -> dict[str, float]:
        """Return what is served when one call fails; calls that follow from its success may go unasked."""
        return self.replayed(altered(DATA_CENTRE, {**OLDER_CALLS, call: {"error": error}}))

    def replayed(self, capture: str) -> dict[str, float]:
        """Return what the first scrape of a capture serves, whatever was not asked."""
        replay = Replay(capture, pynvml)
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

    def test_a_device_that_tells_us_nothing_is_not_lost(self) -> None:
        """Where we lack the permission for every call, nothing is wrong with the device."""
        events = "nvmlDeviceGetSupportedEventTypes(gpu0)"
        calls = {call: {"error": "NoPermission"} for call in [*SENSORS, *OLDER_CALLS, events]}
        replay = Replay(altered(DATA_CENTRE, {**calls, "nvmlEventSetCreate()": EVENTS_OF_SECOND}), pynvml)
        replay.begin_scrape()
        body = text(GpuCollector(replay).collect())
        assert f'genai_gpu_lost{{index="0",name="",uuid="{FIRST}"}} 0.0' in body

    def test_an_instance_that_cannot_be_named_is_left_out(self) -> None:
        """Two of them would be one series."""
        found = self.replayed(altered("a100-mig__550", {"nvmlDeviceGetUUID(mig0)": {"error": "NotSupported"}}))
        assert len(values(found, "mig_memory_used_bytes")) == 1
        assert len(values(found, "process_memory_bytes")) == 1

    def test_an_unknown_performance_state_is_absent(self) -> None:
        """The driver's 32 is not a state."""
        found = served(altered(DATA_CENTRE, {"nvmlDeviceGetPerformanceState(gpu0)": 32}))
        assert values(found, "performance_state") == [0]


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

    def test_a_name_that_is_no_text_is_empty(self) -> None:
        """Any bytes may be the name of a program; the bindings want UTF-8."""

        class Latin(Replay):
            """A machine with a program called caf\xe9 in Latin-1."""

            def nvmlSystemGetProcessName(self, pid: int) -> str:
                """Fail as the bindings do."""
                return b"caf\xe9".decode()

        replay = Latin(stored(DATA_CENTRE), pynvml)
        replay.begin_scrape()
        assert 'pid="4117",process="",' in text(GpuCollector(replay).collect())


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

    @pytest.mark.parametrize(
        "answers",
        [
            {
                "nvmlDeviceRegisterEvents(gpu1, 8, events1)": {"error": "NotSupported"},
                "nvmlEventSetFree(events1)": None,
            },
            {"nvmlDeviceGetSupportedEventTypes(gpu1)": 0},
            {"nvmlDeviceGetSupportedEventTypes(gpu1)": {"error": "NotSupported"}},
        ],
    )
    def test_a_device_without_them_has_no_series(self, answers: dict[str, object]) -> None:
        """A device whose errors we cannot hear of must not look free of errors."""
        replay = Replay(altered(DATA_CENTRE, answers), pynvml)
        replay.begin_scrape()
        lines = [line for line in text(GpuCollector(replay).collect()).splitlines() if "xid" in line and line[0] != "#"]
        assert [line for line in lines if SECOND in line] == []
        assert len(lines) == 2

    @pytest.mark.parametrize("error", ["Unknown", "GpuIsLost"])
    def test_a_queue_that_fails_costs_nothing_else(self, error: str) -> None:
        """The count stays where it was."""
        found = served(altered(DATA_CENTRE, {"nvmlEventSetWait_v2(events1, 0)": {"error": error}}))
        assert values(found, "xid_errors_total") == [0, 0]
        assert len(of_device(found, SECOND)) == len(of_device(served(stored(DATA_CENTRE)), SECOND))
