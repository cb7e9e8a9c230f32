"""The modules of the blackbox exporter, tried on real servers."""

import http.server
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from rule_files import ALERTS
from servers import end, free_port, get, prometheus, wait_for

from genai_stack import REPOSITORY, binaries, ports

MODULES = REPOSITORY / "prometheus" / "blackbox.yml"
KEY = "sk-test"


class Provider(http.server.BaseHTTPRequestHandler):
    """Lists its models to whoever has the key."""

    def do_GET(self) -> None:
        """Answer 200 with the right key, without one 401, for health 204."""
        good = self.path == "/healthz" or self.headers["Authorization"] == f"Bearer {KEY}"
        self.send_response(200 if good else 401)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Serve a provider; its address."""
    with http.server.ThreadingHTTPServer((ports.HOST, 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{ports.HOST}:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def redis() -> Iterator[str]:
    """Run a Redis server; its address."""
    port = free_port()
    arguments = ("--port", str(port), "--bind", ports.HOST, "--save", "", "--appendonly", "no")
    with running([str(binaries.require("redis-server")), *arguments]):
        yield f"{ports.HOST}:{port}"


@pytest.fixture(scope="module")
def blackbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the blackbox exporter with our modules, the key in another place; its address."""
    with exporter(tmp_path_factory.mktemp("blackbox")) as address:
        yield address


@contextmanager
def exporter(folder: Path) -> Iterator[str]:
    """Run the blackbox exporter while the block does; its address."""
    (folder / "key").write_text(KEY)
    modules = yaml.safe_load(MODULES.read_text())
    modules["modules"]["http_bearer"]["http"]["authorization"]["credentials_file"] = str(folder / "key")
    (folder / "blackbox.yml").write_text(yaml.safe_dump(modules))
    address = f"{ports.HOST}:{free_port()}"
    program = str(binaries.require("blackbox_exporter"))
    with running([program, f"--config.file={folder / 'blackbox.yml'}", f"--web.listen-address={address}"]):
        yield address


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    """Run a program while the block does."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        end(process)


def probe(blackbox: str, module: str, target: str, wanted: int) -> int:
    """Ask until the answer is the wanted one, for servers that are still starting; returns it."""
    query = urllib.parse.urlencode({"module": module, "target": target})

    def success() -> int | None:
        try:
            text = get(f"http://{blackbox}/probe?{query}").decode()
        except OSError:  # it still starts
            return None
        found = int(text.split("\nprobe_success ")[1].split()[0])
        return found if found == wanted else None

    return wait_for(f"probe_success {wanted} of {target}", success)


def test_the_modules_are_accepted() -> None:
    """The blackbox exporter would start with the file as it is shipped."""
    command = [binaries.require("blackbox_exporter"), f"--config.file={MODULES}", "--config.check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_http(blackbox: str, provider: str) -> None:
    """A health page that answers is up, another answer is down, like a port where nobody listens."""
    assert probe(blackbox, "http", f"http://{provider}/healthz", 1) == 1
    assert probe(blackbox, "http", f"http://{provider}/v1/models", 0) == 0
    assert probe(blackbox, "http", f"http://{ports.HOST}:{free_port()}/", 0) == 0


def test_http_with_a_key(blackbox: str, provider: str) -> None:
    """The key in the file is sent."""
    assert probe(blackbox, "http_bearer", f"http://{provider}/v1/models", 1) == 1


def test_tcp_and_redis(blackbox: str, provider: str, redis: str) -> None:
    """A port that answers is enough for tcp; Redis must answer as Redis does."""
    assert probe(blackbox, "tcp", provider, 1) == 1
    assert probe(blackbox, "redis", redis, 1) == 1
    assert probe(blackbox, "redis", provider, 0) == 0


def scraping(folder: Path, blackbox: str, probes: dict[str, str]) -> str:
    """The shipped job for probes, with targets of its own: module to what it asks."""
    (folder / "targets.yml").write_text(
        yaml.safe_dump(
            [
                {"targets": [blackbox], "labels": {"__param_target": target, "__param_module": module}}
                for module, target in probes.items()
            ]
        )
    )
    jobs = yaml.safe_load((REPOSITORY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (job,) = (job for job in jobs if job["job_name"] == "blackbox")
    return yaml.safe_dump([job | {"file_sd_configs": [{"files": [str(folder / "targets.yml")]}]}])


def test_without_the_blackbox_exporter(tmp_path: Path, redis: str, provider: str) -> None:
    """No probe fails when none is made, so GenAIDependencyDown is silent; GenAITargetDown is not.

    Nor is it about a probe by a module that does not exist.
    """
    page = f"http://{provider}/"  # without a key: 401
    with ExitStack() as running_one:
        blackbox = running_one.enter_context(exporter(tmp_path))
        config = scraping(tmp_path, blackbox, {"redis": redis, "http": page, "reddis": "redis:6379"})
        with prometheus(tmp_path / "prometheus", {}, config=config) as server:

            def found_by(alert: str, *instances: str) -> None:
                """Wait until the alert's expression finds just these."""
                query = f"group by (instance) ({ALERTS[alert].content['expr']})"
                wait_for(f"{alert}: {instances}", lambda: {name for (name,) in server.query(query)} == {*instances})

            wait_for("the probe that succeeds", lambda: server.value(f'probe_success{{instance="{redis}"}}') == 1)
            found_by("GenAIDependencyDown", page)
            found_by("GenAITargetDown", "redis:6379")
            running_one.close()
            found_by("GenAIDependencyDown")
            found_by("GenAITargetDown", "redis:6379", redis, page)
