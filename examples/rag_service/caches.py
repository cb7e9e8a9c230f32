"""The service's caches, each worker its own: ``cachetools`` made visible by ``monitored``.

Imports ``genai_metrics`` and cachetools.
"""

from dataclasses import dataclass

from cachetools import LRUCache, TTLCache

from genai_metrics import monitored, normalize_question

RESPONSES, RESPONSE_SECONDS = 4000, 900.0
FEW_RESPONSES = 12
EMBEDDINGS, FEW_EMBEDDINGS = 8000, 60
DOCUMENT_BYTES = 1_000_000


@dataclass(frozen=True)
class Stored:
    """An answer in the cache, and the calls that made it: model, provider, input and output tokens."""

    text: str
    sources: tuple[str, ...]
    calls: tuple[tuple[str, str, int, int], ...]


class Caches:
    """Answers by question, kept for ``response_seconds``, embeddings by text, documents by name. One event loop."""

    def __init__(self, response_seconds: float = RESPONSE_SECONDS) -> None:
        self._response_seconds = response_seconds
        self.documents: LRUCache[str, bytes] = monitored(
            LRUCache(DOCUMENT_BYTES, getsizeof=len), name="documents", sizes_are_bytes=True
        )
        self._make_responses(RESPONSES)
        self._make_embeddings(EMBEDDINGS)

    @staticmethod
    def key(mode: str, question: str) -> tuple[str, str]:
        """Key of a question: one for texts that differ in typing only."""
        return mode, normalize_question(question)

    def _make_responses(self, room: int) -> None:
        self.responses: TTLCache[tuple[str, str], Stored] = monitored(
            TTLCache(room, self._response_seconds), name="responses", answers=True
        )

    def _make_embeddings(self, room: int) -> None:
        self.embeddings: LRUCache[str, list[float]] = monitored(LRUCache(room), name="embeddings")

    def limit_responses(self, few: bool) -> None:
        """Have room for a few answers only, or for the usual number; a change begins with an empty cache."""
        room = FEW_RESPONSES if few else RESPONSES
        if self.responses.maxsize != room:
            self._make_responses(room)

    def limit_embeddings(self, few: bool) -> None:
        """Have room for a few embeddings only, or for the usual number; a change begins with an empty cache."""
        room = FEW_EMBEDDINGS if few else EMBEDDINGS
        if self.embeddings.maxsize != room:
            self._make_embeddings(room)
