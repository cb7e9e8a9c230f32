"""Tests of usage as each provider reports it, in dicts and in objects."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics.usage import Usage, model_of, usage_of

if TYPE_CHECKING:
    from conftest import Metrics

REPORTED: dict[str, tuple[dict[str, Any], Usage]] = {
    "openai chat": (
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 20},
            }
        },
        Usage(100, 50, 40, 5, 20),
    ),
    "openai responses": (
        {
            "usage": {
                "input_tokens": 100,
                "output_tokens": 50,
                "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 20},
            }
        },
        Usage(100, 50, 40, 3, 20),
    ),
    "openai embeddings": ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, Usage(8, 0)),
    "anthropic": (
        {
            "usage": {
                "input_tokens": 100,
                "output_tokens": 50,
                "cache_read_input_tokens": 700,
                "cache_creation_input_tokens": 200,
                "output_tokens_details": {"thinking_tokens": 30},
            }
        },
        Usage(1000, 50, 700, 200, 30),
    ),
    "anthropic without cache": (
        {"usage": {"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": None}},
        Usage(100, 50),
    ),
    "google": (
        {
            "usage_metadata": {
                "prompt_token_count": 100,
                "tool_use_prompt_token_count": 7,
                "candidates_token_count": 30,
                "thoughts_token_count": 20,
                "cached_content_token_count": 40,
            }
        },
        Usage(107, 50, 40, 0, 20),
    ),
    "google REST": (
        {"usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 30, "thoughtsTokenCount": 20}},
        Usage(100, 50, 0, 0, 20),
    ),
    "bedrock converse": (
        {
            "usage": {
                "inputTokens": 100,
                "outputTokens": 50,
                "totalTokens": 1050,
                "cacheReadInputTokens": 700,
                "cacheWriteInputTokens": 200,
            }
        },
        Usage(1000, 50, 700, 200),
    ),
    "litellm of anthropic": (
        {
            "usage": {
                "prompt_tokens": 1000,
                "completion_tokens": 50,
                "total_tokens": 1050,
                "prompt_tokens_details": {"cached_tokens": 700, "cache_creation_tokens": 200},
                "cache_read_input_tokens": 700,
                "cache_creation_input_tokens": 200,
            }
        },
        Usage(1000, 50, 700, 200),
    ),
    "langchain": (
        {
            "usage_metadata": {
                "input_tokens": 100,
                "output_tokens": 50,
                "input_token_details": {"cache_read": 40, "cache_creation": 3},
                "output_token_details": {"reasoning": 20},
            }
        },
        Usage(100, 50, 40, 3, 20),
    ),
    "deepseek": (
        {"usage": {"prompt_tokens": 100, "completion_tokens": 50, "prompt_cache_hit_tokens": 64}},
        Usage(100, 50, 64),
    ),
    "xai": (
        {
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 10,
                "total_tokens": 150,
                "completion_tokens_details": {"reasoning_tokens": 40},
            }
        },
        Usage(100, 50, 0, 0, 40),
    ),
}


def as_object(thing: Any) -> Any:
    """The same with attributes for keys."""
    return SimpleNamespace(**{k: as_object(v) for k, v in thing.items()}) if isinstance(thing, dict) else thing


@pytest.mark.parametrize("name", REPORTED)
class TestReported:
    """Every provider's way, brought to one meaning."""

    def test_dict(self, metrics: "Metrics", name: str) -> None:
        """As the wire has it."""
        given, expected = REPORTED[name]
        assert usage_of(given) == expected
        assert metrics.faults() == {}

    def test_object(self, metrics: "Metrics", name: str) -> None:
        """As the libraries have it."""
        given, expected = REPORTED[name]
        assert usage_of(as_object(given)) == expected

    def test_usage_alone(self, metrics: "Metrics", name: str) -> None:
        """The usage itself instead of the response."""
        given, expected = REPORTED[name]
        (usage,) = given.values()
        assert usage_of(usage) == expected


class Hostile:
    """Every attribute fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class TestNothingUsable:
    """What reports nothing, or rubbish."""

    @pytest.mark.parametrize(
        "thing", [None, "text", 7, {}, {"usage": None}, {"usage": {}}, [], pytest.param(Hostile(), id="hostile")]
    )
    def test_none(self, metrics: "Metrics", thing: object) -> None:
        """There is no usage, and that is no fault."""
        assert usage_of(thing) is None
        assert metrics.faults() == {}

    @pytest.mark.parametrize("bad", ["12", -1, float("nan"), 10**15, object()])
    def test_bad_numbers(self, metrics: "Metrics", bad: object) -> None:
        """A number that is none counts as a fault and as 0; the others stay."""
        assert usage_of({"usage": {"prompt_tokens": 5, "completion_tokens": bad}}) == Usage(5, 0)
        assert metrics.faults() == {"bad_number": 1}


def test_model(metrics: "Metrics") -> None:
    """The model is what the response says; what is no text is none."""
    assert model_of({"model": "a"}) == "a"
    assert model_of(SimpleNamespace(model_version="b")) == "b"
    assert model_of({"model": 7}) is None
    assert model_of(Hostile()) is None
