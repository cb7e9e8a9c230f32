"""Sentences: those of the prompt's passages, and a few of its own where they do not suffice.

Imports the standard library only.
"""

import re
from collections.abc import Iterable, Iterator
from random import Random

_MARKED = re.compile(r"^\s*\[\d{1,3}\]\s*(.+(?:\n(?!\s*(?:\[\d{1,3}\]|\n|$)).+)*)", re.MULTILINE)
_TAGGED = re.compile(r"<(passage|document|context|source)\b[^>]*>(.*?)</\1>", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n{2,}")
_WORD = re.compile(r"\w{4,}")
_PIECE = re.compile(r"\s*(?:\S+\s*){1,4}", re.DOTALL)

_SUBJECTS = (
    "The service", "A cached answer", "The retrieval step", "Each worker", "The first pass", "A slow provider",
    "The reranker", "A longer prompt", "The evaluator", "This setting",
)  # fmt: skip
_VERBS = (
    "keeps", "changes", "limits", "explains", "shortens", "confirms", "depends on", "decides", "measures", "replaces",
)  # fmt: skip
_OBJECTS = (
    "the time until the first token", "the number of passages", "what a question costs", "the share of cached answers",
    "the order of the results", "the length of the answer", "the budget of a team", "the score of a draft",
    "the load of a quiet hour", "the wording of the question",
)  # fmt: skip
_ENDINGS = (
    "", " in most cases", " during the day", " for long documents", " under load", " after a restart", " at night",
    " when nothing else has changed",
)  # fmt: skip


def question_in(user: str) -> str:
    """The question of a user's text: its last sentence with a question mark, else its last line; on one line."""
    asked = without_passages(user).strip()
    sentences = [sentence.strip() for sentence in _SENTENCE_END.split(asked) if sentence.strip()]
    for sentence in reversed(sentences):
        if sentence.endswith("?"):
            return " ".join(sentence.rpartition("\n")[2].split())
    return " ".join(asked.rpartition("\n")[2].split())


def passages_in(text: str) -> Iterator[str]:
    """The marked passages of a text: ``[1] …`` up to an empty line, and ``<passage>…</passage>``."""
    yield from (match[1] for match in _MARKED.finditer(text))
    yield from (match[2] for match in _TAGGED.finditer(text))


def without_passages(text: str) -> str:
    """The text less its marked passages."""
    return _TAGGED.sub("\n", _MARKED.sub("\n", text))


def extract(sources: Iterable[str], question: str, words: int, random: Random) -> str:
    """So many words or a little more, in sentences: those of the sources nearest to the question, then its own."""
    wanted = frozenset(word.lower() for word in _WORD.findall(question))
    sentences = list(dict.fromkeys(sentence for source in sources for sentence in _statements(source)))
    # Nearest first; of equal ones those that stand first.
    sentences.sort(key=lambda sentence: -sum(word.lower() in wanted for word in _WORD.findall(sentence)))
    answer: list[str] = []
    count = 0
    for sentence in sentences:
        if count >= words:
            break
        answer.append(sentence)
        count += len(sentence.split())
    while count < words:
        answer.append(sentence := _own(random))
        count += len(sentence.split())
    return " ".join(answer)


def rewrite(question: str, random: Random) -> str:
    """The question, its words, and its words with others: three queries for a search, a line each."""
    words = " ".join(_WORD.findall(question)) or question
    return f"{question}\n{words}\n{words} {random.choice(_OBJECTS)}"


def _statements(source: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(source):
        sentence = " ".join(sentence.split())
        if sentence and sentence[-1] in ".!":
            yield sentence


def _own(random: Random) -> str:
    return f"{random.choice(_SUBJECTS)} {random.choice(_VERBS)} {random.choice(_OBJECTS)}{random.choice(_ENDINGS)}."


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of a few words, as they are streamed."""
    yield from _PIECE.findall(text)
