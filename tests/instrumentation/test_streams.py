"""Tests of ``call.stream(...)``: chunks pass unchanged, and each way to end is recorded once and right."""

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics import llm_call

if TYPE_CHECKING:
    from conftest import Metrics

CALLS = "genai_llm_calls_total"
INPUT = "genai_llm_input_tokens_total"
OUTPUT = "genai_llm_output_tokens_total"
FIRST = "genai_llm_time_to_first_token_seconds"
DURATION = "genai_llm_call_duration_seconds"
ESTIMATED = "genai_llm_estimated_usage_calls_total"
IN_FLIGHT = "genai_llm_calls_in_flight"


def delta(text: str) -> dict[str, Any]:
    """A chunk as OpenAI sends it."""
    return {"model": "full", "choices": [{"delta": {"content": text}}]}


CHUNKS = [
    delta(""),
    delta("Hello"),
    delta("you"),
    {"model": "full", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 5}},
]


class Source:
    """A stream like the libraries': iterable both ways, to be closed, with attributes."""

    def __init__(self, chunks: list[Any], error: BaseException | None = None, pause: float = 0.0) -> None:
        self.chunks, self.error, self.pause = iter(chunks), error, pause
        self.closed = 0
        self.response = object()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self.pause:
            time.sleep(self.pause)
        for chunk in self.chunks:
            return chunk
        if self.error is not None:
            raise self.error
        raise StopIteration

    def close(self) -> str:
        """Count it."""
        self.closed += 1
        return "closed"

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


async def asynchronous(source: Source) -> AsyncIterator[Any]:
    """The same as an async generator."""
    for chunk in source:
        yield chunk


def once(metrics: "Metrics", outcome: str = "success") -> None:
    """Exactly one call was recorded, and none is in flight."""
    assert metrics.value(CALLS, outcome=outcome) == metrics.value(CALLS) == 1
    assert metrics.value(DURATION + "_count") == 1
    assert metrics.value(IN_FLIGHT) == 0


class TestRead:
    """Streams that are read to the end."""

    def test_chunks_are_the_same_objects(self, metrics: "Metrics") -> None:
        """Nothing is copied, left out or added."""
        with llm_call(model="full") as call:
            seen = list(call.stream(Source(CHUNKS)))
        assert all(a is b for a, b in zip(seen, CHUNKS, strict=True))
        once(metrics)
        assert metrics.value(INPUT) == 1000
        assert metrics.value(OUTPUT) == 5
        assert metrics.value(FIRST + "_count") == metrics.value("genai_llm_time_per_output_token_seconds_count") == 1
        assert metrics.value(ESTIMATED) == 0
        assert metrics.faults() == {}

    def test_async(self, metrics: "Metrics") -> None:
        """The same with ``async for``."""

        async def main() -> list[Any]:
            async with llm_call(model="full") as call:
                return [chunk async for chunk in call.stream(asynchronous(Source(CHUNKS)))]

        assert all(a is b for a, b in zip(asyncio.run(main()), CHUNKS, strict=True))
        once(metrics)
        assert metrics.value(INPUT) == 1000
        assert metrics.value(FIRST + "_count") == 1

    def test_first_token_is_the_first_content(self, metrics: "Metrics") -> None:
        """The first chunk is empty, and comes half-way."""
        with llm_call(model="full") as call:
            for _ in call.stream(Source(CHUNKS[:2], pause=0.05)):
                pass
        assert metrics.value(FIRST + "_sum") >= 0.1
        assert metrics.value(DURATION + "_sum") >= 0.15

    def test_duration_ends_with_the_stream(self, metrics: "Metrics") -> None:
        """Not with the block."""
        with llm_call(model="full") as call:
            list(call.stream(Source(CHUNKS)))
            time.sleep(0.2)
        assert metrics.value(DURATION + "_sum") < 0.2

    def test_unknown_chunks(self, metrics: "Metrics") -> None:
        """The first one is taken for content."""
        with llm_call(model="full") as call:
            list(call.stream([b"a", object()]))
        once(metrics)
        assert metrics.value(FIRST + "_count") == 1

    def test_text_chunks(self, metrics: "Metrics") -> None:
        """Plain text is estimated."""
        with llm_call(model="full") as call:
            list(call.stream(["", "abcd", "efgh"]))
        assert metrics.value(OUTPUT) == 2
        assert metrics.value(ESTIMATED) == 1

    def test_outlives_the_block(self, metrics: "Metrics") -> None:
        """Recorded when the stream ends, not when the block does."""

        def answer() -> Any:
            with llm_call(model="full") as call:
                return call.stream(Source(CHUNKS))

        stream = answer()
        assert metrics.value(CALLS) == 0
        assert metrics.value(IN_FLIGHT) == 1
        assert len(list(stream)) == 4
        once(metrics)
        assert metrics.value(INPUT) == 1000
        assert list(stream) == []
        once(metrics)


