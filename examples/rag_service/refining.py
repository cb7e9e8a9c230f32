"""Mode 2: the question is put better first, and the answer refined until the evaluator accepts it."""

from collections.abc import AsyncGenerator

from genai_metrics import operation, track_llm_fallback, workflow
from genai_metrics.stages import LLM_INFERENCE, QUERY_ENHANCEMENT
from rag_service.answers import Answer, Asked
from rag_service.backends import Backends
from rag_service.models import LARGE, SMALL, ProviderError, Reply, Request
from rag_service.prompts import ANSWER, guide, quoted
from rag_service.quality import ACCEPTED
from rag_service.simple import room

_MOST_ITERATIONS = 3
_REPHRASE = "Rephrase the question for a search: name the product and the matter. One sentence."


async def run(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> AsyncGenerator[str, None]:
    """Yield the accepted answer, or the best one when none was; raises what the provider raises."""
    passages = await backends.retriever.find(await _enhanced(asked, backends, run), answer)
    wanted = ACCEPTED[asked.priority]
    best = Reply(SMALL)
    most = room(backends, answer)
    score = best_score = None
    for number in range(1, _MOST_ITERATIONS + 1):
        run.iteration()
        answer.iterations = number
        reply = await _drafted(asked, number, quoted(asked.question, passages), most, backends)
        answer.replies.append(reply)
        score = await backends.evaluations.score(asked.question, reply.text)
        if number == 1 and score is not None:
            run.accepted(first_pass=score >= wanted)
        if best_score is None or (score is not None and score > best_score):
            best, best_score = reply, score
        # An answer that nobody could judge is given as it is.
        if score is None or score >= wanted:
            break
    answer.quality = best_score
    if score is None:
        run.warning("not_judged")
    elif score < wanted:
        answer.degraded.append("not_accepted")
    yield best.text


async def _enhanced(asked: Asked, backends: Backends, run: workflow) -> str:
    """Return the question with the words that a search should look for; the question itself when that fails."""
    request = Request(
        model=backends.models.chosen(SMALL), system=_REPHRASE, user=f"Question: {asked.question}", max_tokens=30
    )
    try:
        with operation(QUERY_ENHANCEMENT):
            reply = await backends.models.complete(request)
    except ProviderError:
        run.warning("question_not_enhanced")
        return asked.question
    return f"{asked.question} {reply.text}"


async def _drafted(asked: Asked, number: int, user: str, most: int, backends: Backends) -> Reply:
    """Return a draft; the last one is the large model's."""
    model = backends.models.chosen(SMALL)
    if number == _MOST_ITERATIONS:
        track_llm_fallback(from_model=model, to_model=LARGE, reason="low_quality")
        model = LARGE
    with operation(LLM_INFERENCE):
        return await backends.models.complete(
            Request(model=model, system=ANSWER, guide=guide(), user=user, max_tokens=min(most, 160))
        )
