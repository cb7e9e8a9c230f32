"""The texts that the service knows: about Ferrow, a company that does not exist. Written for this demo.

Imports the standard library only.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).with_name("corpus")
PRODUCTS, HANDBOOK, REPORTS = "products", "handbook", "reports"
"""Kinds of texts: what a file's name begins with."""

_WORDS_OF_PASSAGE = 60


@dataclass(frozen=True)
class Passage:
    """A part of a document that can be found by itself."""

    document: str
    title: str
    text: str


@dataclass(frozen=True)
class Document:
    """One file of the corpus; ``name`` is that of the file."""

    name: str
    title: str
    path: Path

    @property
    def kind(self) -> str:
        """Products, handbook or reports."""
        return self.name.partition("-")[0]

    def passages(self) -> list[Passage]:
        """Return the document in passages of whole paragraphs, about as long as an answer needs."""
        return [Passage(self.name, self.title, text) for text in chunks(self.path.read_text(), _WORDS_OF_PASSAGE)]


def chunks(text: str, words: int) -> list[str]:
    """Split a text at its paragraphs into parts of at least so many words, but for the last; headings are dropped."""
    parts: list[str] = []
    part: list[str] = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(paragraph.split())
        if line and not line.startswith("#"):
            part.append(line)
            if sum(len(each.split()) for each in part) >= words:
                parts.append(" ".join(part))
                part = []
    return [*parts, " ".join(part)] if part else parts


@cache
def documents() -> tuple[Document, ...]:
    """Return all documents, by name."""
    paths = sorted(FOLDER.glob("*.md"))
    return tuple(Document(path.stem, path.read_text().partition("\n")[0].lstrip("# "), path) for path in paths)
