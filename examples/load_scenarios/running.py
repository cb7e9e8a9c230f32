"""Runs one scenario to its end and says how it went. Imports Locust, which patches sockets."""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import gevent
import requests
from locust import LoadTestShape
from locust.env import Environment

from load_scenarios.scenarios import BROKEN_ERRORS, BROKEN_P95_SECONDS, Scenario
from load_scenarios.traffic import HOUR_FACTORS
from load_scenarios.users import Person

log = logging.getLogger(__name__)

_NO_TRAFFIC = "no_traffic"
_LAST_ANSWERS_SECONDS = 120


@dataclass(frozen=True)
class Load:
    """What people did and got.

    ``requests`` that were answered or not; ``failed``: those that the service said have failed; ``lost``: those without
    any answer. ``quantiles``: level to seconds, of all requests. ``broke_at``: how many people were there when the
    service broke, or None.
    """

    scenario: str
    users: int
    seconds: float
    requests: int
    failed: int
    cached: int
    lost: int
    quantiles: dict[float, float]
    broke_at: int | None

    @property
    def per_second(self) -> float:
        """Throughput."""
        return self.requests / self.seconds if self.seconds else 0.0


def run(scenario: Scenario, host: str, seconds: float | None, seed: int) -> Load:
    """Load ``host``, such as ``http://127.0.0.1:8200``, for ``seconds`` (None: without end, until Ctrl-C)."""
    Person.seed, Person.modes, Person.asked = seed, scenario.modes, {}
    Person.think_seconds = staticmethod(lambda: think_seconds(scenario, datetime.now(UTC)))
    # Who has asked may read the answer to its end: otherwise load and service would count differently.
    environment = Environment(user_classes=[Person], host=host, stop_timeout=_LAST_ANSWERS_SECONDS)
    environment.shape_class = shape(scenario, environment)
    runner = environment.create_local_runner()
    looks = _asked_to_pause(host)
    Person.paused = next(looks)  # before anybody asks
    began = time.monotonic()
    watch = gevent.spawn(_pause_on_request, looks)
    try:
        runner.start_shape()
        while runner.shape_greenlet is not None and not runner.shape_greenlet.dead:
            if seconds is not None and time.monotonic() - began >= seconds:
                break
            gevent.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        watch.kill()
        elapsed = time.monotonic() - began
        runner.quit()
    return _summary(scenario, environment, elapsed)


def answers(host: str, patience: float) -> bool:
    """Whether the service answers within ``patience`` seconds; it may still be starting."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return requests.get(f"{host}/healthz", timeout=5).ok
        except (requests.ConnectionError, requests.Timeout):
            if time.monotonic() > deadline:
                return False
            gevent.sleep(0.2)


def think_seconds(scenario: Scenario, now: datetime) -> float:
    """Return how long people think on average; by day they have more to ask than by night."""
    if not scenario.follows_the_day:
        return scenario.think_seconds
    return scenario.think_seconds / HOUR_FACTORS[now.hour]


def shape(scenario: Scenario, environment: Environment) -> LoadTestShape:
    """Return how many people there are at each moment."""

    class Shape(LoadTestShape):
        broke_at: int | None = None
        began = time.monotonic()

        def tick(self) -> tuple[int, float] | None:
            if not scenario.step_users:
                return scenario.users, scenario.spawn_rate
            if self.broke_at is None and broken(environment):
                self.broke_at = environment.runner.user_count if environment.runner else 0
            if self.broke_at is not None:
                return None
            steps = int((time.monotonic() - self.began) // scenario.step_seconds)
            return scenario.users + steps * scenario.step_users, scenario.spawn_rate

    return Shape()  # type: ignore[no-untyped-call]


def broken(environment: Environment) -> bool:
    """Whether the service no longer holds: of the last requests too many fail, or they take too long."""
    total = environment.stats.total
    if total.num_requests < 100:
        return False
    p95 = total.get_current_response_time_percentile(0.95)
    recent = sum(total.num_reqs_per_sec.get(int(time.time()) - back, 0) for back in range(1, 11))
    failing = sum(total.num_fail_per_sec.get(int(time.time()) - back, 0) for back in range(1, 11))
    return (recent > 0 and failing / recent > BROKEN_ERRORS) or (p95 is not None and p95 / 1000 > BROKEN_P95_SECONDS)


def _pause_on_request(looks: Iterator[bool]) -> None:
    """Let nobody ask while the service's fault ``no_traffic`` is on."""
    for paused in looks:
        Person.paused = paused


def _asked_to_pause(host: str) -> Iterator[bool]:
    while True:
        try:
            faults = requests.get(f"{host}/faults", timeout=5).json()
            yield any(fault["name"] == _NO_TRAFFIC and fault["active_until"] for fault in faults)
        except (OSError, ValueError, KeyError, TypeError):
            yield False
        gevent.sleep(2)


def _summary(scenario: Scenario, environment: Environment, seconds: float) -> Load:
    total = environment.stats.total
    outcomes = Person.asked
    told = ("success", "cached", "error")
    return Load(
        scenario=scenario.name,
        users=scenario.users,
        seconds=seconds,
        requests=sum(outcomes.values()),
        failed=outcomes.get("error", 0),
        cached=outcomes.get("cached", 0),
        lost=sum(number for outcome, number in outcomes.items() if outcome not in told),
        quantiles={level: (total.get_response_time_percentile(level) or 0) / 1000 for level in (0.5, 0.95, 0.99)},
        broke_at=getattr(environment.shape_class, "broke_at", None),
    )
