"""Tests that what is decorated behaves exactly as it does undecorated, and that every span ends once."""

import asyncio
import contextlib
import inspect
import os
import pickle
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_metrics import operation, workflow
from genai_metrics.context import current

if TYPE_CHECKING:
    from conftest import Metrics

ENDED = "genai_operation_duration_seconds_count"


class Failure(Exception):
    """An exception of the application."""


# Programs of a generator: what it does at each step; and of its consumer.
STEPS = st.lists(st.sampled_from(["yield", "raise", "return", "catch", "swallow", "again"]), max_size=5)
ASYNC_STEPS = STEPS.filter(lambda steps: "again" not in steps)  # CPython itself trips over those at its end
MOVES = st.lists(st.sampled_from(["next", "send", "throw", "throw_stop", "throw_exit", "close"]), max_size=7)


def generator_of(steps: list[str]) -> Callable[[], Generator[Any, Any, Any]]:
    """Return a generator function that carries out steps and tells what it received."""

    def program() -> Generator[Any, Any, Any]:
        received: list[object] = []
        for number, step in enumerate(steps):
            if step == "raise":
                raise Failure(number)
            if step == "return":
                return ("returned", number, tuple(received))
            try:
                received.append((yield (step, number, tuple(received))))
            except Failure as error:
                if step == "catch":
                    raise ValueError(number) from error
                if step not in ("swallow", "again"):
                    raise
                received.append("swallowed")
            except GeneratorExit:
                if step == "again":
                    yield "refuses to close"
                raise
        return ("end", tuple(received))

    return program


def described(error: BaseException) -> tuple[object, ...]:
    """Return what a consumer can see of an exception."""
    cause, context = error.__cause__, error.__context__
    return (
        type(error),
        getattr(error, "value", error.args),
        None if cause is None else described(cause),
        error.__suppress_context__,
        None if context is None else type(context),
    )


def drive(iterator: Generator[Any, Any, Any], moves: list[str]) -> list[object]:
    """Carry out a consumer's moves and return everything that it sees."""
    seen: list[object] = []
    for number, move in enumerate(moves):
        try:
            if move == "next":
                seen.append(next(iterator))
            elif move == "send":
                seen.append(iterator.send(None if not seen else number))
            elif move == "throw":
                seen.append(iterator.throw(Failure("thrown", number)))
            elif move == "throw_stop":
                seen.append(iterator.throw(StopIteration("thrown")))
            elif move == "throw_exit":
                seen.append(iterator.throw(GeneratorExit("thrown")))
            else:
                iterator.close()
                seen.append("closed")
        except BaseException as error:
            seen.append(described(error))
    with contextlib.suppress(RuntimeError):
        iterator.close()
    return seen


class TestGenerators:
    """send, throw, close and the return value."""

    @settings(max_examples=300, deadline=None)
    @given(steps=STEPS, moves=MOVES)
    def test_as_undecorated(self, steps: list[str], moves: list[str]) -> None:
        """The consumer cannot tell the difference, whatever either does."""
        program = generator_of(steps)
        assert drive(operation("x")(program)(), moves) == drive(program(), moves)

    @settings(max_examples=100, deadline=None)
    @given(steps=STEPS, moves=MOVES)
    def test_delegation(self, steps: list[str], moves: list[str]) -> None:
        """``yield from`` passes through it as through the original."""

        def outer(inner: Callable[[], Generator[Any, Any, Any]]) -> Generator[Any, Any, Any]:
            return (yield from inner())

        program = generator_of(steps)
        assert drive(outer(operation("x")(program)), moves) == drive(outer(program), moves)

    def test_a_generator_that_is_never_started_records_nothing(self, metrics: "Metrics") -> None:
        """It did nothing."""
        operation("x")(generator_of(["yield"]))().close()
        assert metrics.value(ENDED) == 0

    @pytest.mark.parametrize(
        ("end", "outcome"),
        [("exhaust", "success"), ("close", "success"), ("drop", "success"), ("throw", "error"), ("raise", "error")],
    )
    def test_is_recorded_once(self, metrics: "Metrics", end: str, outcome: str) -> None:
        """However it ends; a consumer that has seen enough is no failure."""
        generator = operation("x")(generator_of(["yield", "raise" if end == "raise" else "yield"]))()
        next(generator)
        with contextlib.suppress(Failure):
            if end == "close":
                generator.close()
                generator.close()
            elif end == "throw":
                generator.throw(Failure())
            elif end in ("exhaust", "raise"):
                list(generator)
        del generator
        assert metrics.value(ENDED, operation="x", outcome=outcome) == 1
        assert metrics.value(ENDED) == 1

    def test_context_is_the_consumers_between_steps(self, metrics: "Metrics") -> None:
        """Inside it is the workflow's, also when two generators take turns."""

        def modes() -> Generator[str, None, None]:
            while True:
                yield current.get().mode

        one, two = workflow(mode="1")(modes)(), workflow(mode="2")(modes)()
        assert [next(one), current.get().mode, next(two), current.get().mode, next(one), next(two)] == [
            "1",
            "default",
            "2",
            "default",
            "1",
            "2",
        ]
        one.close()
        two.close()
        assert metrics.value("genai_workflow_in_flight") == 0


