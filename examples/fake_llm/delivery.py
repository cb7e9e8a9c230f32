"""Sends an answer at its pace, and sees when the client goes away.

Imports ``ledger`` and the ASGI types of Starlette.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import Message, Receive, Scope, Send

from fake_llm.ledger import Bill, Usage

_NOTHING = Usage()


class Connections(Protocol):
    """What an ASGI server does not tell: the connections that requests came on."""

    def is_open(self, scope: Scope) -> bool:
        """Whether a request's connection is still there, as far as the server has seen."""

    def close(self, scope: Scope) -> None:
        """Close a request's connection, at once and without a word."""


@dataclass(frozen=True, slots=True)
class Event:
    """A piece of a streamed answer: what is sent, and how many characters of the answer it adds."""

    data: bytes
    characters: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: what is billed for it, all or up to a number of characters, and how long it takes.

    ``first_seconds`` pass before its first token, ``character_seconds`` for each character.
    """

    usage: Usage
    usage_until: Callable[[int], Usage]
    first_seconds: float
    character_seconds: float


async def is_gone_within(receive: Receive, seconds: float) -> bool:
    """Wait so long, or until the client has gone; whether it has."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        # The loop runs timers before what it learns of sockets: let it look once more.
        await asyncio.sleep(0)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Reply:
    """An ASGI response of one piece, after a while."""

    bill: Bill
    connections: Connections
    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: Usage = _NOTHING
    seconds: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that goes away before is billed for nothing."""
        try:
            if await is_gone_within(receive, self.seconds) or not self.connections.is_open(scope):
                return
            data = json.dumps(self.body).encode()
            await send(_start(self.status, "application/json", self.headers, len(data)))
            await send({"type": "http.response.body", "body": data})
            if self.status < 400:
                self.bill.succeeded(self.usage)
            else:
                self.bill.failed(str(self.status))
        finally:
            self.bill.aborted(_NOTHING)  # unless settled


@dataclass(frozen=True, slots=True)
class Stream:
    """An ASGI response that is sent piece by piece, as server-sent events."""

    bill: Bill
    connections: Connections
    answer: Answer
    events: Iterator[Event]
    headers: Mapping[str, str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that goes away is billed for the input, and for what was sent by then."""
        answer = self.answer
        billed = _NOTHING
        characters = 0
        loop = asyncio.get_running_loop()
        try:
            begun = loop.time()
            if await is_gone_within(receive, answer.first_seconds):
                return
            await send(_start(200, "text/event-stream; charset=utf-8", self.headers))
            for event in self.events:
                due = begun + answer.first_seconds + characters * answer.character_seconds
                gone = await is_gone_within(receive, due - loop.time())
                # Both may come at once; what is sent after the client has gone is not to be billed.
                if gone or not self.connections.is_open(scope):
                    return
                await send({"type": "http.response.body", "body": event.data, "more_body": True})
                characters += event.characters
                billed = answer.usage_until(characters)
            await send({"type": "http.response.body", "body": b""})
            self.bill.succeeded(answer.usage)
        finally:
            self.bill.aborted(billed)  # unless settled


@dataclass(frozen=True, slots=True)
class Closed:
    """No response at all: the connection is closed."""

    bill: Bill
    connections: Connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close it."""
        self.bill.failed("closed")
        self.connections.close(scope)
        while (await receive())["type"] != "http.disconnect":
            pass


def _start(status: int, content_type: str, headers: Mapping[str, str], length: int | None = None) -> Message:
    fields = [(b"content-type", content_type.encode())]
    fields += [(name.encode(), value.encode()) for name, value in headers.items()]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": status, "headers": fields}
