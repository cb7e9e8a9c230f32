"""The shipped configuration with its waiting times divided: between scrapes and evaluations, of `for`, and of groups.

Expressions, thresholds, labels, annotations, routes, receivers and templates are as they are shipped.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from servers import Prometheus, end, free_port, wait_until_ready

from genai_exporter.durations import prometheus_seconds
from genai_stack import REPOSITORY, notifications
from genai_stack.binaries import require

SPEED = 30
"""What waiting times are divided by: 15 s between scrapes are half a second, 5 minutes of `for` ten seconds."""


def hurried(duration: str) -> str:
    """The duration divided."""
    return f"{max(1, round(prometheus_seconds(duration) * 1000 / SPEED))}ms"


def _hurry(node: Any, names: Sequence[str]) -> None:
    """Divide durations of these names wherever they are."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name in names and isinstance(value, str) and prometheus_seconds(value):
                node[name] = hurried(value)
            else:
                _hurry(value, names)
    elif isinstance(node, list):
        for value in node:
            _hurry(value, names)


def write_prometheus(folder: Path, targets: Mapping[str, Sequence[str]]) -> None:
    """Write prometheus.yml, its rules and target files."""
    source = REPOSITORY / "prometheus"
    config = yaml.safe_load((source / "prometheus.yml").read_text())
    _hurry(config, ("scrape_interval", "evaluation_interval", "scrape_timeout"))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules").mkdir(parents=True)
    (folder / "targets").mkdir()
    for path in (source / "rules").glob("*.yml"):
        rules = yaml.safe_load(path.read_text())
        _hurry(rules, ("for", "keep_firing_for", "interval"))
        (folder / "rules" / path.name).write_text(yaml.safe_dump(rules))
    for job in {job["job_name"] for job in config["scrape_configs"]} | {"exporter"}:
        (folder / "targets" / f"{job}.yml").write_text(yaml.safe_dump([{"targets": list(targets.get(job, ()))}]))


def write_alertmanager(folder: Path, inbox: notifications.Inbox) -> Path:
    """Write what `make up` writes, for an inbox that is a stand-in; returns the configuration file."""
    written = notifications.write(folder, inbox, {}, source=_without_secrets(folder))
    config = yaml.safe_load(written.config.read_text())
    _hurry(config["route"], ("group_wait", "group_interval"))
    # Repetitions would come in this test, too; those of the Watchdog are its purpose.
    for route in config["route"]["routes"]:
        if route["receiver"] == "dead-mans-switch":
            _hurry(route, ("repeat_interval",))
    hurried_file = folder / "hurried.yml"
    hurried_file.write_text(yaml.safe_dump(config))
    return hurried_file


def _without_secrets(folder: Path) -> Path:
    """The shipped folder without the secrets that whoever runs the test may have put into theirs."""
    source = folder.parent / "alertmanager-source"
    source.mkdir(parents=True)
    for name in ("alertmanager.yml", "templates"):
        (source / name).symlink_to(notifications.SOURCE / name)
    return source


class Alertmanager:
    """A real Alertmanager that can be stopped and started again on the same port and data."""

    def __init__(self, folder: Path, config: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "alertmanager.log"
        self._command = [
            *(
                str(require("alertmanager")),
                f"--config.file={config}",
                f"--storage.path={folder / 'alertmanager-data'}",
            ),
            *(f"--web.listen-address=127.0.0.1:{self.port}", f"--web.external-url={self.url}"),
            # Longer than Prometheus takes to send all alerts again, as it is shipped.
            *("--cluster.listen-address=", "--dispatch.start-delay=8s"),
        ]
        self.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        wait_until_ready(f"{self.url}/-/ready", self.process, self.log)

    def stop(self) -> None:
        """Stop it like a rollout does."""
        assert end(self.process, signal.SIGTERM) == 0


@contextmanager
def alertmanager(folder: Path, config: Path) -> Iterator[Alertmanager]:
    """Run an Alertmanager with its data below ``folder``."""
    server = Alertmanager(folder, config)
    try:
        yield server
    finally:
        end(server.process)


@contextmanager
def prometheus(folder: Path, port: int) -> Iterator[Prometheus]:
    """Run a Prometheus with the configuration and data in ``folder``."""
    command = [
        *(str(require("prometheus")), f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
        # A minute, hurried; but no shorter than a slow machine can take it.
        "--rules.alert.resend-delay=5s",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "GOMAXPROCS": "2"})
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/-/ready", process, log)
        yield Prometheus(port)
    finally:
        end(process)