async def async_generator_of(steps: list[str]) -> AsyncGenerator[Any, Any]:
    """Carry out steps, awaiting in between."""
    received: list[object] = []
    for number, step in enumerate(steps):
        await asyncio.sleep(0)
        if step == "raise":
            raise Failure(number)
        if step == "return":
            return
        try:
            received.append((yield (step, number, tuple(received))))
        except Failure as error:
            if step == "catch":
                raise ValueError(number) from error
            if step != "swallow":
                raise
            received.append("swallowed")


async def drive_async(iterator: AsyncGenerator[Any, Any], moves: list[str]) -> list[object]:
    """Carry out a consumer's moves and return everything that it sees."""
    seen: list[object] = []
    for number, move in enumerate(moves):
        try:
            if move == "next":
                seen.append(await anext(iterator))
            elif move == "send":
                seen.append(await iterator.asend(None if not seen else number))
            elif move == "throw":
                seen.append(await iterator.athrow(Failure("thrown", number)))
            elif move == "throw_stop":
                seen.append(await iterator.athrow(StopAsyncIteration("thrown")))
            elif move == "throw_exit":
                seen.append(await iterator.athrow(GeneratorExit("thrown")))
            else:
                await iterator.aclose()
                seen.append("closed")
        except BaseException as error:
            seen.append(described(error))
    with contextlib.suppress(RuntimeError):
        await iterator.aclose()
    return seen


class TestAsyncGenerators:
    """asend, athrow, aclose."""

    @settings(max_examples=200, deadline=None)
    @given(steps=ASYNC_STEPS, moves=MOVES)
    def test_as_undecorated(self, steps: list[str], moves: list[str]) -> None:
        """The consumer cannot tell the difference, whatever either does."""

        async def both() -> None:
            decorated = operation("x")(async_generator_of)
            assert await drive_async(decorated(steps), moves) == await drive_async(async_generator_of(steps), moves)

        asyncio.run(both())

    @pytest.mark.parametrize(
        ("end", "outcome"), [("exhaust", "success"), ("close", "success"), ("throw", "error"), ("raise", "error")]
    )
    def test_is_recorded_once(self, metrics: "Metrics", end: str, outcome: str) -> None:
        """However it ends."""

        async def consume() -> None:
            generator = operation("x")(async_generator_of)(["yield", "raise" if end == "raise" else "yield"])
            await anext(generator)
            with contextlib.suppress(Failure):
                if end == "close":
                    await generator.aclose()
                elif end == "throw":
                    await generator.athrow(Failure())
                else:
                    _ = [item async for item in generator]

        asyncio.run(consume())
        assert metrics.value(ENDED, operation="x", outcome=outcome) == 1
        assert metrics.value(ENDED) == 1


