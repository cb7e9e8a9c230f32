"""Stop process groups whose supervisor has died, however it died.

Run as a process of its own, in its own session, so that neither Ctrl-C nor ``kill -9`` of the supervisor
reaches it. Reads lines from standard input: ``+PGID`` adds a group, ``-PGID`` forgets one that has ended.
When the input ends while groups are left, they are sent SIGTERM and, after a grace period, SIGKILL. Imports
the standard library only.
"""

import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10.0
"""Time between SIGTERM and SIGKILL."""


def follow(lines: Iterable[str]) -> set[int]:
    """Process groups that are left when ``lines`` end."""
    groups: set[int] = set()
    for line in lines:
        (groups.add if line.startswith("+") else groups.discard)(int(line[1:]))
    return groups


def signal_groups(groups: Iterable[int], number: int) -> set[int]:
    """Send a signal to each group; returns those that still exist. Signal 0 only asks."""
    left = set()
    for group in groups:
        try:
            os.killpg(group, number)
        except (ProcessLookupError, PermissionError):
            continue
        left.add(group)
    return left


def main() -> None:
    """Follow standard input to its end, then stop what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    left = signal_groups(follow(sys.stdin), signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = signal_groups(left, 0)
    signal_groups(left, signal.SIGKILL)


if __name__ == "__main__":
    main()
