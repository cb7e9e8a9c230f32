"""Tests of the key normaliser: what shares a key, and above all what does not."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from genai_metrics import normalize_question

SAME = [
    ("What is RAG?", "what is rag"),
    ("  What\tis\n RAG ? ", "what is rag ?"),
    ("WHAT IS RAG??", "what is rag"),
    ("What is RAG...", "what is rag…"),
    ("\u00bfQué es RAG?", "qué es rag"),
    ("Qu\u2019est-ce que RAG", "qu'est-ce que rag"),
    ("\u201cquoted\u201d text", '"quoted" text'),
    ("Cafe\u0301", "café"),
    ("\uff37\uff48\uff41\uff54 \uff11\uff10\uff05", "what 10%"),
    ("e\ufb03cient", "efficient"),
    ("no\u00a0break", "no break"),
    ("soft\u00adhyphen", "softhyphen"),
    ("from 5\u201310", "from 5-10"),
    ("minus \u22125", "minus -5"),
    ("\u4ec0\u4e48\u662fRAG\uff1f", "什么是rag"),
    ("\u0645\u0627 \u0647\u0648\u061f", "ما هو"),
    ("ｶﾞ ab", "ガ ab"),
    ("in 2024.", "in 2024"),
    ("a\ufe11b", "a,b"),
]

DIFFERENT = [
    ("C", "C++"),
    ("C", "C#"),
    ("C", "C."),
    ("3.5", "35"),
    ("3,5", "35"),
    ("3 5", "35"),
    (".5", "5"),
    ("-5", "5"),
    ("+5", "5"),
    ("50%", "50"),
    ("$50", "50"),
    ("a < b", "a > b"),
    ("a < b", "a b"),
    ("a <= b", "a = b"),
    ("a != b", "a = b"),
    ("n!", "n"),
    ("what is nn!", "what is nn"),
    ("x\u00b2", "x2"),
    ("H\u2082O", "H2O"),
    ("\u00bd", "1/2"),
    ("1\u00bd", "11/2"),
    ("\u211d", "R"),
    ("5 m\u00b2", "5 m2"),
    ("\u33a1", "m2"),
    ("don't", "dont"),
    ("can", "can't"),
    ("do not delete", "do delete"),
    ("re-sign", "resign"),
    ("résumé", "resume"),
    ("Maße", "Masse"),
    ("-v", "--v"),
    ("\u2014v", "-v"),
    ("`x`", "'x'"),
    ("~/a", "/a"),
    ("a.b", "a b"),
    ("a/b", "ab"),
    ("a_b", "a b"),
    ("(a) b", "a b"),
    ('"yes"', "yes"),
    ("regex a?", "regex a"),
    ("#1", "1"),
    ("@me", "me"),
    ("€5", "5"),
    ("☺", "☹"),
    ("please help", "help"),
    ("a\u00a8u", "a \u0308u"),
]


@pytest.mark.parametrize(("text", "same"), SAME)
def test_typing_makes_no_difference(text: str, same: str) -> None:
    """What differs in how it is typed has one key."""
    assert normalize_question(text) == normalize_question(same)


@pytest.mark.parametrize(("text", "other"), DIFFERENT)
def test_meaning_makes_a_difference(text: str, other: str) -> None:
    """Other words, numbers and signs have other keys, alone and within a sentence."""
    assert normalize_question(text) != normalize_question(other)
    assert normalize_question(f"What is {text} here?") != normalize_question(f"what is {other} here")


TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from("aAzZ09 .?!¿-+%$<>'\"ßİΣς\u0301\u00ad\u2014½²ﬁ")), max_size=30
)


@given(TEXTS)
@example("a.\u00ad?")
@example("¿ ¿ab??")
@example("İ\u0307")
@example("e\u00ad\u0301")
@example("\ud800")
def test_key_of_a_key_is_the_key(text: str) -> None:
    """Normalising twice is normalising once, whatever the characters."""
    key = normalize_question(text)
    assert normalize_question(key) == key


@given(st.lists(st.from_regex(r"[a-z0-9%$<>+'=#-]{1,6}", fullmatch=True), min_size=1, max_size=6), st.data())
def test_typing_of_any_question(words: list[str], data: st.DataObject) -> None:
    """Case, space and Unicode form of any question leave its key as it is, which is its words."""
    typed = [data.draw(st.sampled_from([w, w.upper(), w.title()])) for w in words]
    wide = data.draw(st.booleans())
    text = data.draw(st.sampled_from([" ", "  ", "\t", "\n", "\u00a0", "\u2003"])).join(typed)
    if wide:
        text = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    assert normalize_question(f" {text}\n") == " ".join(words)


@given(TEXTS)
def test_content_survives(text: str) -> None:
    """Letters, digits and signs of any text are in its key, in their order."""
    assert content(normalize_question(text)) == content(text)


def content(text: str) -> str:
    """What must be there in any spelling."""
    unseen = dict.fromkeys((0xAD, 0x200B, 0x2060, 0xFEFF))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text.translate(unseen)).casefold())
    signs = dict.fromkeys((0x2010, 0x2012, 0x2013, 0x2212), "-")
    return "".join(c for c in folded.translate(signs) if c in "0123456789+-%$<>=#!&|*/@^~" or "a" <= c <= "z")


def test_is_empty_only_where_nothing_is_seen() -> None:
    """Marks alone have keys too."""
    assert [normalize_question(text) for text in ("", " \n", "\u200b")] == ["", "", ""]
    assert all(normalize_question(text) for text in ("?", "...", "¿", "!", "-"))


def test_refuses_what_is_not_text() -> None:
    """No text, no key."""
    with pytest.raises(TypeError, match=re.escape("not bytes")):
        normalize_question(b"what")  # type: ignore[arg-type]
