"""What has a beginning and an end: context managers that are decorators too, for every kind of function.

A span never changes the result or the exception of what it surrounds; its own faults are counted as internal. One
object is one use, in one task or thread at a time; as a decorator it is a template, copied for each call. Imports the
standard library and ``runtime``.
"""

import functools
import inspect
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from copy import copy
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from genai_metrics import runtime

P = ParamSpec("P")
R = TypeVar("R")


class Span:
    """Base of what times a block of code; subclasses say what to record.

    ``began`` is ``time.perf_counter()`` at the start. A span that a child process leaves, forked in between, is its
    parent's: nothing is recorded then.
    """

    began: float = 0.0
    _process: int = 0
    _token: Any = None

    def _begin(self) -> None:
        """Record that it has begun; may raise."""

    def _end(self, seconds: float, error: BaseException | None) -> None:
        """Record that it has ended after ``seconds``, with or without an exception; may raise."""
        raise NotImplementedError

    def _activate(self) -> Any:
        """Make the code that runs from now on part of the span; returns what ``_deactivate`` wants."""

    def _deactivate(self, token: Any) -> None:
        """End what ``_activate`` began."""

    def start(self) -> None:
        """Begin without becoming current."""
        self._process = os.getpid()
        try:
            self._begin()
        except Exception as error:
            runtime.internal_fault(error)
        self.began = time.perf_counter()

    def finish(self, error: BaseException | None = None) -> None:
        """End what ``start`` began."""
        seconds = time.perf_counter() - self.began
        if os.getpid() != self._process:
            return
        try:
            self._end(seconds, error)
        except Exception as fault:
            runtime.internal_fault(fault)

    def __enter__(self) -> Self:
        self.start()
        self._token = self._activate()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deactivate(self._token)
        self.finish(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return ``function`` surrounded by a span of its own at each call.

        Of a generator, sync or async, the span lasts from the first step to the end, the consumer's pauses included.
        """
        if inspect.isasyncgenfunction(function):
            return self._around_async_generator(function)
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
                with copy(self):
                    return await function(*args, **kwargs)

            return awaited  # type: ignore[return-value]

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            with copy(self):
                return function(*args, **kwargs)

        return called

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """Run one step of a generator as part of the span: between steps the context is the consumer's."""
        token = self._activate()
        try:
            return step(*arguments)
        finally:
            self._deactivate(token)

    def _around_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def generated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            span = copy(self)
            inner = function(*args, **kwargs)
            span.start()
            step, argument = inner.send, None
            try:
                while True:
                    item = span._step(step, argument)
                    try:
                        argument = yield item
                        step = inner.send
                    except BaseException as error:  # GeneratorExit too: what to make of it is the generator's affair
                        step, argument = inner.throw, error
            except StopIteration as stop:
                span.finish()
                return stop.value
            except GeneratorExit:  # the consumer has seen enough
                span.finish()
                raise
            except BaseException as error:
                span.finish(error)
                raise

        return generated

    def _around_async_generator(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def generated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            span = copy(self)
            inner = function(*args, **kwargs)
            span.start()
            step, argument = inner.asend, None
            try:
                while True:
                    token = span._activate()
                    try:
                        item = await step(argument)
                    finally:
                        span._deactivate(token)
                    try:
                        argument = yield item
                        step = inner.asend
                    except BaseException as error:
                        step, argument = inner.athrow, error
            except StopAsyncIteration:
                span.finish()
            except GeneratorExit:
                span.finish()
                raise
            except BaseException as error:
                span.finish(error)
                raise

        return generated
