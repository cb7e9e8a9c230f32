"""Tests that a call is added in one step, whoever else records, reads or changes the settings meanwhile."""

import dis
import importlib
import pkgutil
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType
from typing import TYPE_CHECKING

import pytest

import genai_metrics
from genai_metrics import runtime, track_llm_call
from genai_metrics.catalog import LLM_CALL, LLM_STREAM

if TYPE_CHECKING:
    from conftest import Metrics

# What may stand between the first and the last addition of a call. None of these runs Python code, lets another thread
# or a signal handler in, or allocates what the garbage collector counts, as long as the operands are exact floats,
# ints, memoryviews of doubles and objects with slots.
HARMLESS = (
    "LOAD_FAST",
    "LOAD_CONST",
    "LOAD_GLOBAL",
    "LOAD_ATTR",
    "STORE_FAST",
    "STORE_ATTR",
    "BINARY_OP",
    "BINARY_SUBSCR",
    "COMPARE_OP",
    "STORE_SUBSCR",
    "POP_JUMP_FORWARD",
    "POP_JUMP_IF",
    "JUMP_FORWARD",
    "TO_BOOL",
    "COPY",
    "SWAP",
    "POP_TOP",
    "NOP",
    "NOT_TAKEN",
    "CACHE",
    "EXTENDED_ARG",
)

WRITERS = {
    "genai_metrics.blocks.Block.add",
    "genai_metrics.blocks.Block.move",
    "genai_metrics.llm_calls.add_step",
    "genai_metrics.observations.observe_step",
    "genai_metrics.observations.set_step",
    "genai_metrics.observations.put_step",
    "genai_metrics.resources._set_in_use",
    "genai_metrics.traces.write_step",
}
"""Every function that writes into the values of a block."""


def code_objects(code: CodeType) -> Iterator[CodeType]:
    """Yield ``code`` and all that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from code_objects(constant)


def writes_values(code: CodeType) -> bool:
    """Whether a function stores into something that it got from an attribute called ``values``."""
    names = {(i.opname, i.argrepr if i.opname == "LOAD_ATTR" else "") for i in dis.get_instructions(code)}
    return {("LOAD_ATTR", "values"), ("STORE_SUBSCR", "")} <= names


def step(code: CodeType) -> list[str]:
    """Names of the instructions from the first touch of ``values`` to the last write, without a lock."""
    instructions = list(dis.get_instructions(code))
    start = next(i for i, each in enumerate(instructions) if (each.opname, each.argrepr) == ("LOAD_ATTR", "values"))
    # Where there is a branch for locks, the one without comes first and returns.
    returns = (i for i, each in enumerate(instructions) if i > start and each.opname.startswith("RETURN"))
    branch = instructions[start : next(returns)]
    last = max(
        i
        for i, each in enumerate(branch)
        if each.opname == "STORE_SUBSCR" or (each.opname, each.argval) == ("STORE_ATTR", "values")
    )
    return [each.opname for each in branch[: last + 1]]


def foreign(names: list[str]) -> list[str]:
    """Those of the instructions that must not be in a step."""
    return [name for name in names if not name.startswith(HARMLESS)]


@pytest.fixture(scope="module")
def writers() -> dict[str, CodeType]:
    """All functions of the package that write into blocks."""
    found = {}
    for module in pkgutil.walk_packages(genai_metrics.__path__, "genai_metrics."):
        if module.name.startswith("genai_metrics.yaml"):  # its values are YAML's
            continue
        loader = importlib.import_module(module.name).__spec__.loader  # type: ignore[union-attr]
        for code in code_objects(loader.get_code(module.name)):  # type: ignore[union-attr]
            if writes_values(code):
                found[f"{module.name}.{code.co_qualname}"] = code
    return found


class TestAdditionsAreOneStep:
    """The rule from which all else follows: nothing is called between the first and the last addition."""

    def test_writers_are_known(self, writers: dict[str, CodeType]) -> None:
        """A new function that writes into blocks has to be listed, and is then held to the rule."""
        assert set(writers) == WRITERS

    def test_nothing_is_called(self, writers: dict[str, CodeType]) -> None:
        """No call, no loop and no allocation of containers in the midst of a call's additions."""
        assert {name: bad for name, code in writers.items() if (bad := foreign(step(code)))} == {}

    @pytest.mark.parametrize(
        ("expression", "bad"),
        [("x", False), ("abs(x)", True), ("[x][0]", True), ("x[1:]", True), ("x if x else 0.0", False)],
    )
    def test_a_call_would_be_found(self, expression: str, bad: bool) -> None:
        """The check itself works."""
        source = (
            f"def f(self, x):\n values = self.values\n values[0] += 1.0\n values[1] += {expression}\n return abs(x)\n"
        )
        code = list(code_objects(compile(source, "", "exec")))[1]
        assert writes_values(code)
        assert bool(foreign(step(code))) is bad


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Have CPython switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
class TestThreads:
    """Many threads at once."""

    @pytest.mark.parametrize("files", [False, True], ids=["memory", "files"])
    def test_counts_are_exact(self, metrics: "Metrics", files: bool) -> None:
        """32 threads that record old and new series lose and double nothing."""
        metrics.configure(files=files)
        start = threading.Barrier(32)

        def work(number: int) -> None:
            start.wait()
            for i in range(300):
                track_llm_call(
                    model="gpt-4",
                    mode=f"m{i % 20}",
                    tenant=f"t{(i + number) % 50}",
                    input_tokens=3,
                    output_tokens=2,
                    cached_input_tokens=1,
                    duration=0.5,
                    time_to_first_token=0.1,
                    error_type="429" if i % 50 == 0 else None,
                )

        threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        calls = 32 * 300
        read = metrics.stored if files else metrics.value
        assert read("genai_llm_calls_total") == calls
        assert read("genai_llm_input_tokens_total") == 3 * calls
        assert read("genai_llm_time_to_first_token_seconds_count") == calls
        assert read("genai_tenant_requests_total") == calls
        assert read("genai_llm_errors_total") == 32 * 6
        assert read("genai_llm_cost_usd_total") == pytest.approx(calls * (3 * 30e-6 + 2 * 60e-6))
        assert metrics.faults() == {}

    def test_reader_never_sees_half_a_call(self, metrics: "Metrics") -> None:
        """Every snapshot of a block holds each call wholly or not at all, however often threads switch."""
        done = threading.Event()

        def work() -> None:
            while not done.is_set():
                track_llm_call(model="gpt-4", input_tokens=7, output_tokens=3, duration=0.5, time_to_first_token=0.25)

        track_llm_call(model="gpt-4", time_to_first_token=0.25)  # makes the blocks
        first = {block.kind.name: block.read() for block in runtime.recorder().blocks()}
        blocks = {block.kind.name: block for block in runtime.recorder().blocks()}
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        torn = 0
        sums = set()
        try:
            for _ in range(20_000):
                call = [a - b for a, b in zip(blocks["llm_call"].read(), first["llm_call"], strict=True)]
                calls = call[0]
                sums.add(calls)
                duration = LLM_CALL.offset("genai_llm_call_duration_seconds")
                tokens = LLM_CALL.offset("genai_llm_input_tokens_total")
                torn += sum(call[duration : tokens - 1]) != calls or call[tokens - 1] != 0.5 * calls
                torn += call[tokens] != 7 * calls or call[tokens + 1] != 3 * calls
                stream = [a - b for a, b in zip(blocks["llm_stream"].read(), first["llm_stream"], strict=True)]
                per_token = LLM_STREAM.offset("genai_llm_time_per_output_token_seconds")
                torn += sum(stream[: per_token - 1]) != sum(stream[per_token:-1])
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert torn == 0
        assert len(sums) > 20, "the writers did not get to run in between"

    def test_configure_while_threads_record(self, metrics: "Metrics") -> None:
        """Calls that come while the settings change, to files and back, are all somewhere."""
        done = threading.Event()
        made = [0] * 4

        def work(number: int) -> None:
            while not done.is_set():
                track_llm_call(model="gpt-4", mode=f"{number}-{made[number] % 40}", tenant="t", input_tokens=1)
                made[number] += 1

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for i in range(30):
            target = sum(made) + 50
            while sum(made) < target:
                done.wait(0.001)
            metrics.configure(label_caps={"mode": 1000 + i})
        metrics.configure(files=True, label_caps={"mode": 1000})
        done.set()
        for thread in threads:
            thread.join()
        track_llm_call(model="gpt-4", mode="last", tenant="t", input_tokens=1)
        assert metrics.stored("genai_llm_calls_total") == sum(made) + 1
        assert metrics.stored("genai_tenant_requests_total") == sum(made) + 1
        assert metrics.stored("genai_llm_cost_usd_total") == pytest.approx((sum(made) + 1) * 30e-6)


