"""Token usage as providers report it, brought to one meaning: input includes what came from and went to the cache.

Reads objects and dicts alike, by their fields, so that no provider's library is needed. Imports the standard library
and ``numbers``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from genai_metrics import runtime
from genai_metrics.numbers import LARGEST_COUNT, checked_number


class Usage(NamedTuple):
    """Tokens of one call: ``input`` with ``cached_input`` and ``cache_write``, ``output`` with ``reasoning``."""

    input: float
    output: float
    cached_input: float = 0
    cache_write: float = 0
    reasoning: float = 0


_MISSING: Any = object()


def field(thing: Any, name: str) -> Any:
    """Return a field of an object or a dict, ``None`` when it has none or will not say."""
    if thing.__class__ is dict:
        return thing.get(name)
    try:
        # Not getattr() first: a pydantic model takes microseconds to say that it has no such field.
        value = thing.__dict__.get(name, _MISSING)
        if value is not _MISSING:
            return value
        extra = thing.__pydantic_extra__
        return None if extra is None else extra.get(name)
    except Exception:  # no model, and whatever a foreign class raises
        pass
    if isinstance(thing, Mapping):
        return thing.get(name)
    try:
        return getattr(thing, name, None)
    except Exception:  # a property of a foreign class
        return None


class _Attributes:
    """An object's attributes, to be asked like a dict."""

    __slots__ = ("_thing",)

    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def get(self, name: str) -> Any:
        """Return one of them, or ``None``."""
        return field(self._thing, name)


def _fields(thing: Any) -> Any:
    """Return what has the fields of an object or a dict in a ``get``: the thing's own dict where there is one."""
    if thing.__class__ is dict:
        return thing
    try:
        return thing.__dict__ if not thing.__pydantic_extra__ else {**thing.__pydantic_extra__, **thing.__dict__}
    except Exception:  # no model, and whatever a foreign class raises
        return _Attributes(thing)


def usage_of(response: Any) -> Usage | None:
    """Return the usage that a complete response reports, or that it is itself; ``None`` when there is none.

    Understands OpenAI (chat, responses, embeddings and what imitates them), Anthropic, Google, Bedrock (Converse),
    LiteLLM and LangChain messages.
    """
    get = _fields(response).get
    for name in ("usage", "usage_metadata", "usageMetadata"):
        found = get(name)
        if found is not None:
            return parsed(found)
    return parsed(response)


def model_of(response: Any) -> str | None:
    """Return the name of the model that a response says it is from."""
    for name in ("model", "model_version", "modelVersion"):
        model = field(response, name)
        if isinstance(model, str) and model:
            return model
    return None


def parsed(found: Any) -> Usage | None:
    """Return what a usage object says in its provider's way."""
    found = _fields(found)
    if found.get("prompt_tokens") is not None:
        return _chat(found)
    if found.get("input_tokens") is not None or found.get("output_tokens") is not None:
        return _messages(found)
    if found.get("prompt_token_count") is not None or found.get("total_token_count") is not None:
        return _google(found, "prompt_token_count", "tool_use_prompt_token_count", "candidates_token_count",
                       "thoughts_token_count", "cached_content_token_count")  # fmt: skip
    if found.get("promptTokenCount") is not None or found.get("totalTokenCount") is not None:
        return _google(found, "promptTokenCount", "toolUsePromptTokenCount", "candidatesTokenCount",
                       "thoughtsTokenCount", "cachedContentTokenCount")  # fmt: skip
    if found.get("inputTokens") is not None:
        read, write = tokens(found, "cacheReadInputTokens"), tokens(found, "cacheWriteInputTokens")
        return Usage(tokens(found, "inputTokens") + read + write, tokens(found, "outputTokens"), read, write)
    return None


def _chat(found: Any) -> Usage:
    """OpenAI's chat form, which most hosts imitate: input includes cached tokens."""
    given, output = tokens(found, "prompt_tokens"), tokens(found, "completion_tokens")
    details, made = _details(found, "prompt_tokens_details"), _details(found, "completion_tokens_details")
    # DeepSeek says it beside the details, LiteLLM as Anthropic does but with an input that includes both.
    read = (
        tokens(details, "cached_tokens")
        or tokens(found, "cache_read_input_tokens")
        or tokens(found, "prompt_cache_hit_tokens")
    )
    write = (
        tokens(details, "cache_write_tokens")
        or tokens(details, "cache_creation_tokens")
        or tokens(found, "cache_creation_input_tokens")
    )
    reasoning = 0 if made is None else tokens(made, "reasoning_tokens")
    if reasoning and tokens(found, "total_tokens") == given + output + reasoning:  # xAI counts reasoning apart
        output += reasoning
    return Usage(given, output, read, write, reasoning)


def _messages(found: Any) -> Usage:
    """What calls them input and output: OpenAI's responses, LangChain, Anthropic (input without the cache)."""
    given, output = tokens(found, "input_tokens"), tokens(found, "output_tokens")
    details = _details(found, "input_tokens_details")
    made = _details(found, "output_tokens_details")
    if details is not None:
        read, write = tokens(details, "cached_tokens"), tokens(details, "cache_write_tokens")
        return Usage(given, output, read, write, tokens(made, "reasoning_tokens"))
    details = _details(found, "input_token_details")
    if details is not None:
        reasoning = tokens(_details(found, "output_token_details"), "reasoning")
        return Usage(given, output, tokens(details, "cache_read"), tokens(details, "cache_creation"), reasoning)
    read, write = tokens(found, "cache_read_input_tokens"), tokens(found, "cache_creation_input_tokens")
    reasoning = tokens(made, "thinking_tokens") or tokens(made, "reasoning_tokens")
    return Usage(given + read + write, output, read, write, reasoning)


def _google(found: Any, prompt: str, tools: str, answer: str, thoughts: str, cached: str) -> Usage:
    """Google's form: the prompt includes cached content, the answer excludes thoughts."""
    reasoning = tokens(found, thoughts)
    given = tokens(found, prompt) + tokens(found, tools)
    return Usage(given, tokens(found, answer) + reasoning, tokens(found, cached), 0, reasoning)


def tokens(found: Any, name: str) -> float:
    """Return a number of tokens; 0 when it is missing or, which counts as a fault, no number."""
    value = None if found is None else found.get(name)
    if value is None:
        return 0
    if type(value) is int and 0 <= value < LARGEST_COUNT:
        return value
    number = checked_number(runtime.recorder(), name, value, LARGEST_COUNT)
    return 0 if number is None else int(number) if number.is_integer() else number


def _details(found: Any, name: str) -> Any:
    """Return the fields of what a usage object has under ``name``, ``None`` when it has nothing there."""
    details = found.get(name)
    return None if details is None else _fields(details)
