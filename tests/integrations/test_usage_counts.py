"""Usage of the provider libraries' own objects, read quickly: the same numbers as when it is read carefully."""

from typing import Any

from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from genai_metrics.usage import Usage, counts_of, usage_of

USAGE: dict[str, Any] = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
NUMBERS = st.one_of(st.integers(0, 2000), st.none(), st.sampled_from([-1, 2.5, True, "7", float("nan")]))


def some(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these fields, with numbers."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, NUMBERS))


CHAT = st.builds(
    lambda counts, details, made: counts | details | made,
    some("prompt_tokens", "completion_tokens", "total_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens"),
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens_details": st.none() | some("cached_tokens", "cache_write_tokens", "cache_creation_tokens")
        },
    ),
    st.fixed_dictionaries({}, optional={"completion_tokens_details": st.none() | some("reasoning_tokens")}),
)
RESPONSE = st.builds(
    lambda counts, cached, made: {**counts, "input_tokens_details": cached, "output_tokens_details": made},
    some("input_tokens", "output_tokens", "total_tokens"),
    some("cached_tokens", "cache_write_tokens"),
    some("reasoning_tokens"),
)
MESSAGE = st.builds(
    lambda counts, made: {**counts, "output_tokens_details": made},
    some("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "unknown"),
    st.none() | some("thinking_tokens", "reasoning_tokens"),
)


def same(answer: Any) -> None:
    """Whatever the short way would take is what the long way takes."""
    try:
        counts = counts_of(answer)
        assert counts is not None
        given, output, read, write, reasoning, apart = counts
    except Exception:
        return
    if all(type(count) is int and count >= 0 for count in counts[:5]):
        expected = usage_of(answer)
        assert Usage(given + read + write if apart else given, output, read, write, reasoning) == expected


class TestCounts:
    """Reading usage quickly says nothing else than reading it carefully."""

    @given(CHAT)
    def test_chat(self, usage: dict[str, Any]) -> None:
        """OpenAI's chat, and hosts that imitate it."""
        same(ChatCompletion.construct(usage=usage))

    @given(CHAT)
    def test_embeddings(self, usage: dict[str, Any]) -> None:
        """OpenAI's embeddings."""
        same(CreateEmbeddingResponse.construct(usage=usage))

    @given(RESPONSE)
    def test_responses(self, usage: dict[str, Any]) -> None:
        """OpenAI's responses."""
        same(Response.construct(usage=usage))

    @given(MESSAGE)
    def test_message(self, usage: dict[str, Any]) -> None:
        """Anthropic's messages."""
        same(Message.construct(usage=usage))

    def test_taken(self) -> None:
        """The usual answers do take the short way."""
        assert counts_of(ChatCompletion.construct(usage=USAGE)) == (1000, 50, 400, 0, 20, False)
        message = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3}
        assert counts_of(Message.construct(usage=message)) == (1, 2, 3, 0, 0, True)

    def test_unknown_fields(self) -> None:
        """Tokens in fields that the library does not know are found."""
        details = {"prompt_tokens_details": {"cached_tokens": 1, "cache_creation_tokens": 9}}
        assert counts_of(ChatCompletion.construct(usage=USAGE | details)) == (1000, 50, 1, 9, 20, False)
        beside = {"prompt_tokens_details": None, "prompt_cache_hit_tokens": 64}
        assert counts_of(ChatCompletion.construct(usage=USAGE | beside)) == (1000, 50, 64, 0, 20, False)
