"""What ``make up`` and ``make down`` ask of Docker Compose; a stand-in for it writes down what it is asked."""

import os
from pathlib import Path

import pytest
import yaml

from genai_stack import REPOSITORY, compose, demo
from genai_stack.layout import Layout
from genai_stack.ports import DEFAULT_PORTS


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the stand-in's arguments, a line a call; its run folder is of its own."""
    log = tmp_path / "asked"
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(f'#!/bin/sh\necho "$@" >> {log}\necho 0123456789ab\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(compose, "_RUN", tmp_path / ".run")
    return log


def calls(asked: Path) -> list[str]:
    """Return the calls, without the folder of the project."""
    return [line.replace(f"compose --project-directory {REPOSITORY} ", "") for line in asked.read_text().splitlines()]


class TestUp:
    """``make up``."""

    def test_waits_for_the_services_and_lets_alertmanager_read_again(self, asked: Path) -> None:
        """With the demo's profile; the second call takes over secrets that are new since Alertmanager started."""
        said: list[str] = []
        assert compose.up(with_demo=True, report=said.append) == 0
        up, reload = calls(asked)
        assert up.startswith("--profile=demo ")
        assert up.endswith(" up --detach --build --wait")
        assert reload.endswith(" --progress quiet kill --signal HUP alertmanager")
        assert compose.PASSWORD in "\n".join(said)

    def test_starts_no_demo_unasked(self, asked: Path) -> None:
        """Nor says what to try with it."""
        said: list[str] = []
        assert compose.up(with_demo=False, report=said.append) == 0
        assert "--profile=demo" not in asked.read_text()
        assert not [line for line in said if "demo" in line.lower()]

    def test_a_native_demo_of_the_past_is_not_looked_for(self, asked: Path, tmp_path: Path) -> None:
        """``genai-exporter demo`` would find its address and its directory instead of the containers."""
        (tmp_path / ".run").mkdir()
        demo.prepare(Layout(tmp_path / ".run", DEFAULT_PORTS))
        assert (tmp_path / ".run" / "demo.json").exists()
        assert compose.up(with_demo=True, report=print) == 0
        assert not (tmp_path / ".run" / "demo.json").exists()


def test_down_takes_the_services_of_all_profiles(asked: Path) -> None:
    """Else those of the one left out would stay, and the network with them."""
    services = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"].values()
    profiles = {profile for service in services for profile in service.get("profiles", [])}
    assert compose.down() == 0
    assert compose.is_up()
    for call in calls(asked):
        assert {f"--profile={profile}" for profile in profiles | {"demo"}} <= set(call.split())
