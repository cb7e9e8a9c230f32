"""OpenAI's wire format: chat completions, whole and streamed, embeddings, models, errors.

As in https://platform.openai.com/docs/api-reference. Imports ``answers``, ``delivery`` and ``prompts``.
"""

import base64
import json
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fake_llm.answers import Content
from fake_llm.delivery import Event
from fake_llm.embeddings import embed
from fake_llm.ledger import Usage
from fake_llm.prompts import BadRequest, Part, Prompt, Tool, optional_count, required, texts_in, tokens_of
from fake_llm.wording import pieces

PROVIDER = "openai"
SNAPSHOTS = {"gpt-4o": "gpt-4o-2024-08-06", "gpt-4o-mini": "gpt-4o-mini-2024-07-18", "o4-mini": "o4-mini-2025-04-16"}
"""What the API calls itself in its answers, for some of the names that it is asked for."""
MODELS = ("gpt-4o", "gpt-4o-mini", "o4-mini", "text-embedding-3-small")
_ENDINGS = {"stop": "stop", "length": "length", "tool": "tool_calls"}
_ERROR_TYPES = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def read(body: Mapping[str, Any]) -> Prompt:
    """Read a chat request; raises ``BadRequest``."""
    messages = required(body, "messages", list, "a list of messages")
    if body.get("n") not in (None, 1):
        raise BadRequest(f"n: only 1 answer is given here, not {body['n']!r:.60}")
    tools = tuple(_tools(body))
    parts = [Part(json.dumps(tool)) for tool in body.get("tools") or ()]
    instructions: list[str] = []
    user = ""
    results: list[str] = []
    called: list[str] = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise BadRequest(f"messages: an object with a role is required, not {message!r:.60}")
        text = "\n".join(texts_in(message.get("content")))
        parts.append(Part(text))
        match message["role"]:
            case "system" | "developer":
                instructions.append(text)
            case "user":
                user, results, called = text, [], []
            case "tool":
                results.append(text)
            case _:
                for call in message.get("tool_calls") or ():
                    function = call["function"]
                    parts.append(Part(function["name"] + function["arguments"]))
                    called.append(function["name"])
    stream_options = body.get("stream_options") or {}
    return Prompt(
        provider=PROVIDER,
        model=body["model"],
        parts=tuple(parts),
        instructions="\n".join(instructions),
        user=user,
        max_tokens=optional_count(body, "max_completion_tokens", "max_tokens"),
        results=tuple(results),
        tools=tools,
        tool_choice=_tool_choice(body.get("tool_choice")),
        called=tuple(called),
        schema=_schema(body.get("response_format")),
        effort=str(body.get("reasoning_effort") or "medium"),
        streamed=bool(body.get("stream")),
        usage_wanted=bool(stream_options.get("include_usage")),
    )


def complete(number: int, prompt: Prompt, content: Content, usage: Usage) -> dict[str, Any]:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": content.text, "refusal": None, "annotations": []}
    if content.tool is not None:
        call = {"id": f"call_{number:08d}", "type": "function"}
        message["content"] = None
        message["tool_calls"] = [call | {"function": {"name": content.tool, "arguments": content.text}}]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _ENDINGS[content.ending]}
    return _envelope(number, prompt, "chat.completion") | {"choices": [choice], "usage": _usage(usage)}


def stream(number: int, prompt: Prompt, content: Content, usage: Usage) -> Iterator[Event]:
    """The same answer, streamed."""
    envelope = _envelope(number, prompt, "chat.completion.chunk")
    if prompt.usage_wanted:
        envelope["usage"] = None

    def chunk(delta: dict[str, Any], characters: int = 0, ending: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ending}
        return _event(envelope | {"choices": [choice]}, characters)

    if content.tool is None:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
        for piece in pieces(content.text):
            yield chunk({"content": piece}, len(piece))
    else:
        call = {"index": 0, "id": f"call_{number:08d}", "type": "function"}
        function = {"name": content.tool, "arguments": ""}
        delta = {"role": "assistant", "content": None, "tool_calls": [call | {"function": function}]}
        yield chunk(delta, len(content.tool))
        for piece in pieces(content.text):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, len(piece))
    yield chunk({}, ending=_ENDINGS[content.ending])
    if prompt.usage_wanted:
        yield _event(envelope | {"choices": [], "usage": _usage(usage)})
    yield Event(b"data: [DONE]\n\n")


def error(number: int, status: int, message: str) -> dict[str, Any]:
    """The body of an answer that is an error."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": _CODES.get(status)}}


def models() -> dict[str, Any]:
    """The list of models; others are answered, too."""
    data = [{"id": name, "object": "model", "created": 1715367049, "owned_by": "fake_llm"} for name in MODELS]
    return {"object": "list", "data": data}


def read_embedding(body: Mapping[str, Any]) -> tuple[list[str], int]:
    """The texts to embed, and the number of their tokens; raises ``BadRequest``."""
    given = body.get("input")
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and given and all(isinstance(token, int) for token in given):
        given = [given]
    if not isinstance(given, list) or not given or not all(given):
        raise BadRequest("input: a text, a list of texts or of tokens is required, none of them empty")
    texts, count = [], 0
    for each in given:
        if isinstance(each, str):
            texts.append(each)
            count += tokens_of(len(each))
        elif isinstance(each, list) and all(isinstance(token, int) for token in each):
            texts.append(" ".join(f"token{token}" for token in each))
            count += len(each)
        else:
            raise BadRequest(f"input: a text or a list of tokens is required, not {each!r:.60}")
    return texts, count


def embeddings(body: Mapping[str, Any], texts: Sequence[str], tokens: int) -> dict[str, Any]:
    """The answer to a request for embeddings; raises ``BadRequest``."""
    size = optional_count(body, "dimensions") or (3072 if "large" in body["model"] else 1536)
    data = [
        {"object": "embedding", "index": index, "embedding": _encoded(embed(text, size), body.get("encoding_format"))}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}


def _encoded(vector: "array[float]", encoding: Any) -> str | list[float]:
    return base64.b64encode(vector.tobytes()).decode() if encoding == "base64" else vector.tolist()


def _envelope(number: int, prompt: Prompt, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{number:08d}",
        "object": kind,
        "created": int(time.time()),
        "model": SNAPSHOTS.get(prompt.model, prompt.model),
        "service_tier": "default",
        "system_fingerprint": "fp_fake_llm",
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _event(data: Mapping[str, Any], characters: int = 0) -> Event:
    return Event(b"data: %s\n\n" % json.dumps(data).encode(), characters)


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    for tool in body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise BadRequest(f"tools: an object with a function that has a name is required, not {tool!r:.60}")
        yield Tool(function["name"], function.get("parameters") or {})


def _tool_choice(given: Any) -> str:
    if isinstance(given, Mapping):
        return str((given.get("function") or {}).get("name", "auto"))
    return {"none": "none", "required": "any"}.get(given or "auto", "auto")


def _schema(given: Any) -> Mapping[str, Any] | None:
    if not isinstance(given, Mapping) or given.get("type") in (None, "text"):
        return None
    found = (given.get("json_schema") or {}).get("schema")
    return found if isinstance(found, Mapping) else {}
