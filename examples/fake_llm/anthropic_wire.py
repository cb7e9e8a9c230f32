"""Anthropic's wire format: messages, whole and streamed, models, errors.

As in https://docs.anthropic.com/en/api. Imports ``answers``, ``delivery`` and ``prompts``.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fake_llm.answers import Content
from fake_llm.delivery import Event
from fake_llm.ledger import Usage
from fake_llm.prompts import BadRequest, Part, Prompt, Tool, optional_count, required, texts_in
from fake_llm.wording import pieces

PROVIDER = "anthropic"
SNAPSHOTS = {"claude-sonnet-4-5": "claude-sonnet-4-5-20250929", "claude-haiku-4-5": "claude-haiku-4-5-20251001"}
"""What the API calls itself in its answers, for some of the names that it is asked for."""
MODELS = ("claude-sonnet-4-6", "claude-haiku-4-5-20251001")
_ENDINGS = {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
_ERROR_TYPES = {
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def read(body: Mapping[str, Any]) -> Prompt:
    """Read a request for a message; raises ``BadRequest``."""
    messages = required(body, "messages", list, "a list of messages")
    max_tokens = optional_count(body, "max_tokens")
    if max_tokens is None:
        raise BadRequest("max_tokens: Field required")
    parts = [Part(json.dumps(tool), _is_marked(tool)) for tool in body.get("tools") or ()]
    system = list(_parts(body.get("system")))
    parts += system
    user = ""
    results: list[str] = []
    called: list[str] = []
    for message in messages:
        if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant"):
            raise BadRequest(f"messages: an object with the role user or assistant is required, not {message!r:.60}")
        content = message.get("content")
        parts += _parts(content)
        blocks = [block for block in content if isinstance(block, Mapping)] if isinstance(content, list) else []
        called += [str(block.get("name")) for block in blocks if block.get("type") == "tool_use"]
        if message["role"] == "user":
            answers = [block for block in blocks if block.get("type") == "tool_result"]
            results += ["\n".join(texts_in(block)) for block in answers]
            if not answers:
                user, results, called = "\n".join(texts_in(content)), [], []
    return Prompt(
        provider=PROVIDER,
        model=body["model"],
        parts=tuple(parts),
        instructions="\n".join(part.text for part in system),
        user=user,
        max_tokens=max_tokens,
        results=tuple(results),
        tools=tuple(_tools(body)),
        tool_choice=_tool_choice(body.get("tool_choice")),
        called=tuple(called),
        streamed=bool(body.get("stream")),
    )


def complete(number: int, prompt: Prompt, content: Content, usage: Usage) -> dict[str, Any]:
    """A whole answer."""
    block: dict[str, Any] = {"type": "text", "text": content.text}
    if content.tool is not None:
        block = _tool_use(number, content.tool, json.loads(content.text))
    return _message(number, prompt) | {
        "content": [block],
        "stop_reason": _ENDINGS[content.ending],
        "usage": _usage(usage, usage.output_tokens),
    }


def stream(number: int, prompt: Prompt, content: Content, usage: Usage) -> Iterator[Event]:
    """The same answer, streamed."""
    yield _event("message_start", {"message": _message(number, prompt) | {"usage": _usage(usage, 0)}})
    if content.tool is None:
        block, kind, key = {"type": "text", "text": ""}, "text_delta", "text"
    else:
        block, kind, key = _tool_use(number, content.tool, {}), "input_json_delta", "partial_json"
    yield _event("content_block_start", {"index": 0, "content_block": block}, len(content.tool or ""))
    yield _event("ping", {})
    for piece in pieces(content.text):
        yield _event("content_block_delta", {"index": 0, "delta": {"type": kind, key: piece}}, len(piece))
    yield _event("content_block_stop", {"index": 0})
    ending = {"stop_reason": _ENDINGS[content.ending], "stop_sequence": None}
    yield _event("message_delta", {"delta": ending, "usage": _counts(usage, usage.output_tokens)})
    yield _event("message_stop", {})


def error(number: int, status: int, message: str) -> dict[str, Any]:
    """The body of an answer that is an error."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": f"req_{number:08d}"}


def models() -> dict[str, Any]:
    """The list of models; others are answered, too."""
    created = "2025-09-29T00:00:00Z"
    data = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in MODELS]
    return {"data": data, "first_id": MODELS[0], "last_id": MODELS[-1], "has_more": False}


def _message(number: int, prompt: Prompt) -> dict[str, Any]:
    return {
        "id": f"msg_{number:08d}",
        "type": "message",
        "role": "assistant",
        "model": SNAPSHOTS.get(prompt.model, prompt.model),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(number: int, name: str, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number:08d}", "name": name, "input": given}


def _counts(usage: Usage, output: int) -> dict[str, Any]:
    """Anthropic's input leaves out what was read from and written to the cache."""
    return {
        "input_tokens": usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": output,
    }


def _usage(usage: Usage, output: int) -> dict[str, Any]:
    written = {"ephemeral_5m_input_tokens": usage.cache_write_tokens, "ephemeral_1h_input_tokens": 0}
    return _counts(usage, output) | {"cache_creation": written, "service_tier": "standard"}


def _event(name: str, data: Mapping[str, Any], characters: int = 0) -> Event:
    return Event(b"event: %s\ndata: %s\n\n" % (name.encode(), json.dumps({"type": name, **data}).encode()), characters)


def _parts(content: Any) -> Iterator[Part]:
    """The texts of a content as parts; a part ends where cache_control stands."""
    if isinstance(content, str):
        yield Part(content)
    for block in content if isinstance(content, list) else ():
        text = "\n".join(texts_in(block))
        if isinstance(block, Mapping) and block.get("type") == "tool_use":
            text = f"{block.get('name')}{json.dumps(block.get('input'))}"
        yield Part(text, _is_marked(block))


def _is_marked(block: Any) -> bool:
    return isinstance(block, Mapping) and isinstance(block.get("cache_control"), Mapping)


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
            raise BadRequest(f"tools: an object with a name is required, not {tool!r:.60}")
        yield Tool(tool["name"], tool.get("input_schema") or {})


def _tool_choice(given: Any) -> str:
    if not isinstance(given, Mapping):
        return "auto"
    return str(given.get("name")) if given.get("type") == "tool" else str(given.get("type"))
