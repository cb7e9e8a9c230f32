"""Search by keywords: BM25 by the library ``bm25s``. Imports it and ``corpus``."""

from collections.abc import Sequence

import bm25s  # type: ignore[import-untyped]  # it has no types

from rag_service.corpus import Passage


class Index:
    """An index of passages. Small enough for memory; not for threads."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._index = bm25s.BM25()
        texts = [f"{passage.title} {passage.text}" for passage in passages]
        self._index.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)

    def search(self, text: str, most: int) -> list[Passage]:
        """Return the passages that share words with a text, best first, at most so many; none may do."""
        words = bm25s.tokenize(text, stopwords="en", return_ids=False, show_progress=False)
        if not words[0]:
            return []
        found, scores = self._index.retrieve(words, k=min(most, len(self._passages)), show_progress=False)
        return [
            self._passages[int(number)] for number, score in zip(found[0], scores[0], strict=True) if float(score) > 0.0
        ]
