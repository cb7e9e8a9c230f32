"""The stack in containers, through Docker Compose."""

import subprocess

from genai_stack import REPOSITORY, binaries, notifications, places, ports, secret

PASSWORD_FILE = REPOSITORY / ".run" / "secrets" / "grafana_admin_password"
"""The secret that docker-compose.yml mounts; Compose refuses to start without it."""

RECEIVERS = PASSWORD_FILE.parent / "alertmanager"
"""Alertmanager's configuration with its secrets, which docker-compose.yml mounts."""

INBOX = notifications.Inbox("http://inbox:8025", "inbox:1025")
"""The inbox as Alertmanager's container reaches it."""

_COMMAND = ("docker", "compose", "--project-directory", str(REPOSITORY), "--profile", "demo", "--profile", "inbox")


def engine_answers() -> bool:
    """Whether Docker Compose is installed and its engine answers; asks for at most 20 s each."""
    return _succeeds("docker", "compose", "version") and _succeeds("docker", "info")


def up(with_demo: bool, report: binaries.Report) -> int:
    """Build and start all containers, wait until they are healthy and say where they are; returns Compose's exit code.

    Creates the Grafana password first if there is none, and writes Alertmanager's configuration again: an Alertmanager
    that runs already takes it over. Raises ``ValueError`` for a secret that cannot be one.
    """
    secret.password(PASSWORD_FILE)
    written = notifications.write(RECEIVERS, INBOX, {}, mounted=notifications.MOUNTED)
    command = [*_COMMAND[: _COMMAND.index("--profile")]]
    if with_demo:
        command += ["--profile", "demo"]
    if written.to_inbox:
        command += ["--profile", "inbox"]
    code = subprocess.run([*command, "up", "--detach", "--build", "--wait"], check=False).returncode
    if code == 0:
        code = subprocess.run([*command, "kill", "--signal", "HUP", "alertmanager"], check=False).returncode
    if code == 0:
        inbox = with_demo or bool(written.to_inbox)
        for line in [*places.lines(_url, grafana=True, demo=with_demo, inbox=inbox), *_notes(with_demo)]:
            report(line)
    return code


def down() -> int:
    """Stop and remove the containers, keeping their data; returns Compose's exit code."""
    return subprocess.run([*_COMMAND, "down"], check=False).returncode


def is_up() -> bool:
    """Whether containers of this project exist."""
    answer = subprocess.run([*_COMMAND, "ps", "--all", "--quiet"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and bool(answer.stdout.strip())


def _notes(with_demo: bool) -> list[str]:
    """What else there is to know."""
    password = f"Grafana: user admin, password in {places.shown(PASSWORD_FILE)}"
    return [password, *([places.next_step(option="")] if with_demo else []), "`make down` stops it."]


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
