"""One supervised child process: its start, its log, its readiness and its end."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""For loopback addresses: a proxy from the environment must not stand in between."""


@dataclass(frozen=True)
class Service:
    """What to run: ``ready_url`` answers 2xx once it is ready (None: ready as soon as it runs).

    ``url`` is the page that people open; ``env`` is added to the supervisor's environment.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_url: str | None = None
    url: str = ""


class Child:
    """A running service. Not thread-safe: one thread owns it.

    The child leads a session and process group of its own: the terminal's Ctrl-C goes to the supervisor
    alone, and signals reach the child's own children too.
    """

    def __init__(self, service: Service, log: Path) -> None:
        """Start the service; ``OSError`` when its program cannot be run."""
        self.service = service
        self.log = log
        self.ready = False
        self.ended: int | None = None
        """Exit code (negative: minus the signal's number), or None while it runs."""
        self.told_to_end = False
        """Whether ``stop`` was called while it ran, so that its end is no surprise."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                service.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **service.env},
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.started = time.monotonic()

    def reap(self) -> None:
        """Update ``ended``; when the child has ended, what is left of its group is killed."""
        if self.ended is None and self._has_exited():
            # The leader is still a zombie here, so its number cannot have been given to another group.
            self._signal(signal.SIGKILL)
            self.ended = self._process.wait()

    def ask(self) -> None:
        """Update ``ready``; waits at most a second for an answer."""
        if self.ended is None and not self.ready:
            self.ready = self.service.ready_url is None or _answers(self.service.ready_url)

    def stop(self, number: int) -> None:
        """Send a signal to the child's group if it runs."""
        if self.ended is None:
            self.told_to_end = True
            self._signal(number)

    def last_lines(self, count: int = 15) -> str:
        """Last lines of the child's log, undecodable bytes replaced."""
        with self.log.open(errors="replace") as lines:
            return "".join(deque(lines, maxlen=count)).rstrip()

    def _has_exited(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):  # macOS says PermissionError of a group of zombies
            pass


def _answers(url: str) -> bool:
    """Whether ``url`` answers with a 2xx status within a second."""
    try:
        with OPENER.open(url, timeout=1.0) as response:
            return bool(200 <= response.status < 300)
    except (OSError, urllib.error.URLError, ValueError):
        return False
