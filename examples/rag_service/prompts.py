"""What models are told: the house guide, and passages as they are quoted. Imports ``corpus``."""

from collections.abc import Sequence
from functools import cache

from rag_service import corpus
from rag_service.corpus import Passage

ANSWER = "Answer the customer's question from the passages alone, and name their numbers. Be brief."
NO_PASSAGES = "(Nothing was found.)"


@cache
def guide() -> str:
    """Return how Ferrow talks to customers: long enough for providers to cache it, the same in all requests."""
    return (corpus.FOLDER / "guide.md").read_text()


def quoted(question: str, passages: Sequence[Passage]) -> str:
    """Return a question below numbered passages."""
    numbered = "\n".join(f"[{number}] {each.title}: {each.text}" for number, each in enumerate(passages, 1))
    return f"{numbered or NO_PASSAGES}\n\nQuestion: {question}"