ANTHROPIC = [
    {
        "type": "message_start",
        "message": {
            "model": "full",
            "usage": {"input_tokens": 100, "output_tokens": 1, "cache_read_input_tokens": 700},
        },
    },
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 40}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x" * 40}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}},
    {"type": "message_stop"},
]
GOOGLE = [
    {
        "candidates": [{"content": {"parts": [{"text": "a"}]}}],
        "usage_metadata": {"prompt_token_count": 800, "candidates_token_count": count},
    }
    for count in (10, 50)
]
BEDROCK = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"delta": {"text": "x"}}},
    {"messageStop": {}},
    {"metadata": {"usage": {"inputTokens": 100, "outputTokens": 50, "cacheReadInputTokens": 700}}},
]
RESPONSES = [
    {"type": "response.created", "response": {"model": "full", "usage": None}},
    {"type": "response.output_text.delta", "delta": "x"},
    {"type": "response.completed", "response": {"usage": {"input_tokens": 800, "output_tokens": 50}}},
]


class TestProviders:
    """Where each provider puts usage and content."""

    @pytest.mark.parametrize("chunks", [ANTHROPIC, GOOGLE, BEDROCK, RESPONSES])
    def test_usage(self, metrics: "Metrics", chunks: list[Any]) -> None:
        """Exact tokens, input with the cache, and a first token."""
        with llm_call(model="full") as call:
            list(call.stream(chunks))
        assert metrics.value(INPUT) == 800
        assert metrics.value(OUTPUT) == 50
        assert metrics.value(FIRST + "_count") == 1
        assert metrics.value(ESTIMATED) == 0

    def test_anthropic_stopped_early(self, metrics: "Metrics") -> None:
        """The input is known from the beginning, the output so far is estimated."""
        with llm_call(model="full") as call:
            for chunk in call.stream(ANTHROPIC):
                if chunk["type"] == "content_block_delta":
                    break
        assert metrics.value(INPUT) == 800
        assert metrics.value(OUTPUT) == 10
        assert metrics.value(ESTIMATED) == 1

    def test_model(self, metrics: "Metrics") -> None:
        """The chunks' model is used when none was given."""
        with llm_call() as call:
            list(call.stream(ANTHROPIC))
        assert metrics.value(CALLS, model="full") == 1


