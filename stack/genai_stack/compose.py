"""The stack in containers, through Docker Compose."""

import subprocess
from collections.abc import Sequence

from genai_stack import REPOSITORY, binaries, demo, notifications, places, ports, receivers, runfile, volumes

PASSWORD = f"docker compose exec grafana cat /run/secrets/{volumes.PASSWORD_FILE}"
"""Command that shows Grafana's password."""

_RUN = REPOSITORY / ".run"
_COMMAND = ("docker", "compose", "--project-directory", str(REPOSITORY))
_PROFILES = ("demo", "inbox", "blackbox")


def engine_answers() -> bool:
    """Whether Docker Compose is installed and its engine answers; asks for at most 20 s each."""
    return _succeeds("docker", "compose", "version") and _succeeds("docker", "info")


def up(with_demo: bool, report: binaries.Report) -> int:
    """Build and start all containers, wait until they are healthy and say where they are; returns Compose's exit code.

    Its container `setup` writes Alertmanager's configuration again: an Alertmanager that runs already takes it over.
    Raises ``ValueError`` for a secret that cannot be one, before anything is started.
    """
    to_inbox = notifications.prepare(volumes.INBOX).to_inbox
    if runfile.running(_RUN) is None:
        demo.forget(_RUN)
    command = _command(*["demo"] * with_demo, *["inbox"] * bool(to_inbox))
    code = subprocess.run([*command, "up", "--detach", "--build", "--wait"], check=False).returncode
    if code == 0:
        # Quietly: it would say that Alertmanager was killed.
        quietly = [*command, "--progress", "quiet"]
        code = subprocess.run([*quietly, "kill", "--signal", "HUP", "alertmanager"], check=False).returncode
    if code == 0:
        inbox = with_demo or bool(to_inbox)
        for line in [*places.lines(_url, grafana=True, demo=with_demo, inbox=inbox), *_notes(with_demo, to_inbox)]:
            report(line)
    return code


def down() -> int:
    """Stop and remove the containers of all profiles, keeping their data; returns Compose's exit code."""
    return subprocess.run([*_command(*_PROFILES), "down"], check=False).returncode


def is_up() -> bool:
    """Whether containers of this project exist."""
    command = [*_command(*_PROFILES), "ps", "--all", "--quiet"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return answer.returncode == 0 and bool(answer.stdout.strip())


def _command(*profiles: str) -> list[str]:
    """Compose for this repository, with the services that have no profile and those of the profiles."""
    return [*_COMMAND, *(f"--profile={profile}" for profile in profiles)]


def _notes(with_demo: bool, to_inbox: Sequence[str]) -> list[str]:
    """What else there is to know."""
    told = [receivers.note(to_inbox)] if to_inbox else []
    return [
        *told,
        f"Grafana: user admin, password: {PASSWORD}",
        *([places.next_step(option="")] if with_demo else []),
        "`make down` stops it.",
    ]


def _url(name: str) -> str:
    return f"http://{ports.HOST}:{ports.DEFAULT_PORTS[name]}/"


def _succeeds(*command: str) -> bool:
    try:
        return (
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
