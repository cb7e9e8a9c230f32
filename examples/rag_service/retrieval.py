"""Finds the passages that a question is about: a vector store behind a pool of connections, then reranking.

The store is a stand-in: it ranks by keywords (BM25), waits as a database would, and fails when it is told to. The
embeddings with which its results are ranked again are the model's.
"""

import asyncio
from collections.abc import Sequence

from genai_metrics import operation, retrieval
from genai_metrics.stages import DOCUMENT_RETRIEVAL, EMBEDDING_GENERATION, RERANKING
from rag_service import corpus, latency
from rag_service.answers import Answer
from rag_service.caches import Caches
from rag_service.corpus import Passage
from rag_service.models import Models, ProviderError
from rag_service.pool import ConnectionPool, PoolTimeout
from rag_service.search import Index
from rag_service.settings import Settings
from rag_service.state import FaultState

SOURCES = (corpus.PRODUCTS, corpus.HANDBOOK)
_STORE_SECONDS = 0.018
_FAULT_SHARE = 0.3
_MOST = 5
POOL_SIZE = 20


class RetrievalError(RuntimeError):
    """The store did not answer a search."""


class Retriever:
    """Searches the corpus. One event loop."""

    def __init__(self, settings: Settings, faults: FaultState, caches: Caches, models: Models) -> None:
        self._speed = settings.speed
        self._errors = settings.errors
        self._faults = faults
        self._caches = caches
        self._models = models
        self.pool = ConnectionPool("vector_store", POOL_SIZE)
        self._indexes = {
            source: Index([each for doc in corpus.documents() if doc.kind == source for each in doc.passages()])
            for source in (*SOURCES, corpus.REPORTS)
        }

    async def find(self, question: str, answer: Answer, most: int = 4, needed: bool = True) -> list[Passage]:
        """Return the passages that are nearest to a question, best first; none when nothing was found.

        What had to be done without is said in ``answer.degraded``: passages only where they are ``needed``.
        """
        with operation(DOCUMENT_RETRIEVAL):
            found = await asyncio.gather(*(self.search(source, question, answer) for source in SOURCES))
        candidates = [passage for passages in found for passage in passages]
        if not candidates:
            if needed:
                answer.degraded.append("no_documents")
            return []
        ranked = await self._ranked(question, candidates, answer)
        answer.sources = list(dict.fromkeys(passage.document for passage in ranked[:most]))
        return ranked[:most]

    async def search(self, source: str, question: str, answer: Answer) -> list[Passage]:
        """Return what one source has; nothing when the store fails."""
        try:
            with retrieval(source) as searched:
                found = await self._ask_store(source, question, answer)
                searched.results(len(found))
                return found
        except (RetrievalError, PoolTimeout):
            return []

    async def _ask_store(self, source: str, question: str, answer: Answer) -> list[Passage]:
        index = self._indexes[source]
        if self._faults.is_on("dependency_down"):
            if "keyword_search" not in answer.degraded:
                answer.degraded.append("keyword_search")
            return index.search(question, _MOST)
        async with self.pool.connection():
            await latency.take(_STORE_SECONDS, self._speed)
            if latency.fails(_FAULT_SHARE if self._faults.is_on("retrieval_failures") else self._errors):
                raise RetrievalError(f"the vector store did not answer for {source}")
            return index.search(question, _MOST)

    async def _ranked(self, question: str, passages: list[Passage], answer: Answer) -> list[Passage]:
        try:
            vectors = await self._embedded([question, *(passage.text for passage in passages)])
        except ProviderError:
            answer.degraded.append("not_reranked")
            return passages
        with operation(RERANKING):
            nearness = [_product(vectors[0], vector) for vector in vectors[1:]]
            order = sorted(range(len(passages)), key=lambda number: -nearness[number])
            return [passages[number] for number in order]

    async def _embedded(self, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector of each text; those not met before are asked for in one call."""
        known = {text: vector for text in texts if (vector := self._caches.embeddings.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        if missing:
            with operation(EMBEDDING_GENERATION):
                made = await self._models.embed(missing)
            for text, vector in zip(missing, made, strict=True):
                self._caches.embeddings[text] = vector
                known[text] = vector
        return [known[text] for text in texts]


def _product(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
