"""Streamed answers: what is read from the chunks as they pass, and the stand-in that passes them on unchanged.

Neither changes a chunk, its order, or an exception. Imports ``texts`` and ``usage``.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from genai_metrics import runtime
from genai_metrics.texts import delta_text
from genai_metrics.usage import Usage, field, model_of, parsed, usage_of

Ended = Callable[[float, BaseException | None], None]
"""Told once: ``time.perf_counter()`` of the end, and the exception that ended it."""


class Reading:
    """What the chunks seen so far have said."""

    __slots__ = ("_raw", "_texts", "complete", "first", "last", "model", "usage")

    def __init__(self) -> None:
        self.first: float | None = None
        self.last = time.perf_counter()
        self.usage: Usage | None = None
        self.complete = False
        self.model: str | None = None
        self._texts: list[str] = []
        self._raw: dict[str, Any] = {}

    def see(self, chunk: Any) -> None:
        """Take note of a chunk; never raises."""
        self.last = time.perf_counter()
        try:
            text = delta_text(chunk)
            if text:
                self._texts.append(text)
            if self.first is None and text != "":
                self.first = self.last
            if isinstance(chunk, str | bytes):
                return
            if self.model is None:
                self.model = model_of(chunk) or model_of(field(chunk, "message")) or model_of(field(chunk, "response"))
            self._see_usage(chunk)
        except Exception as error:
            runtime.internal_fault(error)

    def text(self) -> str:
        """All text so far."""
        return "".join(self._texts)

    def _see_usage(self, chunk: Any) -> None:
        kind = field(chunk, "type")
        if kind in ("message_start", "message_delta"):  # Anthropic: what the end leaves out, the beginning has said
            found = field(field(chunk, "message") if kind == "message_start" else chunk, "usage")
            for name in (
                "input_tokens",
                "output_tokens",
                "cache_read_input_tokens",
                "cache_creation_input_tokens",
                "output_tokens_details",
            ):
                value = field(found, name)
                if value is not None:
                    self._raw[name] = value
            self.usage = parsed(self._raw)
            self.complete = kind == "message_delta"
            return
        if isinstance(kind, str) and kind.startswith("response."):
            chunk = field(chunk, "response")
        elif isinstance(chunk, dict) and "metadata" in chunk:  # Bedrock
            chunk = chunk["metadata"]
        if chunk is None:
            return
        if any(field(chunk, name) is not None for name in ("usage", "usage_metadata", "usageMetadata")):
            found = usage_of(chunk)
            if found is not None:
                self.usage, self.complete = found, True


class Observation:
    """One stream being read: tells its end once, whatever ends it; the last reference to go counts as an end.

    A stream that is let go without an end ended with its last chunk: when the garbage collector comes says nothing.
    """

    __slots__ = ("_ended", "busy", "reading")

    def __init__(self, reading: Reading, ended: Ended) -> None:
        self.reading = reading
        self.busy = False
        self._ended = [ended]

    def end(self, error: BaseException | None = None) -> None:
        """Say that it has ended now; later calls do nothing."""
        self._tell(time.perf_counter(), error)

    def closed(self) -> None:
        """Say that it was closed, unless that is part of reading on, whose end or exception is still to come."""
        if not self.busy:
            self.end()

    def _tell(self, when: float, error: BaseException | None) -> None:
        try:
            ended = self._ended.pop()  # one step: two threads cannot both succeed
        except IndexError:
            return
        try:
            ended(when, error)
        except Exception as fault:
            runtime.internal_fault(fault)

    def __del__(self) -> None:
        try:
            self._tell(self.reading.last, None)
        except Exception:  # at the end of the interpreter anything may be gone
            pass


class ObservedStream:
    """Stands in for a stream, sync or async: same chunks, same exceptions, same attributes."""

    __slots__ = ("__weakref__", "_iterator", "_leave", "_observation", "_stream")

    def __init__(self, stream: Any, observation: Observation) -> None:
        self._stream = stream
        self._iterator: Any = None
        self._observation = observation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __iter__(self) -> Self:
        if self._iterator is None:
            self._iterator = iter(self._stream)
        return self

    def __next__(self) -> Any:
        observation = self._observation
        if self._iterator is None:
            self._iterator = iter(self._stream)
        observation.busy = True
        try:
            chunk = next(self._iterator)
        except StopIteration:
            observation.end()
            raise
        except BaseException as error:
            observation.end(error)
            raise
        finally:
            observation.busy = False
        observation.reading.see(chunk)
        return chunk

    def __aiter__(self) -> Self:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return self

    async def __anext__(self) -> Any:
        observation = self._observation
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        observation.busy = True
        try:
            chunk = await anext(self._iterator)
        except StopAsyncIteration:
            observation.end()
            raise
        except BaseException as error:
            observation.end(error)
            raise
        finally:
            observation.busy = False
        observation.reading.see(chunk)
        return chunk

    def close(self) -> Any:
        """Close the stream, in the way and with the result that it has."""
        result = self._stream.close()
        if hasattr(result, "__await__"):
            return self._closing(result)
        self._observation.end()
        return result

    async def aclose(self) -> Any:
        """Close an async generator."""
        return await self._closing(self._stream.aclose())

    async def _closing(self, closing: Any) -> Any:
        try:
            return await closing
        finally:
            self._observation.end()

    def __enter__(self) -> Self:
        # What is entered may hand out another object, as Anthropic's stream managers do: that is then the stream.
        self._entered(self._stream.__enter__(), "__exit__")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        try:
            return self._leave(kind, error, traceback)
        finally:
            self._observation.end(error)

    async def __aenter__(self) -> Self:
        self._entered(await self._stream.__aenter__(), "__aexit__")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        try:
            return await self._leave(kind, error, traceback)
        finally:
            self._observation.end(error)

    def _entered(self, entered: Any, leave: str) -> None:
        self._leave = getattr(self._stream, leave)
        self._stream = entered
