"""Mode 1: retrieval, reranking, one call whose answer is streamed as it comes."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from genai_metrics import operation, workflow
from genai_metrics.stages import LLM_INFERENCE
from rag_service import latency
from rag_service.answers import Answer, Asked
from rag_service.backends import Backends
from rag_service.models import SMALL, Reply, Request
from rag_service.prompts import ANSWER, guide, quoted
from rag_service.quality import SAMPLED

_LONGEST, _SHORT = 300, 60
_SHED_SHARE = 0.8


def room(backends: Backends, answer: Answer) -> int:
    """Return how many tokens an answer may have: few for most of them while the service sheds load."""
    if backends.faults.is_on("degradation") and latency.fails(_SHED_SHARE):
        answer.degraded.append("shortened")
        return _SHORT
    return _LONGEST


async def run(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> AsyncGenerator[str, None]:
    """Yield the answer's pieces; raises what the provider raises."""
    passages = await backends.retriever.find(asked.question, answer)
    request = Request(
        model=backends.models.chosen(SMALL, simple=True),
        system=ANSWER,
        guide=guide(),
        user=quoted(asked.question, passages),
        max_tokens=room(backends, answer),
    )
    reply = Reply(request.model)
    with operation(LLM_INFERENCE):
        if asked.stream:
            async with aclosing(backends.models.stream(request, reply)) as pieces:
                async for piece in pieces:
                    yield piece
        else:
            reply = await backends.models.complete(request)
            yield reply.text
    answer.replies.append(reply)
    if latency.fails(SAMPLED["1"]):
        backends.evaluations.later(asked.question, reply.text)
