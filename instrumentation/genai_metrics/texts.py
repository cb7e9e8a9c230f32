"""Text in requests, responses and chunks of streams: where providers put it, and how many tokens it may be.

Needed where no usage is reported, and to tell the first chunk that carries content. Imports ``usage`` and ``runtime``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from genai_metrics import runtime
from genai_metrics.numbers import LARGEST_COUNT, checked_number
from genai_metrics.usage import field

CHARACTERS_PER_TOKEN = 4
_REQUEST_KEYS = ("messages", "input", "prompt", "system", "instructions", "contents")
_TEXT_KEYS = ("content", "text", "parts", "arguments", "input")
_DEEPEST = 8


def estimated_tokens(model: str, text: str) -> int:
    """Return about how many tokens ``text`` is: what ``configure(token_counter=…)`` says, else four characters each."""
    if not text:
        return 0
    recorder = runtime.recorder()
    counter = recorder.settings.token_counter
    if counter is not None:
        try:
            answer: object = counter(model, text)
        except Exception as error:
            recorder.fault("internal", f"token_counter failed: {type(error).__name__}; estimated without it")
        else:
            number = checked_number(recorder, "token_counter()", "None" if answer is None else answer, LARGEST_COUNT)
            if number is not None:
                return round(number)
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def request_text(body: Any) -> str:
    """Return the text in a request's body: messages, prompt, instructions."""
    if not isinstance(body, Mapping):
        return ""
    return "".join(part for key in _REQUEST_KEYS if key in body for part in _strings(body[key], _DEEPEST))


def answer_text(response: Any) -> str:
    """Return the text in a complete response."""
    if isinstance(response, str):
        return response
    choices = field(response, "choices")
    if choices:
        parts = (field(choice, "message") or field(choice, "text") for choice in choices)
        return "".join(text for part in parts for text in _message_strings(part))
    if field(response, "candidates"):
        return "".join(
            text for each in field(response, "candidates") for text in _parts_strings(field(each, "content"))
        )
    converse = field(field(response, "output"), "message")
    content = field(converse, "content") if converse is not None else field(response, "content")
    if content is None:
        content = field(response, "output")
    return "".join(_strings(content, _DEEPEST))


def delta_text(chunk: Any) -> str | None:
    """Return the text that a chunk of a stream adds, ``""`` when it adds none, ``None`` when that cannot be told."""
    if isinstance(chunk, str):
        return chunk
    choices = field(chunk, "choices")
    if choices is not None:
        return "".join(text for choice in choices for text in _choice_strings(choice))
    kind = field(chunk, "type")
    if isinstance(kind, str):
        if kind == "content_block_delta":  # Anthropic
            delta = field(chunk, "delta")
            return field(delta, "text") or field(delta, "partial_json") or field(delta, "thinking") or ""
        if kind.startswith("response."):  # OpenAI's responses: only events called delta carry text, once
            delta = field(chunk, "delta")
            return delta if kind.endswith(".delta") and isinstance(delta, str) else ""
        return "" if kind in _SILENT else None
    candidates = field(chunk, "candidates")
    if candidates is not None or field(chunk, "usage_metadata") is not None:  # Google
        return "".join(text for each in candidates or () for text in _parts_strings(field(each, "content")))
    if isinstance(chunk, Mapping):
        if "contentBlockDelta" in chunk:  # Bedrock
            delta = field(chunk["contentBlockDelta"], "delta")
            return "".join(_strings(list(delta.values()) if isinstance(delta, Mapping) else None, _DEEPEST))
        if chunk.keys() & {"messageStart", "contentBlockStart", "contentBlockStop", "messageStop", "metadata"}:
            return ""
    return None


_SILENT = frozenset(
    ("message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop", "ping", "error")
)


def _choice_strings(choice: Any) -> Iterator[str]:
    delta = field(choice, "delta")
    yield from _message_strings(field(choice, "text") if delta is None else delta)


def _message_strings(message: Any) -> Iterator[str]:
    """Content, refusal, reasoning and tool arguments of OpenAI's messages and deltas."""
    if isinstance(message, str):
        yield message
        return
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        text = field(message, name)
        if isinstance(text, str):
            yield text
    for call in field(message, "tool_calls") or ():
        function = field(call, "function")
        for name in ("name", "arguments"):
            text = field(function, name)
            if isinstance(text, str):
                yield text


def _parts_strings(content: Any) -> Iterator[str]:
    for part in field(content, "parts") or ():
        text = field(part, "text")
        if isinstance(text, str):
            yield text
        elif field(part, "function_call") is not None:
            yield " "  # content all the same


def _strings(thing: Any, depth: int) -> Iterator[str]:
    """All text under the keys that hold text, however nested."""
    if isinstance(thing, str):
        yield thing
    elif depth > 0 and isinstance(thing, list | tuple):
        for each in thing:
            yield from _strings(each, depth - 1)
    elif depth > 0 and thing is not None and not isinstance(thing, int | float | bytes):
        for key in _TEXT_KEYS:
            inner = field(thing, key)
            if inner is not None:
                yield from _strings(inner, depth - 1)
