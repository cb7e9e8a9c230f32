"""Scores of answers by a model that judges them, while the user waits or afterwards.

Imports ``genai_metrics`` and ``models``.
"""

import asyncio
import contextvars
import json

from genai_metrics import operation, track_quality, track_queue, track_warning
from rag_service.models import SMALL, Models, ProviderError, Request

EVALUATOR = "judge"

ACCEPTED = {"critical": 0.82, "important": 0.8, "normal": 0.78, "low": 0.75}
"""Score from which an answer is accepted, by the priority of the question."""

SAMPLED = {"1": 0.2, "3": 0.4, "4": 1.0}
"""Share of answers that are judged after they were given, by mode; those of mode 2 all are before."""

_INSTRUCTIONS = (
    "You judge answers of a support service. Give a score from 0 (wrong or useless) to 1 (right, complete, and borne "
    "out by the passages), as JSON."
)
_SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "number", "minimum": 0, "maximum": 1}},
    "required": ["score"],
    "additionalProperties": False,
}
_MOST_WAITING = 200
_AT_ONCE = 3


class Evaluations:
    """Judges answers. One event loop."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._queue: asyncio.Queue[tuple[contextvars.Context, str, str]] = asyncio.Queue()

    async def score(self, question: str, answer: str) -> float | None:
        """Return an answer's score from 0 to 1, recorded for the current workflow; ``None`` when nobody judged it."""
        request = Request(
            model=self._models.chosen(SMALL),
            system=_INSTRUCTIONS,
            user=f"<passage>{answer}</passage>\nGive the score of this answer to: {question}",
            max_tokens=40,
            schema=_SCHEMA,
        )
        try:
            with operation("evaluation"):
                reply = await self._models.complete(request)
            score = float(json.loads(reply.text)["score"])
        except (*ProviderError, ValueError, KeyError, TypeError):
            return None
        track_quality(score, evaluator=EVALUATOR)
        return score

    def later(self, question: str, answer: str) -> None:
        """Have an answer judged when there is time, under the mode, tenant and priority of the current workflow."""
        if self._queue.qsize() < _MOST_WAITING:
            self._queue.put_nowait((contextvars.copy_context(), question, answer))
        else:
            track_warning("not_judged")
        self.tell()

    async def work(self) -> None:
        """Judge what is in the queue, a few at a time, for ever."""
        await asyncio.gather(*(self._judge() for _ in range(_AT_ONCE)))

    async def _judge(self) -> None:
        while True:
            context, question, answer = await self._queue.get()
            self.tell()
            await asyncio.create_task(self.score(question, answer), context=context)

    def tell(self) -> None:
        """Set the gauge."""
        track_queue("evaluations", self._queue.qsize())
