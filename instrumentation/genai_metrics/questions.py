"""Keys of questions for caches: one key for what differs in typing only. Imports the standard library.

What a key keeps and what it drops is decided for safety: a key that is too fine costs one more call, one that is too
coarse answers another question.
"""

import re
import unicodedata

# Characters that are another's typing variant. Not among them, because they say more than how something was typed:
# super- and subscripts, fractions, circled and squared ones ("x²" is not "x2"), mathematical letters.
_VARIANTS = frozenset(
    f"<{tag}>"
    for tag in ("wide", "narrow", "small", "vertical", "initial", "medial", "final", "isolated", "noBreak", "compat")
)
# Other shapes of one mark. Not the em dash, which programs make of "--", nor the backtick, which is code.
_SAME = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        "\u061f": "?",
        "\u3001": ",",
        "\u3002": ".",
        # Soft hyphen, zero-width space, word joiner, byte order mark: not seen, and no part of a word.
        **dict.fromkeys("\u00ad\u200b\u2060\ufeff", None),
    }
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_SPACE = re.compile(r"\s+")
# Only after a word or number of two characters: "regex a?" and "U.S." keep theirs. Never "!", which is a factorial.
_END = re.compile(r"(?<=[^\W_]{2})[?.]+$")
_BEGIN = re.compile(r"^[\u00bf ]+(?=\w)")


def normalize_question(text: str) -> str:
    """Return a key for a question that is the same for texts that differ only in how they are typed.

    Dropped are differences of case, of white space (but not where there is none), of Unicode form (composed accents,
    full-width letters and marks, ligatures) and of the shapes of quotes, hyphens and ellipses; invisible characters;
    a ``¿`` before the text; ``?`` and ``.`` at its end after a word or number.

    Everything else is kept: words, their order, accents, negations and politeness; digits; all other marks wherever
    they stand, so that "C" is not "C++", "3.5" not "35", "-5" not "5", "x²" not "x2", "dont" not "don't", "n!" not "n".
    Case is dropped even where it tells words apart ("US" and "us"); "ß" stays "ß", for "Maße" is not "Masse".

    The key of a key is the key itself; it is empty only where nothing is seen in the text. Raises ``TypeError`` when
    ``text`` is not text. Pure; any thread may call it.
    """
    if not isinstance(text, str):
        raise TypeError(f"a question must be text, not {type(text).__name__}")
    before = None
    while before != text:  # a step may make room for another: an accent that composes only in small letters, say
        before, text = text, _step(text)
    return text


def _step(text: str) -> str:
    text = _NOT_ASCII.sub(_plain, text.translate(_SAME))
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    text = _SPACE.sub(" ", text).strip()
    return _BEGIN.sub("", _END.sub("", text))


def _plain(found: re.Match[str]) -> str:
    """Return the usual spelling of a character that is a typing variant, and any other as it is."""
    char = found[0]
    tag, _, spelling = unicodedata.decomposition(char).partition(" ")
    # A spacing accent is spelt as a space and an accent: that is no usual spelling.
    if tag in _VARIANTS and not spelling.startswith("0020 "):
        return unicodedata.normalize("NFKC", char)
    return char
