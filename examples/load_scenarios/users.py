"""People who ask, as Locust users. Importing this patches sockets: do it before anything that opens one."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar

import requests
from locust import User, task

from load_scenarios.traffic import Question, Traffic

_OUTCOMES = ("success", "cached", "error")


class Person(User):
    """Asks, reads, sometimes says what they think of it, and thinks before the next question.

    Class attributes are the run's: ``seed``, ``think_seconds`` (a function, because it follows the day), ``modes``, and
    ``asked`` where outcomes that the service told are counted, ``paused`` while nobody shall ask.
    """

    numbers: ClassVar[Any] = count()
    seed: ClassVar[int] = 1
    modes: ClassVar[dict[str, float]] = {}
    think_seconds: ClassVar[Callable[[], float]] = staticmethod(lambda: 20.0)
    asked: ClassVar[dict[str, int]] = {}
    paused: ClassVar[bool] = False

    def on_start(self) -> None:
        """Begin with questions of one's own."""
        self.traffic = Traffic(type(self).seed * 100_003 + next(type(self).numbers), type(self).modes)
        self.session = requests.Session()

    def wait_time(self) -> float:
        """Return how long to think."""
        return self.traffic.pause(type(self).think_seconds())

    @task
    def ask(self) -> None:
        """Ask one question and read the answer to its end."""
        if type(self).paused:
            return
        question = self.traffic.question()
        began = time.perf_counter()
        outcome, length = self._answer(question)
        type(self).asked[outcome] = type(self).asked.get(outcome, 0) + 1
        self.environment.events.request.fire(
            request_type="ASK",
            name=f"mode {question.mode}",
            response_time=(time.perf_counter() - began) * 1000,
            response_length=length,
            exception=None if outcome in ("success", "cached") else RuntimeError(outcome),
            context={},
        )
        if outcome == "success" and self.traffic.wants_to_say():
            rating = "up" if self.traffic.pause(1) < 1.6 else "down"
            stars = 5 if rating == "up" else 2
            said: dict[str, Any] = {"mode": question.mode, "question": question.text}
            said |= {"rating": rating, "satisfaction": stars}
            with suppress(OSError):
                self.session.post(f"{self.host}/feedback", json=said, timeout=30)

    def _answer(self, question: Question) -> tuple[str, int]:
        """Return the outcome as the service told it (``lost`` when it could not), and how many bytes came."""
        body: dict[str, Any] = vars(question).copy()
        body["question"] = body.pop("text")
        try:
            with self.session.post(f"{self.host}/ask", json=body, stream=question.stream, timeout=120) as response:
                return _streamed(response) if question.stream else _whole(response)
        except OSError:  # every exception of requests is one: the worker was killed, or too slow
            return "lost", 0


def _whole(response: Any) -> tuple[str, int]:
    try:
        outcome = response.json()["outcome"]
    except (ValueError, KeyError):
        return f"status {response.status_code}", len(response.content)
    return outcome if outcome in _OUTCOMES else "unheard of", len(response.content)


def _streamed(response: Any) -> tuple[str, int]:
    """Read server-sent events: the last one says what became of the question."""
    outcome, length, event = "lost", 0, ""
    for line in response.iter_lines():
        length += len(line)
        if line.startswith(b"event: "):
            event = line[7:].decode()
        elif line.startswith(b"data: ") and event in ("done", "error"):
            outcome = json.loads(line[6:])["outcome"]
    return outcome, length