class TestEndings:
    """Streams that are not read to the end."""

    def test_break(self, metrics: "Metrics") -> None:
        """A consumer that stops early: success, estimated from what came."""
        with llm_call(model="full") as call:
            for chunk in call.stream(Source(CHUNKS)):
                if chunk is CHUNKS[1]:
                    break
        once(metrics)
        assert metrics.value(OUTPUT) == 2
        assert metrics.value(ESTIMATED) == 1

    def test_break_while_held(self, metrics: "Metrics") -> None:
        """The stream is let go later: the call ended with the last chunk, however long that takes."""
        with llm_call(model="full") as call:
            stream = call.stream(Source(CHUNKS))
            for _ in stream:
                break
        assert metrics.value(CALLS) == 0
        time.sleep(0.2)
        del stream
        once(metrics)
        assert metrics.value(DURATION + "_sum") < 0.2

    def test_close(self, metrics: "Metrics") -> None:
        """Closing is passed on, with its result, and ends the call."""
        source = Source(CHUNKS)
        with llm_call(model="full") as call:
            stream = call.stream(source)
            next(stream)
            assert stream.close() == "closed"
        assert source.closed == 1
        once(metrics)

    def test_with(self, metrics: "Metrics") -> None:
        """A stream that is a context manager is entered and left."""
        source = Source(CHUNKS)
        with llm_call(model="full") as call, call.stream(source) as stream:
            next(stream)
        assert source.closed == 1
        once(metrics)

    def test_aclose(self, metrics: "Metrics") -> None:
        """Closing an async generator."""

        async def main() -> None:
            with llm_call(model="full") as call:
                stream = call.stream(asynchronous(Source(CHUNKS)))
                await anext(stream)
                await stream.aclose()

        asyncio.run(main())
        once(metrics)

    def test_exception_in_the_middle(self, metrics: "Metrics") -> None:
        """It goes on unchanged; what came until then is estimated."""
        error = ConnectionResetError("gone")
        with pytest.raises(ConnectionResetError) as raised, llm_call(model="full") as call:
            list(call.stream(Source(CHUNKS[:3], error)))
        assert raised.value is error
        once(metrics, "error")
        assert metrics.value("genai_llm_errors_total", error_type="ConnectionResetError") == 1
        assert metrics.value(OUTPUT) == 2

    def test_exception_that_is_caught(self, metrics: "Metrics") -> None:
        """A failed stream is a failed call, even when the block ends well."""
        with llm_call(model="full") as call:
            try:
                list(call.stream(Source(CHUNKS[:2], ConnectionResetError())))
            except ConnectionResetError:
                pass
        once(metrics, "error")

    def test_exception_of_the_consumer(self, metrics: "Metrics") -> None:
        """The block's exception is the call's."""

        def consume() -> None:
            with llm_call(model="full") as call:
                for _ in call.stream(Source(CHUNKS)):
                    raise KeyError

        with pytest.raises(KeyError):
            consume()
        once(metrics, "error")

    def test_never_consumed(self, metrics: "Metrics") -> None:
        """One call, without a first token."""
        with llm_call(model="full") as call:
            call.stream(Source(CHUNKS))
        once(metrics)
        assert metrics.value(FIRST + "_count") == 0

    def test_cancelled(self, metrics: "Metrics") -> None:
        """A task that is cancelled while it waits for a chunk."""

        async def endless() -> AsyncIterator[str]:
            yield "a"
            await asyncio.Event().wait()

        async def consume() -> None:
            async with llm_call(model="full") as call:
                async for _ in call.stream(endless()):
                    begun.set()

        begun = asyncio.Event()

        async def main() -> None:
            task = asyncio.create_task(consume())
            await begun.wait()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(main())
        once(metrics, "error")
        assert metrics.value("genai_llm_errors_total", error_type="CancelledError") == 1

    def test_in_a_cycle(self, metrics: "Metrics") -> None:
        """A stream that only the garbage collector can let go is recorded by it."""
        with llm_call(model="full") as call:
            ring: list[Any] = [call.stream(Source(CHUNKS))]
            next(ring[0])
            ring.append(ring)
            del ring
        gc.collect()
        once(metrics)

    def test_forked_child_records_nothing(self, metrics: "Metrics") -> None:
        """The stream is its parent's, also where the child lets it go."""
        metrics.configure(files=True)
        with llm_call(model="full") as call:
            stream = call.stream(Source(CHUNKS))
        child = os.fork()
        if child == 0:
            del stream
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        list(stream)
        assert metrics.stored(CALLS) == 1


class TestTransparency:
    """The stand-in is like the stream."""

    def test_attributes(self, metrics: "Metrics") -> None:
        """They are the stream's own, missing ones too."""
        source = Source([])
        with llm_call() as call:
            stream = call.stream(source)
            assert stream.response is source.response
            with pytest.raises(AttributeError, match="Source"):
                _ = stream.missing

    def test_broken_token_counter(self, metrics: "Metrics") -> None:
        """A token counter that fails does not touch the chunks."""
        metrics.configure(token_counter=lambda model, text: 1 // 0)
        with llm_call(model="full") as call:
            assert list(call.stream(["abcd", "e"])) == ["abcd", "e"]
        assert metrics.value(OUTPUT) == 2
        assert metrics.faults() == {"internal": 1}

    @pytest.mark.parametrize("chunk", [{"choices": 7}, {"type": "message_start", "message": 1}, {"usage": {"x": []}}])
    def test_malformed_chunks(self, metrics: "Metrics", chunk: object) -> None:
        """Chunks that are not as the provider's pass all the same."""
        with llm_call(model="full") as call:
            assert list(call.stream([chunk])) == [chunk]
        once(metrics)
