"""Token usage as providers report it, brought to one meaning: input includes what came from and went to the cache.

Reads objects and dicts alike, by their fields, so that no provider's library is needed. Imports the standard library
and ``numbers``.
"""

from collections.abc import Callable, Mapping
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


_NAMES = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
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


Counts = tuple[Any, Any, Any, Any, Any, bool]
"""The fields of ``Usage`` as a response has them, and whether its input leaves the cache's tokens out."""


def usage_of(response: Any) -> Usage | None:
    """Return the usage that a complete response reports, or that it is itself; ``None`` when there is none.

    Understands OpenAI (chat, responses, embeddings and what imitates them), Anthropic, Google, Bedrock (Converse),
    LiteLLM and LangChain messages.
    """
    found = _fields(response)
    for name in ("usage", "usage_metadata", "usageMetadata"):
        usage = found.get(name)
        if usage is not None:
            return parsed(usage)
    return parsed(response)


def counts_of(response: Any) -> Counts | None:
    """Return what a model object of OpenAI's or Anthropic's library says, quickly: unchecked, and without faults.

    Raises ``AttributeError`` or ``LookupError`` for other objects and for answers without usage.
    """
    usage = response.__dict__["usage"]
    if usage.__pydantic_extra__:
        return _counts(_fields(usage))
    found = usage.__dict__
    if len(found) == 5:  # OpenAI's, if the five names below are in it: as _chat, where every other name is missing
        try:
            details, made = found["prompt_tokens_details"], found["completion_tokens_details"]
            given, output, read, write = found["prompt_tokens"], found["completion_tokens"], 0, 0
            if details is not None:
                inside = details.__dict__
                read, write = inside["cached_tokens"] or 0, inside["cache_write_tokens"] or 0
            reasoning = 0 if made is None else made.__dict__["reasoning_tokens"] or 0
            if reasoning and found["total_tokens"] == given + output + reasoning:
                output += reasoning
            if details is None or not details.__pydantic_extra__:
                return given, output, read, write, reasoning, False
        except Exception:  # not OpenAI's, an older library, or no numbers
            pass
    return _counts(found)


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
    counts = _counts(found)
    if counts is not None:
        given, output, read, write, reasoning = map(_checked, _NAMES, counts)
        return Usage(given + read + write if counts[5] else given, output, read, write, reasoning)
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


def _counts(found: Any) -> Counts | None:
    if found.get("prompt_tokens") is not None:
        return _chat(found.get)
    if found.get("input_tokens") is not None or found.get("output_tokens") is not None:
        return _messages(found.get)
    return None


def _chat(get: Callable[[str], Any]) -> Counts:
    """OpenAI's chat form, which most hosts imitate: input includes cached tokens."""
    given, output = get("prompt_tokens"), get("completion_tokens") or 0
    read = write = reasoning = 0
    details = get("prompt_tokens_details")
    if details is not None:
        inside = _fields(details).get
        read = inside("cached_tokens")
        write = inside("cache_write_tokens") or inside("cache_creation_tokens")
    # DeepSeek says it beside the details, LiteLLM as Anthropic does but with an input that includes both.
    read = read or get("cache_read_input_tokens") or get("prompt_cache_hit_tokens") or 0
    write = write or get("cache_creation_input_tokens") or 0
    made = get("completion_tokens_details")
    if made is not None:
        reasoning = _fields(made).get("reasoning_tokens") or 0
        try:
            if reasoning and get("total_tokens") == given + output + reasoning:  # xAI counts reasoning apart
                output += reasoning
        except Exception:  # no numbers
            pass
    return given, output, read, write, reasoning, False


def _messages(get: Callable[[str], Any]) -> Counts:
    """What calls them input and output: OpenAI's responses, LangChain, Anthropic (input without the cache)."""
    given, output = get("input_tokens") or 0, get("output_tokens") or 0
    made = get("output_tokens_details")
    inside = None if made is None else _fields(made).get
    details = get("input_tokens_details")
    if details is not None:
        cached = _fields(details).get
        reasoning = 0 if inside is None else inside("reasoning_tokens") or 0
        return given, output, cached("cached_tokens") or 0, cached("cache_write_tokens") or 0, reasoning, False
    details = get("input_token_details")
    if details is not None:
        cached, made = _fields(details).get, get("output_token_details")
        reasoning = 0 if made is None else _fields(made).get("reasoning") or 0
        return given, output, cached("cache_read") or 0, cached("cache_creation") or 0, reasoning, False
    reasoning = 0 if inside is None else inside("thinking_tokens") or inside("reasoning_tokens") or 0
    read, write = get("cache_read_input_tokens") or 0, get("cache_creation_input_tokens") or 0
    return given, output, read, write, reasoning, True


def _google(found: Any, prompt: str, tools: str, answer: str, thoughts: str, cached: str) -> Usage:
    """Google's form: the prompt includes cached content, the answer excludes thoughts."""
    reasoning = tokens(found, thoughts)
    given = tokens(found, prompt) + tokens(found, tools)
    return Usage(given, tokens(found, answer) + reasoning, tokens(found, cached), 0, reasoning)


def tokens(found: Any, name: str) -> float:
    """Return a number of tokens; 0 when it is missing or, which counts as a fault, no number."""
    value = found.get(name)
    return 0 if value is None else _checked(name, value)


def _checked(name: str, value: Any) -> float:
    if type(value) is int and 0 <= value < LARGEST_COUNT:
        return value
    number = checked_number(runtime.recorder(), name, value, LARGEST_COUNT)
    return 0 if number is None else int(number) if number.is_integer() else number
