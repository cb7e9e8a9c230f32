"""Tests of taking over a changed configuration: all of it or nothing, by signal and by HTTP, in the real command."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from servers import free_port, get

from genai_exporter.aggregate import Applications
from genai_exporter.config import Address, Config
from genai_exporter.directory import Limits
from genai_exporter.reload import FIXED, Reloader
from genai_metrics.catalog import OVERFLOW, TENANT_REQUESTS
from genai_metrics.recorder import Recorder
from genai_metrics.yamlvalues import YamlError

Writer = Callable[..., Recorder]
Open = Callable[..., Applications]
Samples = Callable[[Applications], dict[str, float]]

SUCCESSFUL = "genai_exporter_config_last_reload_successful"
AT = "genai_exporter_config_last_reload_success_timestamp_seconds"


class TestReloader:
    """One reading of the configuration."""

    def test_hands_a_new_one_on(self) -> None:
        """Every function gets it, in order, and the state says so."""
        new, calls = Config(born_at_zero_seconds=61.0), []
        before = time.time()
        reloader = Reloader(lambda: new, Config(), [lambda c: calls.append((1, c)), lambda c: calls.append((2, c))])
        assert reloader.reload() is None
        assert calls == [(1, new), (2, new)]
        assert reloader.state.successful
        assert reloader.state.succeeded_at >= before

    def test_keeps_the_old_one_when_the_new_one_is_bad(self, caplog: pytest.LogCaptureFixture) -> None:
        """The reason is returned and logged, nobody is told anything new, and the next good one is taken."""
        configs: list[Config | YamlError] = [YamlError("exporter.yml:2: nonsense"), Config()]
        calls: list[Config] = []

        def load() -> Config:
            found = configs.pop(0)
            if isinstance(found, YamlError):
                raise found
            return found

        reloader = Reloader(load, Config(), [calls.append])
        started = reloader.state.succeeded_at
        assert reloader.reload() == "exporter.yml:2: nonsense"
        assert (reloader.state.successful, reloader.state.succeeded_at, calls) == (False, started, [])
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.__dict__["fields"] == {"error": "exporter.yml:2: nonsense"}
        assert reloader.reload() is None
        assert reloader.state.successful
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("key", "changed"),
        [
            ("metrics_dir", replace(Config(), metrics_dir=Path("/elsewhere"))),
            ("metrics_dir_shared", replace(Config(), metrics_dir_shared="group")),
            ("web.listen_address", replace(Config(), listen_addresses=(Address("", 1),))),
            ("web.config_file", replace(Config(), web_config_file=Path("/web.yml"))),
        ],
    )
    def test_what_cannot_change_keeps_all_as_it_was(self, key: str, changed: Config) -> None:
        """Not even the rest of such a configuration is taken over: it belongs together."""
        calls: list[Config] = []
        reloader = Reloader(lambda: replace(changed, log_level="debug"), Config(), [calls.append])
        assert reloader.reload() == f"{key} cannot change while the exporter runs: change it back, or restart it"
        assert (reloader.state.successful, calls) == (False, [])
        assert key in FIXED.values()

    def test_one_at_a_time(self) -> None:
        """A signal during a request waits for it: no function is told of two at once."""
        inside, most = 0, 0

        def apply(config: Config) -> None:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            time.sleep(0.002)
            inside -= 1

        reloader = Reloader(Config, Config(), [apply])
        threads = [threading.Thread(target=reloader.reload) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == 1


class TestApplications:
    """What a scrape makes of another configuration."""

    def test_born_at_zero(self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples) -> None:
        """A shorter time counts from when the series was first seen; what was shown stays."""
        now = [0.0]
        applications = exporter(tmp_path, born_at_zero_seconds=3600, clock=lambda: now[0])
        writer(tmp_path).block(TENANT_REQUESTS, ("acme", "m")).add(0, 5)
        series = 'genai_tenant_requests_total{service="service",tenant="acme",mode="m"}'
        assert samples(applications)[series] == 0
        now[0] = 30.0
        applications.reconfigure(Config(born_at_zero_seconds=31))
        assert samples(applications)[series] == 0
        applications.reconfigure(Config(born_at_zero_seconds=30))
        assert samples(applications)[series] == 5
        applications.reconfigure(Config(born_at_zero_seconds=3600))
        assert samples(applications)[series] == 5

    def test_label_caps(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, total: Callable[..., float]
    ) -> None:
        """A higher cap lets new values in, a lower one pushes none out; sums stay exact."""
        applications = exporter(tmp_path, label_caps={"tenant": 1})
        recorder = writer(tmp_path)

        def record(*tenants: str) -> dict[str, float]:
            for tenant in tenants:
                recorder.block(TENANT_REQUESTS, (tenant, "m")).add(0, 1)
            return samples(applications)

        name = "genai_tenant_requests_total"
        assert total(record("a", "b"), name, f'"{OVERFLOW}"') == 1
        applications.reconfigure(Config(born_at_zero_seconds=0, label_caps={**Config().label_caps, "tenant": 2}))
        found = record("c")
        assert total(found, name, '"c"') == 1
        applications.reconfigure(Config(born_at_zero_seconds=0, label_caps={**Config().label_caps, "tenant": 1}))
        found = record("a", "c", "d")
        assert [total(found, name, f'"{tenant}"') for tenant in ("a", "c", OVERFLOW)] == [2, 2, 2]
        assert total(found, name) == 6

    def test_limits(self, tmp_path: Path, writer: Writer, exporter: Open) -> None:
        """Files that waited are read once there is room."""
        for _ in range(3):
            writer(tmp_path)
        applications = exporter(tmp_path, limits=Limits(files=1))
        assert applications.scrape().files["rejected"] == 2
        applications.reconfigure(Config(metrics_dir_limits=Limits(files=3)))
        assert applications.scrape().files["rejected"] == 0


class Command:
    """A running ``genai-exporter serve`` with a configuration file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.file = folder / "exporter.yml"
        self.metrics_dir = folder / "metrics"
        self.log_file = folder / "log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.write()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "genai_exporter", "serve", "--config.file", str(self.file), *options],
                env=environment,
                stderr=log,
            )
        self.wait_for(self.answers)

    def write(self, **settings: object) -> None:
        """Write the file anew."""
        given = {"metrics_dir": self.metrics_dir, "web": f"{{listen_address: '127.0.0.1:{self.port}'}}", **settings}
        self.file.write_text("".join(f"{key}: {value}\n" for key, value in given.items()))

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            return b"healthy" in get(f"{self.url}/-/healthy")
        except OSError:
            return False

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self.log_file.read_text()

    def wait_for(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so; fails with the log when the exporter ends, or after a minute."""
        end = time.monotonic() + 60
        while not is_so():
            assert self.process.poll() is None, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.02)

    def values(self) -> dict[str, float]:
        """The two metrics on reloads."""
        lines = get(f"{self.url}/metrics?name[]={SUCCESSFUL}&name[]={AT}").decode().splitlines()
        return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}

    def post(self, method: str = "POST") -> tuple[int, str]:
        """Ask for a reload; status and text."""
        request = urllib.request.Request(f"{self.url}/-/reload", method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """A function that starts the command with options; it is ended by SIGTERM, with exit code 0."""
    running: list[Command] = []

    def run(*options: str) -> Command:
        running.append(Command(tmp_path, *options))
        return running[-1]

    yield run
    for command in running:
        command.process.send_signal(signal.SIGTERM)
        try:
            status = command.process.wait(60)
        finally:
            command.process.kill()
        assert status == 0, command.log


class TestCommand:
    """The real command."""

    def test_sighup(self, start: Callable[..., Command]) -> None:
        """A good file is taken over, a bad one is not, and a mended one is; the exporter serves all the while."""
        command = start()
        at_start = command.values()
        assert at_start[SUCCESSFUL] == 1
        command.write(log="{level: debug}")
        command.process.send_signal(signal.SIGHUP)
        command.wait_for(lambda: command.log.count('msg="configuration reloaded"') == 1)
        reloaded = command.values()
        assert reloaded[SUCCESSFUL] == 1
        assert reloaded[AT] > at_start[AT]
        command.write(born_at_zero="5")
        command.process.send_signal(signal.SIGHUP)
        command.wait_for(lambda: "the old one is kept" in command.log)
        assert f"{command.file}:3: unknown key 'born_at_zero'; did you mean 'born_at_zero_seconds'?" in command.log
        assert command.values() == {SUCCESSFUL: 0, AT: reloaded[AT]}
        command.write(born_at_zero_seconds="5")
        command.process.send_signal(signal.SIGHUP)
        command.wait_for(lambda: command.log.count('msg="configuration reloaded"') == 2)
        assert command.values()[SUCCESSFUL] == 1

    def test_http(self, start: Callable[..., Command]) -> None:
        """With the option ``/-/reload`` does the same and says what is wrong; options still win over the file."""
        command = start("--web.enable-lifecycle", "--log.level", "error")
        assert command.post() == (200, "Configuration reloaded.\n")
        command.write(metrics_dir="/elsewhere")
        status, text = command.post("PUT")
        assert status == 500
        assert text.startswith("failed to reload config: metrics_dir cannot change while the exporter runs: ")
        command.write(web="{listen_address: '127.0.0.1:1'}")
        assert "web.listen_address cannot change" in command.post()[1]
        assert command.values()[SUCCESSFUL] == 0
        command.file.unlink()
        assert f"{command.file}: cannot be read" in command.post()[1]
        command.write(log="{level: debug}")
        assert command.post()[0] == 200
        assert "level=info" not in command.log
        assert command.values()[SUCCESSFUL] == 1

    def test_http_is_off_by_default(self, start: Callable[..., Command]) -> None:
        """403, and the configuration is not read."""
        command = start()
        before = command.values()
        assert command.post()[0] == 403
        assert command.values() == before

    def test_log_level(self, start: Callable[..., Command]) -> None:
        """The level of the new file holds from then on."""
        command = start()
        at_start = command.values()
        command.write(log="{level: error}")
        command.process.send_signal(signal.SIGHUP)
        command.wait_for(lambda: command.values()[AT] > at_start[AT])
        command.write(log="{level: nonsense}")
        command.process.send_signal(signal.SIGHUP)
        command.wait_for(lambda: "level=error" in command.log)
        assert command.log.splitlines()[-1].startswith("time=")
        assert 'msg="configuration reloaded"' not in command.log
