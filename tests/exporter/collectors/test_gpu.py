"""Tests of the GPU collector on captures of NVIDIA's library: golden scrapes, devices, the driver as a whole."""

import json
import logging
import subprocess
import sys

import pynvml
import pytest
from gpu_scrapes import CAPTURES, DATA_CENTRE, EVENTS_OF_SECOND, FIRST, NAMES, SECOND, altered, scrapes, stored, text

from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_capture import Replay
from genai_metrics.catalog import GPU_METRICS
from genai_stack.binaries import require


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

    def test_indices_may_move(self) -> None:
        """Started anew, the driver lists the device of index 0 at 1 and cannot say who is at 0: nobody counts twice."""
        content = json.loads(stored("h100-lost__580"))
        before = content["scrapes"][0]
        after = {call: answer for call, answer in before.items() if "gpu0" not in call and "events1" not in call}
        after |= {
            "nvmlDeviceGetHandleByIndex(0)": {"error": "GpuIsLost"},
            "nvmlDeviceGetUUID(gpu1)": f"{FIRST}",
            "nvmlEventSetCreate()": {"handle": "events0"},
            "nvmlDeviceRegisterEvents(gpu1, 8, events0)": None,
        }
        del after["nvmlSystemGetProcessName(4117)"]
        broken = {"nvmlDeviceGetCount()": {"error": "Unknown"}, "nvmlShutdown()": None}
        *_, last = scrapes(json.dumps({"format": 1, "scrapes": [before, broken, after]}))
        assert [line for line in last.splitlines() if line.startswith("genai_gpu_lost")] == [
            f'genai_gpu_lost{{index="1",name="NVIDIA H100 80GB HBM3",uuid="{FIRST}"}} 0.0',
            'genai_gpu_lost{index="0",name="",uuid=""} 1.0',
            f'genai_gpu_lost{{index="1",name="NVIDIA H100 80GB HBM3",uuid="{SECOND}"}} 1.0',
        ]

    def test_who_it_is_is_remembered(self) -> None:
        """A device that cannot tell its id for once is no other device."""
        one = json.loads(stored("tesla-t4__470"))["scrapes"][0]
        started = ("nvmlInit()", "nvmlEventSetCreate()", "nvmlDeviceRegister", "nvmlDeviceGetSupportedEvent")
        again = {call: answer for call, answer in one.items() if not call.startswith(started)}
        again["nvmlDeviceGetUUID(gpu0)"] = {"error": "Unknown"}
        first, second = scrapes(json.dumps({"format": 1, "scrapes": [one, again]}))
        assert second == first

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
        monkeypatch.setitem(sys.modules, "pynvml", None)
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

    def test_one_that_cannot_even_be_left_is_tried_again(self) -> None:
        """The failure that is told is the first one, not that of letting go."""
        one = json.loads(stored("l4-driver-upgrade__575"))["scrapes"][0]
        broken = {"nvmlDeviceGetCount()": {"error": "Unknown"}, "nvmlShutdown()": {"error": "Uninitialized"}}
        first, second, third = scrapes(json.dumps({"format": 1, "scrapes": [one, broken, one]}))
        assert second.startswith("# failed: the NVIDIA driver does not answer: nvmlDeviceGetCount: Unknown Error")
        assert third == first

    def test_one_that_comes_later_is_found(self) -> None:
        """Absence is not for ever."""
        one = json.loads(stored("l4-driver-upgrade__575"))["scrapes"][0]
        before, after = scrapes(
            json.dumps({"format": 1, "scrapes": [{"nvmlInit()": {"error": "DriverNotLoaded"}}, one]})
        )
        assert "genai_gpu_devices 0.0" in before
        assert "genai_gpu_devices 1.0" in after
