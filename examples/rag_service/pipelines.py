"""One question from its beginning to its end: the workflow around it, the response cache, the pipeline of its mode."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from genai_metrics import operation, track_llm_call, workflow
from genai_metrics.stages import QUERY_PROCESSING, RESPONSE_FORMATTING
from rag_service import agents, documents, refining, simple
from rag_service.answers import Answer, Asked
from rag_service.backends import Backends
from rag_service.caches import Caches, Stored

Pipeline = Callable[[Asked, Answer, Backends, workflow], AsyncGenerator[str, None]]

PIPELINES: dict[str, Pipeline] = {"1": simple.run, "2": refining.run, "3": agents.run, "4": documents.run}
CACHED = frozenset("12")
"""Modes whose answers are the same for everybody, and for a while."""


async def answered(asked: Asked, answer: Answer, backends: Backends) -> AsyncGenerator[str, None]:
    """Yield the answer's pieces and fill in ``answer``; raises what makes the workflow fail."""
    if asked.mode == "3":
        answer.agent = agents.agent_for(asked.question)
    left: BaseException | None = None
    with workflow(mode=asked.mode, tenant=asked.tenant, agent=answer.agent, priority=asked.priority) as run:
        try:
            async with aclosing(_pieces(asked, answer, backends, run)) as pieces:
                async for piece in pieces:
                    run.first_content()
                    answer.text += piece
                    yield piece
            with operation(RESPONSE_FORMATTING):
                _conclude(asked, answer, backends, run)
        except (GeneratorExit, asyncio.CancelledError) as gone:
            # A user who has seen enough is no failure of the service.
            run.warning("user_left")
            left = gone
        except Exception as error:
            answer.outcome, answer.error_type = "error", type(error).__name__
            raise
    if left is not None:
        raise left


async def _pieces(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> AsyncGenerator[str, None]:
    with operation(QUERY_PROCESSING):
        stored = backends.caches.responses.get(Caches.key(asked.mode, asked.question)) if asked.mode in CACHED else None
    if stored is None:
        async with aclosing(PIPELINES[asked.mode](asked, answer, backends, run)) as pieces:
            async for piece in pieces:
                yield piece
        return
    answer.outcome, answer.sources = "cached", list(stored.sources)
    for model, provider, input_tokens, output_tokens in stored.calls:
        track_llm_call(
            model=model, provider=provider, input_tokens=input_tokens, output_tokens=output_tokens, cached=True
        )
    yield stored.text


def _conclude(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> None:
    """Say what was done without, and keep the answer for the next who asks, unless it is a poor one."""
    for reason in answer.degraded:
        run.degraded(reason)
    answer.models = list(dict.fromkeys(reply.model for reply in answer.replies))
    if answer.outcome == "success" and asked.mode in CACHED and not answer.degraded:
        calls = tuple((each.model, each.provider, each.input_tokens, each.output_tokens) for each in answer.replies)
        backends.caches.responses[Caches.key(asked.mode, asked.question)] = Stored(
            answer.text, tuple(answer.sources), calls
        )
