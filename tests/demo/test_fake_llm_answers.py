"""Tests of fake_llm.answers and fake_llm.wording: what is answered to which prompt."""

import json
from random import Random
from typing import Any

import pytest

from fake_llm.answers import Content, compose
from fake_llm.prompts import Prompt, Tool
from fake_llm.wording import pieces, question_in

SEARCH = Tool("search", {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]})
FETCH = Tool("fetch", {"type": "object"})


def prompt(user: str, **given: Any) -> Prompt:
    """A prompt for a small model."""
    return Prompt(
        **{"provider": "openai", "model": "gpt-4o-mini", "parts": (), "instructions": "", "user": user} | given
    )


def answers(asked: Prompt, count: int = 200, quality: float = 0.85) -> list[Content]:
    """The answers of so many seeds."""
    return [compose(asked, Random(seed), quality) for seed in range(count)]


class TestProse:
    """Answers in words."""

    @pytest.mark.parametrize(
        "user",
        [
            "[1] Rain falls in autumn.\n[2] Caches keep answers for an hour.\n\nHow long do caches keep answers?",
            "<passage>Rain falls. Caches keep answers for an hour.</passage>\nHow long do caches keep answers?",
            "Rain falls in autumn. " * 100 + "Caches keep answers for an hour.\n\nHow long do caches keep answers?",
        ],
    )
    def test_begin_with_the_passage_that_is_nearest(self, user: str) -> None:
        """Marked by numbers or tags, or just a long text."""
        for answer in answers(prompt(user), 20):
            assert answer.text.startswith("Caches keep answers for an hour.")
            assert "?" not in answer.text

    def test_use_what_tools_have_found(self) -> None:
        """Results of tools are passages."""
        found = compose(prompt("How long?", results=("An hour is what caches keep.",)), Random(1), 0.85)
        assert found.text.startswith("An hour is what caches keep.")

    def test_are_whole_sentences_of_all_lengths(self) -> None:
        """Without passages they are its own; short ones and long ones, none much beyond the limit."""
        lengths = []
        for answer in answers(prompt("What is a cache?")):
            assert answer.ending == "stop"
            assert answer.text.endswith(".")
            lengths.append(len(answer.text.split()))
        assert min(lengths) < 20 < 200 < max(lengths) <= 254 + 20

    def test_questions_are_found(self) -> None:
        """The last sentence with a question mark, without passages, on one line; else the last line."""
        assert question_in("[1] Why? Because.\n\nAnswer this. How\nlong is it?") == "long is it?"
        assert question_in("Is it so? Please say. Thanks.") == "Is it so?"
        assert question_in("First.\nTell me about caches") == "Tell me about caches"

    def test_pieces_are_the_text(self) -> None:
        """Nothing is lost or added by cutting, whatever the white space."""
        for text in ("", "one", "one two  three\nfour five six", '{"a": 1}', " leading and trailing "):
            assert "".join(pieces(text)) == text


