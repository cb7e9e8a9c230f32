"""A server on loopback that speaks OpenAI's and Anthropic's wire formats; what it does is chosen by the model's name.

Models: anything is answered; ``tool`` calls one; ``status-429`` and the like fail; ``flaky`` fails at every other
request with 503; ``slow`` answers when the server stops; ``broken`` breaks off in the middle; ``silent`` reports no
usage; ``counting`` reports it with every part of a stream.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ["Hello", ", ", "wor", "ld!"]
CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "prompt_tokens_details": {"cached_tokens": 400},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
RESPONSE_USAGE = {
    "input_tokens": 1000,
    "output_tokens": 50,
    "total_tokens": 1050,
    "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 20},
}
MESSAGE_USAGE = {
    "input_tokens": 100,
    "output_tokens": 50,
    "cache_read_input_tokens": 700,
    "cache_creation_input_tokens": 200,
}
Event = tuple[str | None, dict[str, Any]]


class Server(ThreadingHTTPServer):
    """The server; ``requests`` counts what came in."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.stopping = threading.Event()
        self.requests = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: many tests do."""


@contextmanager
def running() -> Iterator[Server]:
    """A server while the block runs."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """Answer as the model's name says."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests += 1
        model = body["model"]
        if model == "slow":
            self.server.stopping.wait(60)
            return
        if model == "flaky" and self.server.requests % 2:
            model = "status-503"
        if model.startswith("status-"):
            error = {"type": "some_error", "message": "no"}
            self._json({"type": "error", "error": error}, status=int(model.removeprefix("status-")))
            return
        path = self.path.partition("?")[0]
        answer, events = WIRE[path.removeprefix("/v1")](body)
        if body.get("stream"):
            self._stream(events, broken=model == "broken", ends_with_done=not path.endswith("/messages"))
        else:
            self._json(answer)

    def _json(self, answer: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, events: list[Event], *, broken: bool, ends_with_done: bool) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        lines = [(f"event: {name}\n" if name else "") + f"data: {json.dumps(data)}\n\n" for name, data in events]
        if ends_with_done:
            lines.append("data: [DONE]\n\n")
        for line in lines[: len(lines) // 2] if broken else lines:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line.encode()))
        if broken:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")


def _chat(body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    model = body["model"]
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
    message: dict[str, Any] = {"role": "assistant", "content": "".join(WORDS), "refusal": None}
    if model == "tool":
        message |= {"content": None, "tool_calls": [call]}
    base = {"id": "x", "created": 1, "model": f"{model}-2024"}
    finish = "tool_calls" if model == "tool" else "stop"
    answer = {
        **base,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
    }
    if model != "silent":
        answer["usage"] = CHAT_USAGE
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"tool_calls": [{"index": 0, **call}]}] if model == "tool" else [{"content": word} for word in WORDS]
    chunk = {**base, "object": "chat.completion.chunk"}
    events: list[Event] = [
        (None, {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas
    ]
    events.append((None, {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    if model == "counting":
        for number, (_, part) in enumerate(events):
            part["usage"] = {"prompt_tokens": 1000, "completion_tokens": 10 * (number + 1)}
    if body.get("stream_options", {}).get("include_usage"):
        events.append((None, {**chunk, "choices": [], "usage": CHAT_USAGE}))
    return answer, events


def _responses(body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    text = {"type": "output_text", "text": "".join(WORDS), "annotations": []}
    item = {"type": "message", "id": "m", "status": "completed", "role": "assistant", "content": [text]}
    answer = {
        "id": "r",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": body["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE,
    }
    started = {**answer, "status": "in_progress", "output": [], "usage": None}
    events: list[Event] = [("response.created", {"type": "response.created", "response": started})]
    for word in WORDS:
        place = {"item_id": "m", "output_index": 0, "content_index": 0, "logprobs": []}
        events.append(("response.output_text.delta", {"type": "response.output_text.delta", "delta": word, **place}))
    events.append(("response.completed", {"type": "response.completed", "response": answer}))
    for number, (_, data) in enumerate(events):
        data["sequence_number"] = number
    return answer, events


def _embeddings(body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return {"object": "list", "model": body["model"], "data": data, "usage": usage}, []


def _completions(body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    base = {"id": "x", "object": "text_completion", "created": 1, "model": body["model"]}
    choice = {"index": 0, "finish_reason": "stop", "logprobs": None}
    answer = {**base, "choices": [{**choice, "text": "".join(WORDS)}], "usage": CHAT_USAGE}
    return answer, [(None, {**base, "choices": [{**choice, "text": word}]}) for word in WORDS]


def _messages(body: dict[str, Any]) -> tuple[dict[str, Any], list[Event]]:
    tool = {"type": "tool_use", "id": "t", "name": "search", "input": {"q": 1}}
    is_tool = body["model"] == "tool"
    message = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [tool if is_tool else {"type": "text", "text": "".join(WORDS)}],
        "stop_reason": "tool_use" if is_tool else "end_turn",
        "stop_sequence": None,
        "usage": MESSAGE_USAGE,
    }
    begun = {**message, "content": [], "stop_reason": None, "usage": {**MESSAGE_USAGE, "output_tokens": 1}}
    block = {**tool, "input": {}} if is_tool else {"type": "text", "text": ""}
    deltas: list[dict[str, Any]] = (
        [{"type": "input_json_delta", "partial_json": '{"q": 1}'}]
        if is_tool
        else [{"type": "text_delta", "text": word} for word in WORDS]
    )
    ends = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    data: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": ends, "usage": {"output_tokens": 50}},
        {"type": "message_stop"},
    ]
    return message, [(each["type"], each) for each in data]


WIRE = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/embeddings": _embeddings,
    "/completions": _completions,
    "/messages": _messages,
}
