"""What has arrived: the last so many messages, numbered in the order of their coming."""

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

Channel = Literal["slack", "pagerduty", "mail"]

KEPT = 500
"""How many messages are kept; older ones are forgotten."""


@dataclass(frozen=True)
class Arrival:
    """One message: ``number`` counts from 1, ``at`` is Unix time in seconds, ``content`` is as its channel made it."""

    number: int
    at: float
    channel: Channel
    content: Any


class Arrivals:
    """The messages of all channels, and the last sign of life of the Watchdog. Thread-safe."""

    def __init__(self, kept: int = KEPT) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Arrival] = deque(maxlen=kept)
        self._count = 0
        self._heartbeat: float | None = None
        self.started = f"{time.time():.6f}"
        """Tells this run from others, whose numbers begin at 1 as well."""

    def add(self, channel: Channel, content: Any) -> Arrival:
        """Keep a message and number it."""
        with self._lock:
            self._count += 1
            arrival = Arrival(self._count, time.time(), channel, content)
            self._kept.append(arrival)
            return arrival

    def beat(self) -> None:
        """Note a sign of life."""
        with self._lock:
            self._heartbeat = time.time()

    @property
    def heartbeat(self) -> float | None:
        """Unix time of the last sign of life, None before the first."""
        with self._lock:
            return self._heartbeat

    @property
    def newest(self) -> int:
        """Number of the last message, 0 before the first."""
        with self._lock:
            return self._count

    def all(self) -> list[Arrival]:
        """What is kept, oldest first."""
        with self._lock:
            return list(self._kept)

    def get(self, number: int) -> Arrival | None:
        """The message of that number, None when it is not kept."""
        return next((arrival for arrival in self.all() if arrival.number == number), None)