class TestRequestedForms:
    """Prompts that want something other than prose."""

    JUDGE = "You judge answers. Reply with JSON: a score, its correctness and completeness."

    def test_scores(self) -> None:
        """JSON with three scores of the mean that the server is set to."""
        found = [json.loads(each.text) for each in answers(prompt("Answer: yes.", instructions=self.JUDGE), 2000)]
        assert found[0].keys() == {"score", "correctness", "completeness"}
        assert sum(each["score"] for each in found) / 2000 == pytest.approx(0.85, abs=0.01)
        worse = answers(prompt("Answer: yes.", instructions=self.JUDGE), 2000, quality=0.5)
        assert sum(json.loads(each.text)["score"] for each in worse) / 2000 == pytest.approx(0.5, abs=0.02)

    def test_passages_ask_for_nothing(self) -> None:
        """A passage that speaks of scores in JSON does not make the server a judge."""
        asked = prompt("[1] The score is written as JSON.\n\nWhat is written?")
        assert not compose(asked, Random(1), 0.85).text.startswith("{")

    def test_a_schema_is_fitted(self) -> None:
        """Kinds, limits, choices, lists; numbers that are named scores follow the quality."""
        schema = {
            "type": "object",
            "properties": {
                "score": {"type": "number"},
                "grade": {"type": "integer", "minimum": 1, "maximum": 5},
                "accepted": {"type": "boolean"},
                "kind": {"enum": ["a", "b"]},
                "reasons": {"type": "array", "items": {"type": "string"}, "minItems": 3},
                "nested": {"anyOf": [{"type": "object", "properties": {"fixed": {"const": 7}}}, {"type": "null"}]},
                "nothing": {"type": ["null", "string"]},
            },
        }
        found = [json.loads(each.text) for each in answers(prompt("Rate it.", schema=schema), 500)]
        for each in found:
            assert each.keys() == schema["properties"].keys()
            assert 1 <= each["grade"] <= 5
            assert isinstance(each["grade"], int)
            assert isinstance(each["accepted"], bool)
            assert each["kind"] in ("a", "b")
            assert len(each["reasons"]) == 3
            assert each["nested"] == {"fixed": 7}
            assert each["nothing"] is None
        assert sum(each["score"] for each in found) / 500 == pytest.approx(0.85, abs=0.02)

    def test_any_json(self) -> None:
        """An object with the answer, where no schema says more."""
        assert json.loads(compose(prompt("What is a cache?", schema={}), Random(1), 0.85).text).keys() == {"answer"}

    def test_queries(self) -> None:
        """Three lines, the first being the question."""
        asked = prompt("How long do caches keep answers?", instructions="Rewrite the question as search queries.")
        lines = compose(asked, Random(1), 0.85).text.split("\n")
        assert (len(lines), lines[0]) == (3, "How long do caches keep answers?")


class TestToolCalls:
    """When tools are offered."""

    def share(self, **given: Any) -> float:
        """Share of answers that call a tool."""
        found = answers(prompt("What is a cache?", tools=(SEARCH, FETCH), **given), 1000)
        return sum(each.tool is not None for each in found) / 1000

    def test_are_made_by_probability(self) -> None:
        """As agents were recorded to, less often after a result, and never without end."""
        assert self.share() == pytest.approx(0.82, abs=0.04)
        assert self.share(called=("search",)) == pytest.approx(0.3, abs=0.05)
        assert self.share(called=("search",) * 6) == 0
        assert self.share(tool_choice="none") == 0
        assert self.share(tool_choice="any", called=("search",) * 6) == 1

    def test_are_made_when_the_prompt_asks(self) -> None:
        """The tool that the user names, once."""
        asked = "Use fetch to get the page."
        assert {each.tool for each in answers(prompt(asked, tools=(SEARCH, FETCH)))} == {"fetch"}
        assert None in {each.tool for each in answers(prompt(asked, tools=(SEARCH, FETCH), called=("fetch",)))}

    def test_use_all_tools(self) -> None:
        """Also several, one after another."""
        assert {each.tool for each in answers(prompt("Go on.", tools=(SEARCH, FETCH)))} == {"search", "fetch", None}


class TestReasoning:
    """Models that think first."""

    def test_takes_room_from_the_answer(self) -> None:
        """Thoughts and answer together never exceed what is allowed."""
        for answer in answers(prompt("What is a cache?", model="o4-mini", max_tokens=300)):
            assert answer.output_tokens <= 300
            assert answer.reasoning_tokens <= 300

    def test_follows_the_effort(self) -> None:
        """More effort, more thoughts, in steps of 64; none is none."""

        def thoughts(effort: str) -> int:
            found = answers(prompt("What is a cache?", model="o4-mini", effort=effort))
            assert all(each.reasoning_tokens % 64 == 0 for each in found)
            return sum(each.reasoning_tokens for each in found)

        assert 0 == thoughts("none") < thoughts("low") < thoughts("medium") < thoughts("high")

    def test_is_not_for_others(self) -> None:
        """Models without it have none."""
        assert all(each.reasoning_tokens == 0 for each in answers(prompt("What is a cache?"), 20))