class TestFunctions:
    """Results, exceptions and appearance."""

    def test_results_are_the_same_objects(self, metrics: "Metrics") -> None:
        """Sync, async and methods; arguments too."""
        thing = object()

        class Service:
            @operation("x")
            def method(self, value: object, *, again: object = None) -> tuple[object, ...]:
                return self, value, again

        @operation("x")
        async def awaited(value: object) -> object:
            await asyncio.sleep(0)
            return value

        service = Service()
        assert service.method(thing, again=thing) == (service, thing, thing)
        assert asyncio.run(awaited(thing)) is thing
        assert metrics.value(ENDED, outcome="success") == 2

    @pytest.mark.parametrize("error", [Failure("x"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError()])
    def test_exceptions_are_the_same_objects(self, metrics: "Metrics", error: BaseException) -> None:
        """With their cause, and with the application's own frames in the traceback."""
        cause = ValueError("cause")

        @operation("x")
        def fails() -> None:
            raise error from cause

        with pytest.raises(type(error)) as caught:
            fails()
        assert caught.value is error
        assert error.__cause__ is cause
        assert [frame.name for frame in traceback.extract_tb(error.__traceback__)][-1] == "fails"
        assert metrics.value(ENDED, outcome="error") == 1

    def test_kinds_are_kept(self) -> None:
        """Frameworks ask for them; name, signature and documentation are the original's."""

        async def coroutine(a: int) -> None:
            """Wait."""

        decorate = operation("x")
        assert inspect.iscoroutinefunction(decorate(coroutine))
        assert inspect.isasyncgenfunction(decorate(async_generator_of))
        assert inspect.isgeneratorfunction(decorate(generator_of([])))
        assert (decorate(coroutine).__name__, decorate(coroutine).__doc__) == ("coroutine", "Wait.")
        assert inspect.signature(decorate(coroutine)) == inspect.signature(coroutine)

    def test_recursion_and_threads_have_spans_of_their_own(self, metrics: "Metrics") -> None:
        """The decorator is a template."""

        @operation("x")
        def down(depth: int) -> int:
            return 0 if depth == 0 else 1 + down(depth - 1)

        assert down(10) == 10
        assert metrics.value(ENDED) == 11

    def test_module_level_functions_can_be_pickled(self) -> None:
        """For multiprocessing, by name as ever."""
        assert pickle.loads(pickle.dumps(picklable)) is picklable


@operation("x")
def picklable() -> None:
    """Do nothing."""


class TestFork:
    """A child that is forked inside a span."""

    def test_the_span_is_the_parents(self, metrics: "Metrics", run_python: Callable[..., str]) -> None:
        """The child records nothing for it; what it does itself it records."""
        out = run_python(
            """
            import os, sys
            from genai_metrics import operation, workflow
            from genai_metrics.testing import sample
            ended, in_flight = "genai_workflow_duration_seconds_count", "genai_workflow_in_flight"
            with workflow(mode="1"):
                with operation("outer"):
                    child = os.fork()
                if not child:
                    with operation("own"):
                        pass
            found = [sample(ended), sample(in_flight), sample("genai_operation_duration_seconds_count")]
            if not child:
                os._exit(0 if found == [0, 0, 1] else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found)
            """
        )
        assert out == "0 [1.0, 0.0, 1.0]\n"


class TestFaults:
    """What goes wrong inside."""

    def test_a_broken_span_changes_nothing(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """It is counted as an internal fault; result and exception are the application's."""

        def broken(*_: object) -> None:
            raise RuntimeError("ours")

        monkeypatch.setattr(operation, "_begin", broken)
        monkeypatch.setattr(operation, "_end", broken)
        assert operation("x")(lambda: 42)() == 42
        error = Failure()
        with pytest.raises(Failure) as caught, operation("x"):
            raise error
        assert caught.value is error
        assert caught.value.__context__ is None
        assert list(operation("x")(generator_of(["yield"]))()) == [("yield", 0, ())]
        assert metrics.faults() == {"internal": 6.0}

    def test_leaving_in_another_process_id(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """Only the process that began a span ends it."""
        with operation("x"):
            monkeypatch.setattr(os, "getpid", lambda: -1)
        monkeypatch.undo()
        assert metrics.value(ENDED) == 0