def test_interpreters_that_need_locks(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """Where additions are not one step, blocks have locks, which threads, handlers and children survive."""
    out = run_python(
        """
        import os, signal, sys, threading

        sys._is_gil_enabled = lambda: False
        from genai_metrics import blocks, configure, llm_calls, runtime, track_llm_call, tracking

        assert not blocks.ATOMIC and tracking.add_call is llm_calls.add_under_locks
        sys.setswitchinterval(1e-6)
        configure(metrics_dir=sys.argv[1])
        handled = 0
        alive = True

        def record(tenant):
            track_llm_call(
                model="gpt-4", tenant=tenant, input_tokens=7, duration=1.0, time_to_first_token=0.5, cost_usd=0.5
            )

        def handler(*_):
            global handled
            handled += 1
            record(f"h{handled % 20}")
            if alive:  # once each: a timer that is faster than its handler would use up the stack
                signal.setitimer(signal.ITIMER_REAL, 0.001)

        def work():
            for i in range(1000):
                record(f"w{i % 20}")

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        children = []
        for _ in range(20):
            child = os.fork()
            if not child:
                record("child")
                os._exit(0)
            children.append(child)
        for thread in threads:
            thread.join()
        alive = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        blocks = [block for block in runtime.recorder().blocks() if block.key[0] == "default"]
        print(handled, len({id(block.lock) for block in blocks}))
        """,
        str(metrics.directory),
    )
    handled, locks = map(int, out.split())
    calls = 8000 + 20 + handled
    for name, each in (
        ("genai_llm_calls_total", 1),
        ("genai_llm_input_tokens_total", 7),
        ("genai_llm_time_to_first_token_seconds_count", 1),
        ("genai_tenant_requests_total", 1),
        ("genai_llm_cost_usd_total", 0.5),
        ("genai_tenant_cost_usd_total", 0.5),
    ):
        assert metrics.stored(name) == each * calls
    assert locks == 1, "the blocks that one call updates share a lock"
