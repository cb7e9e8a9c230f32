"""Tests of fake_llm.openai_wire and fake_llm.anthropic_wire: what the pieces of a stream are billed for."""

from types import ModuleType

import pytest

from fake_llm import anthropic_wire, openai_wire
from fake_llm.answers import Content
from fake_llm.ledger import Usage
from fake_llm.prompts import Prompt


@pytest.mark.parametrize("wire", [openai_wire, anthropic_wire])
@pytest.mark.parametrize(
    "content",
    [
        Content("Caches keep answers for an hour, and then they are asked again. " * 3, "stop"),
        Content('{"query": "how long do caches keep answers?", "count": 3}', "tool", "search"),
        Content("", "length"),
    ],
)
def test_pieces_carry_the_answer_and_are_billed_for_it(wire: ModuleType, content: Content) -> None:
    """Their characters add up to the answer's: text, or the tool's name and arguments; never more than was sent."""
    prompt = Prompt(wire.PROVIDER, "m", (), "", "", streamed=True, usage_wanted=True)
    events = list(wire.stream(1, prompt, content, Usage()))
    sizes = [event.characters for event in events if event.characters]
    assert sum(sizes) == len(content.text) + len(content.tool or "")
    assert content.output_tokens == content.tokens_until(sum(sizes))
    assert all(event.characters < len(event.data) for event in events)
    assert not content.text or len(sizes) > 2
