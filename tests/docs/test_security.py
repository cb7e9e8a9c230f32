"""Tests that what docs/security.md says about files and commands is so."""

import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import yaml
from servers import end, free_port, wait_for

from genai_exporter import config, webconfig
from genai_exporter.limits import Limits
from genai_stack.binaries import require

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
WEB, SCRAPE, MUTUAL, ADDRESSES, OVERRIDE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
CERTIFICATE, HASH = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


class Loader(yaml.SafeLoader):
    """YAML with the tag by which Compose replaces a list."""


Loader.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's certificate, web configuration (and a known password) and health check's login."""
    subprocess.run(["sh", "-c", CERTIFICATE], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(re.sub(r"\$2y\$\S+", lambda _: hashed, WEB))
    (tmp_path / "healthcheck").write_text("prometheus:secret\n")
    return tmp_path


def test_the_health_check_of_the_bundle_works(folder: Path) -> None:
    """With certificate and password as on the page it succeeds; with a wrong password it fails."""
    port = free_port()
    service = yaml.load(OVERRIDE, Loader)["services"]["exporter"]
    places = {"/etc/genai-exporter": str(folder), "/var/lib/genai-metrics": str(folder / "metrics")}
    places |= {"0.0.0.0:9840": f"127.0.0.1:{port}", "127.0.0.1:9840": f"127.0.0.1:{port}"}

    def here(text: str) -> str:
        for there, place in places.items():
            text = text.replace(there, place)
        return text

    command = [sys.executable, "-m", "genai_exporter", *map(here, service["command"])]
    _, _, option, code = service["healthcheck"]["test"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_for("the exporter", lambda: "listening on https" in log.read_text())
        check = [sys.executable, option, here(code)]
        assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode == 0
        (folder / "healthcheck").write_text("prometheus:wrong")
        assert subprocess.run(check, capture_output=True, timeout=60, check=False).returncode != 0
    finally:
        assert end(process) == 0


def test_prometheus_takes_its_job(folder: Path) -> None:
    """The example passes promtool, with the files beside it."""
    (folder / "prometheus.yml").write_text(SCRAPE)
    (folder / "exporter_password").write_text("secret")
    command = [require("promtool"), "check", "config", str(folder / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_are_read(folder: Path) -> None:
    """Client certificates and several addresses."""
    (folder / "mutual.yml").write_text(MUTUAL)
    tls = webconfig.read(folder / "mutual.yml").tls
    assert tls is not None
    assert tls.allowed_sans == {"prometheus.example.com"}
    (folder / "exporter.yml").write_text(ADDRESSES)
    read = config.read(folder / "exporter.yml")
    assert [str(address) for address in read.listen_addresses] == [
        "127.0.0.1:9840",
        "[::1]:9840",
        "unix:/run/genai-exporter/web.sock",
    ]
    assert read.web_config_file == folder / "web.yml"


def test_the_command_makes_a_hash_that_is_accepted(folder: Path) -> None:
    """What it prints goes into the file as it is."""
    asking = HASH.replace("getpass.getpass()", "'secret'").replace("python ", f"{sys.executable} ", 1)
    done = subprocess.run(["sh", "-c", asking], capture_output=True, text=True, check=True, timeout=60)
    (folder / "web.yml").write_text(f"basic_auth_users:\n  prometheus: {done.stdout}")
    assert webconfig.read(folder / "web.yml").users == {"prometheus": done.stdout.strip()}


def test_limits_are_those_of_the_code() -> None:
    """Every number of the table is a default; a new limit must get a row."""
    table = PAGE.partition("## Limits")[2].partition("## In the bundle")[0]
    kib = 1024
    said = {
        "connections": int(re.search(r"at once \| (\d+)", table)[1]),
        "handshake_seconds": int(re.search(r"handshake \| (\d+) s", table)[1]),
        "head_seconds": int(re.search(r"to the last \| (\d+) s", table)[1]),
        "idle_seconds": int(re.search(r"between requests \| (\d+) s", table)[1]),
        "write_seconds": int(re.search(r"keeps up \| (\d+) s", table)[1]),
        "target_bytes": int(re.search(r"query \| (\d+) KiB", table)[1]) * kib,
        "head_bytes": int(re.search(r"headers \| (\d+) KiB", table)[1]) * kib,
        "head_fields": int(re.search(r"KiB, (\d+) headers", table)[1]),
        "body_bytes": int(re.search(r"reads \| (\d+) KiB", table)[1]) * kib,
    }
    limits: dict[str, Any] = asdict(Limits())
    assert {**limits, **said} == limits, json.dumps(said)
    assert set(limits) - set(said) == {"close_seconds"}
