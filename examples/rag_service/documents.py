"""Mode 4: summarises a long report, its parts side by side."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import islice

from genai_metrics import operation, workflow
from genai_metrics.stages import LLM_INFERENCE, PDF_LOADING, SEMANTIC_CHUNKING
from rag_service import corpus, latency
from rag_service.answers import Answer, Asked
from rag_service.backends import Backends
from rag_service.corpus import REPORTS
from rag_service.models import LARGE, REASONING, SMALL, Request
from rag_service.quality import SAMPLED
from rag_service.simple import room

_LOADING_SECONDS = 0.12
_WORDS_OF_PART = 120
_MOST_PARTS = 6
_MOST_FIGURES = 320  # tokens, thinking included
_PART = "Summarise this part of a report in two sentences."
_WHOLE = "Make one summary of these: what happened, why, what is to be done."
_FIGURES = "List the figures that matter in this report, each with what it measures."


async def run(asked: Asked, answer: Answer, backends: Backends, run: workflow) -> AsyncGenerator[str, None]:
    """Yield the summary, then the figures; raises what the provider raises."""
    text = await _loaded(await _chosen(asked.question, answer, backends), backends)
    with operation(SEMANTIC_CHUNKING):
        parts = corpus.chunks(text, _WORDS_OF_PART)
    if len(parts) > _MOST_PARTS:
        run.warning("report_truncated")
    most = room(backends, answer)
    small = backends.models.chosen(SMALL)
    with operation(LLM_INFERENCE):
        drafts = await asyncio.gather(
            *(
                backends.models.complete(Request(small, f"<document>{part}</document>\n{_PART}", max_tokens=80))
                for part in islice(parts, _MOST_PARTS)
            )
        )
    notes = "\n".join(f"[{number}] {draft.text}" for number, draft in enumerate(drafts, 1))
    # Who asks for something important gets the large model's summary.
    large = LARGE if asked.priority in ("critical", "important") else small
    with operation(LLM_INFERENCE):
        summary, figures = await asyncio.gather(
            backends.models.complete(Request(large, f"{notes}\n\n{_WHOLE}", max_tokens=min(most, 200))),
            backends.models.complete(Request(REASONING, f"{notes}\n\n{_FIGURES}", max_tokens=_MOST_FIGURES)),
        )
    answer.replies += [*drafts, summary, figures]
    if latency.fails(SAMPLED["4"]):
        backends.evaluations.later(asked.question, summary.text)
    yield summary.text
    if figures.text:  # none where thinking took all the tokens it may have
        yield f"\n\n{figures.text}"


async def _chosen(question: str, answer: Answer, backends: Backends) -> corpus.Document:
    """Return the report that is meant: the one that is found, else the first."""
    reports = {doc.name: doc for doc in corpus.documents() if doc.kind == REPORTS}
    found = await backends.retriever.search(REPORTS, question, answer)
    if not found:
        answer.degraded.append("report_guessed")
    name = found[0].document if found else next(iter(reports))
    answer.sources = [name]
    return reports[name]


async def _loaded(document: corpus.Document, backends: Backends) -> str:
    """Return a report's text. Its file is Markdown and read at once: the wait is for what a PDF would take."""
    known = backends.caches.documents.get(document.name)
    if known is None:
        with operation(PDF_LOADING, memory=True):
            known = document.path.read_bytes()
            await latency.take(_LOADING_SECONDS, backends.settings.speed)
        backends.caches.documents[document.name] = known
    return known.decode()
