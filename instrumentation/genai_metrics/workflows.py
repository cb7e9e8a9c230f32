"""Workflows: a request as the user sees it, and what is said of it while it runs.

``with workflow(mode="1", tenant="acme") as run:`` or ``@workflow(...)`` on any function. Calls recorded inside, in
tasks and in threads started with the copied context, take mode, tenant and agent from it; explicit arguments win.
"""

import time
from collections.abc import Callable
from contextvars import Token

from genai_metrics import runtime, traces
from genai_metrics.catalog import (
    AGENT_RUN,
    FIRST_CONTENT,
    FIRST_PASS,
    WORKFLOW,
    WORKFLOW_ERROR,
    WORKFLOW_EXEMPLARS,
    WORKFLOW_IN_FLIGHT,
    WORKFLOW_ITERATIONS,
)
from genai_metrics.context import Context, current
from genai_metrics.observations import count, observe
from genai_metrics.quality import track_degradation, track_quality, track_warning
from genai_metrics.spans import Span


class workflow(Span):  # read as a verb: with workflow(...)
    """One run of a workflow: its duration, outcome and context; also what ``with`` gives the user.

    ``mode``, ``tenant``, ``agent``, ``priority``: what is left out comes from the workflow around this one, if any.
    ``priority`` chooses the threshold of quality scores (``critical``, ``important``, ``normal``, ``low`` or yours).

    Records at the end: duration by outcome (``error`` with any exception or after ``failed()``, ``cached`` after
    ``cache_hit()``, else ``success``), the agent's run, iterations. Exceptions go on unchanged. No method raises; all
    may be called from any thread.
    """

    def __init__(
        self,
        *,
        mode: str | None = None,
        tenant: str | None = None,
        agent: str | None = None,
        priority: str | None = None,
    ) -> None:
        self._given = (mode, tenant, agent, priority)
        self._context = Context()
        self._cache = "none"
        self._iterations = 0
        self._content_seen = False
        self._failure: str | None = None

    def failed(self, error_type: str) -> None:
        """Say that the run failed although no exception leaves it: the outcome is ``error``, of this type."""
        self._failure = error_type

    def iteration(self) -> None:
        """Say that a refinement loop begins its next iteration."""
        self._iterations += 1

    def accepted(self, *, first_pass: bool = True) -> None:
        """Say that an answer was accepted: the first one, or (``first_pass=False``) only a later one or none."""
        self._say(lambda: count(FIRST_PASS, (self.mode,), slot=0 if first_pass else 1))

    def cache_hit(self) -> None:
        """Say that a response cache had the answer: the outcome is ``cached``."""
        self._cache = "hit"

    def cache_miss(self) -> None:
        """Say that a response cache was asked and had no answer."""
        self._cache = "miss"

    def first_content(self) -> None:
        """Say that the user sees the first content now; later calls do nothing."""
        if not self._content_seen:
            self._content_seen = True
            seconds = time.perf_counter() - self.began
            self._say(lambda: observe(FIRST_CONTENT, (self.mode,), seconds, name="first_content"))

    def degraded(self, reason: str) -> None:
        """Say that the answer is a degraded one, and why."""
        track_degradation(reason, mode=self.mode)

    def warning(self, kind: str) -> None:
        """Say that something was not as it should be."""
        track_warning(kind, mode=self.mode)

    def quality(self, score: float, *, evaluator: str = "default", scale: float = 1.0) -> None:
        """Give the answer's score, from 0 to ``scale``, as an evaluator saw it."""
        track_quality(score, evaluator=evaluator, scale=scale, mode=self.mode, priority=self._context.priority)

    @property
    def mode(self) -> str:
        """The mode that calls inside are recorded under."""
        return self._context.mode

    def _begin(self) -> None:
        around = current.get()
        mode, tenant, agent, priority = self._given
        self._context = Context(
            around.mode if mode is None else mode,
            around.tenant if tenant is None else tenant,
            around.agent if agent is None else agent,
            around.priority if priority is None else priority,
            self,
        )
        self._cache, self._iterations, self._content_seen, self._failure = "none", 0, False, None
        count(WORKFLOW_IN_FLIGHT, (self.mode,))

    def _end(self, seconds: float, error: BaseException | None) -> None:
        count(WORKFLOW_IN_FLIGHT, (self.mode,), amount=-1.0)
        error_type = self._failure if error is None else type(error).__name__
        outcome = "error" if error_type is not None else "cached" if self._cache == "hit" else "success"
        record_duration((self.mode, outcome, self._cache), seconds)
        if error_type is not None:
            count(WORKFLOW_ERROR, (self.mode, error_type))
        if self._context.agent is not None:
            count(AGENT_RUN, (self._context.agent, outcome))
        if self._iterations:
            observe(WORKFLOW_ITERATIONS, (self.mode,), float(self._iterations), name="iterations")

    def _activate(self) -> Token[Context]:
        return current.set(self._context)

    def _deactivate(self, token: Token[Context]) -> None:
        try:
            current.reset(token)
        except ValueError:  # ended in another context than it began in, as async generators may be
            pass

    @staticmethod
    def _say(record: Callable[[], object]) -> None:
        try:
            record()
        except Exception as error:
            runtime.internal_fault(error)


def record_duration(labels: tuple[str, str, str], seconds: float) -> None:
    """Record how long a workflow took, by mode, outcome and cache, with the active span's trace."""
    block = observe(WORKFLOW, labels, seconds, name="duration")
    traces.notice()
    if block is not None and traces.tracing.on:
        traces.offer(WORKFLOW_EXEMPLARS, block, seconds)


def current_run() -> workflow | None:
    """Return the innermost workflow that the calling code is part of, or ``None``."""
    run = current.get().run
    return run if isinstance(run, workflow) else None
