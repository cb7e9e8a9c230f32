"""Clients that go away before the end: billed for what was sent, exactly."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
from fake_llm_process import FakeLlm, fake_llm
from servers import end

QUESTION: Any = [{"role": "user", "content": "How long do caches keep answers?"}]  # 32 characters: 8 tokens
OPENAI: Any = {"model": "gpt-4o-mini", "messages": QUESTION, "stream": True}
ANTHROPIC: Any = {"model": "claude-haiku-4-5", "messages": QUESTION, "max_tokens": 500}


def openai_piece(llm: FakeLlm) -> str:
    """Leave a stream by closing it."""
    with llm.openai() as client:
        stream = client.chat.completions.create(**OPENAI)
        piece = next(text for chunk in stream if (text := chunk.choices[0].delta.content))
        stream.close()
    return piece


def async_openai_piece(llm: FakeLlm) -> str:
    """Leave an asynchronous stream by being cancelled."""
    pieces: list[str] = []

    async def read() -> None:
        async with llm.async_openai() as client:
            async for chunk in await client.chat.completions.create(**OPENAI):
                pieces.append(chunk.choices[0].delta.content)
                if pieces[-1]:
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(read())
    return "".join(pieces)


def anthropic_piece(llm: FakeLlm) -> str:
    """Leave the block of a stream."""
    with llm.anthropic() as client, client.messages.stream(**ANTHROPIC) as stream:
        return next(iter(stream.text_stream))


def async_anthropic_piece(llm: FakeLlm) -> str:
    """Leave the block of an asynchronous stream."""

    async def read() -> str:
        async with llm.async_anthropic() as client, client.messages.stream(**ANTHROPIC) as stream:
            async for text in stream.text_stream:
                return text
        raise AssertionError("no text came")

    return asyncio.run(read())


class TestStreams:
    """Streams that are not read to their end."""

    @pytest.mark.parametrize("leave", [openai_piece, async_openai_piece, anthropic_piece, async_anthropic_piece])
    def test_are_billed_for_what_was_sent(self, llm: FakeLlm, leave: Callable[[FakeLlm], str]) -> None:
        """All of the input, and the one piece of text that was sent before the next one was due."""
        llm.set_fault("latency", factor=1, token_seconds=600)
        piece = leave(llm)
        assert piece
        (account,) = llm.accounts().values()
        assert (account["requests"], account["succeeded"], account["errors"], account["aborted"]) == (1, 0, {}, 1)
        billed = {"input_tokens": 8, "output_tokens": -(-len(piece) // 4)}
        assert billed.items() <= account.items()
        assert billed.items() <= account["aborted_tokens"].items()

    def test_are_billed_for_nothing_that_comes_after(self) -> None:
        """A server that finds the next piece due and the client gone at once does not bill the piece.

        The server stands still while the client reads all that was sent and goes, and until the next piece is due.
        """
        with fake_llm() as own:
            own.set_fault("latency", factor=0, token_seconds=0.2)
            with own.openai() as client:
                stream = client.chat.completions.create(**OPENAI)
                chunks = iter(stream)
                text = next(text for chunk in chunks if (text := chunk.choices[0].delta.content))
                own.process.send_signal(signal.SIGSTOP)
                received = b""
                connection: Any = stream.response.extensions["network_stream"].get_extra_info("socket")
                connection.settimeout(1.5)  # longer than a piece takes
                with contextlib.suppress(TimeoutError):
                    while True:
                        received += connection.recv(65536)
                stream.close()
            assert received.count(b'"content"') <= 1  # the piece that may have been sent before the server stood still
            own.process.send_signal(signal.SIGCONT)
            text += "".join(part.split(b'"')[0].decode() for part in received.split(b'"content": "')[1:])
            assert own.account("openai/gpt-4o-mini")["output_tokens"] == -(-len(text) // 4)

    def test_that_think_are_billed_for_their_thoughts(self, llm: FakeLlm) -> None:
        """What was thought before the first piece is billed with it."""
        llm.set_fault("latency", factor=0, token_seconds=600)
        with llm.openai() as client:
            stream = client.chat.completions.create(**OPENAI | {"model": "o4-mini", "max_completion_tokens": 64})
            next(iter(stream))
            stream.close()
        account = llm.account("openai/o4-mini")
        assert (account["reasoning_tokens"], account["output_tokens"]) == (64, 64)


class TestTimeouts:
    """Clients that give up before the first byte."""

    def test_pay_nothing(self, llm: FakeLlm) -> None:
        """Each attempt of the library is an aborted request of no tokens, streamed or not."""
        llm.set_fault("latency", add_seconds=600)
        with llm.openai(timeout=0.2, max_retries=1) as client, pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**OPENAI)
        with llm.anthropic(timeout=0.2) as other, pytest.raises(anthropic.APITimeoutError):
            other.messages.create(**ANTHROPIC)
        accounts = llm.accounts()
        assert [(each["requests"], each["aborted"], each["input_tokens"]) for each in accounts.values()] == [
            (1, 1, 0),
            (2, 2, 0),
        ]

    def test_in_mid_stream_pay_for_what_they_got(self, llm: FakeLlm) -> None:
        """A read timeout between two pieces is like any other way to leave."""
        llm.set_fault("latency", factor=0, token_seconds=600)
        pieces: list[Any] = []
        with llm.openai(timeout=3) as client:
            stream = client.chat.completions.create(**OPENAI)
            with pytest.raises(httpx.ReadTimeout):
                pieces.extend(chunk.choices[0].delta.content for chunk in stream)
        account = llm.account("openai/gpt-4o-mini")
        assert (account["aborted"], account["output_tokens"]) == (1, -(-len("".join(pieces)) // 4))


class TestEndOfTheServer:
    """A server that is told to end."""

    def test_ends_although_a_stream_is_open(self) -> None:
        """SIGTERM ends it with status 0 within its grace; the client sees its stream break off."""
        with fake_llm() as own:
            own.set_fault("latency", factor=0, token_seconds=600)
            with own.openai() as client:
                chunks = iter(client.chat.completions.create(**OPENAI))
                next(chunks)
                assert end(own.process) == 0  # type: ignore[arg-type]
                with pytest.raises(httpx.RemoteProtocolError):
                    list(chunks)

    def test_frees_its_port(self) -> None:
        """Another can listen there at once."""
        with fake_llm() as own:
            port = int(own.url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass
