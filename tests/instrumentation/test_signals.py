"""Tests of signal handlers that record while their own thread records."""

import dis
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry

import genai_metrics
from genai_metrics import operation, runtime, track_cache, track_llm_call, track_queue, workflow
from genai_metrics.pricing import Price, PriceResolver

if TYPE_CHECKING:
    from conftest import Metrics

PACKAGE = str(Path(genai_metrics.__file__).parent)
# After these CPython looks whether a signal has come, and runs its handler.
LETS_HANDLERS_IN = ("CALL", "RESUME", "JUMP_BACKWARD")


def interrupt(action: Callable[[], None], handler: Callable[[], None], point: int) -> bool:
    """Run ``action`` and, at its ``point``-th opportunity for a signal handler, ``handler``; whether it got there."""
    operations: dict[CodeType, dict[int, str]] = {}
    last: dict[FrameType, str] = {}
    seen = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if last.get(frame, "").startswith(LETS_HANDLERS_IN):
                seen += 1
                if seen == point:
                    handler()
            if frame.f_code not in operations:
                operations[frame.f_code] = {i.offset: i.opname for i in dis.get_instructions(frame.f_code)}
            last[frame] = operations[frame.f_code][frame.f_lasti]
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return seen >= point


@pytest.mark.parametrize("other", [False, True], ids=["same series", "other series"])
@pytest.mark.parametrize(
    # There are some thousand points, most of them in making one block after the other: not all of them each time.
    ("files", "begun", "stride"),
    [(True, True, 3), (True, False, 23), (False, True, 3)],
    ids=["new series in a file", "first record of a file", "new series in memory"],
)
def test_handler_at_every_point(
    metrics: "Metrics",
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    files: bool,
    begun: bool,
    stride: int,
    other: bool,
) -> None:
    """Wherever a handler comes in between, nothing is lost or doubled, neither in memory nor in the file."""
    monkeypatch.setattr(PriceResolver, "resolve", lambda *_: Price(1.0, 1.0, 1.0, 1.0, 1.0))
    read = metrics.stored if files else metrics.value

    def record(mode: str, tenant: str) -> None:
        track_llm_call(model="m", mode=mode, tenant=tenant, input_tokens=1, duration=1, time_to_first_token=1)

    handler_labels = ("n", "u") if other else ("m", "t")
    reached = True
    point = 1
    while reached:
        metrics.restart()
        if files:
            metrics.directory = tmp_path / f"interrupted-{point}"
            monkeypatch.setenv("GENAI_METRICS_DIR", str(metrics.directory))
        if begun:
            runtime.recorder()
        reached = interrupt(lambda: record("m", "t"), lambda: record(*handler_labels), point)
        calls = 3 if reached else 2
        record("m", "t")
        assert read("genai_llm_calls_total") == calls, point
        assert read("genai_llm_time_to_first_token_seconds_count") == calls, point
        assert read("genai_tenant_requests_total") == calls, point
        # A handler that comes in the middle of a look-up has no price; that call counts as unpriced.
        unpriced = read("genai_llm_unpriced_calls_total")
        assert read("genai_llm_cost_usd_total") == calls - unpriced, point
        assert metrics.faults() == {}, point
        for path in metrics.files():
            path.unlink()
        point += stride
    assert point > 200


def test_handler_that_raises_at_every_point(
    metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C at any point costs at most the call in hand; later ones count, once, and their series move to the file."""
    monkeypatch.setattr(PriceResolver, "resolve", lambda *_: Price(1.0, 1.0, 1.0, 1.0, 1.0))

    def record() -> None:
        track_llm_call(model="m", tenant="t", input_tokens=1)

    def press_ctrl_c() -> None:
        raise KeyboardInterrupt

    point = 0
    outcomes = set()
    while True:
        point += 1
        metrics.restart()
        metrics.directory = tmp_path / f"interrupted-{point}"
        metrics.configure(files=True, price_file=None)
        try:
            interrupt(record, press_ctrl_c, point)
        except KeyboardInterrupt:
            for _ in range(3):
                record()
        else:
            break
        calls = metrics.stored("genai_llm_calls_total")
        outcomes.add(calls)
        assert calls in (3, 4), point
        assert metrics.stored("genai_llm_cost_usd_total") in (3, calls), point
        assert metrics.stored("genai_tenant_requests_total") in (3, calls), point
        for path in metrics.files():
            path.unlink()
    assert outcomes == {3, 4}
    assert point > 100


class OwnTimeout(Exception):
    """What an application's handler raises, to end what takes too long."""


def run_workflow() -> None:
    """A workflow with a bit of everything inside."""
    with workflow(mode="1") as run, operation("reranking"):
        run.quality(0.5)
        track_queue("jobs", 3)
        cache = track_cache("answers")
        cache.hit(0.5)


@pytest.mark.parametrize("action", [run_workflow, track_llm_call])
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_a_handler_raises_gets_through(
    metrics: "Metrics", action: Callable[[], None], error: type[BaseException]
) -> None:
    """At every point, if it is no ordinary exception: Ctrl-C and exits are never taken for a fault of ours."""

    def handler() -> None:
        raise error

    point = 1
    while True:
        metrics.restart()
        metrics.configure(pricing=False, registry=CollectorRegistry())
        try:
            if not interrupt(action, handler, point):
                break
        except error:
            point += 7
        else:
            pytest.fail(f"swallowed at point {point}")
        assert metrics.faults() == {}
    assert point > 30


@pytest.mark.parametrize("action", [run_workflow, track_llm_call])
def test_an_ordinary_exception_of_a_handler_may_not(metrics: "Metrics", action: Callable[[], None]) -> None:
    """It cannot be told from a fault of the recorder: at most one is counted, and what comes later counts as ever."""

    def handler() -> None:
        raise OwnTimeout

    outcomes = set()
    point = 1
    reached = True
    while reached:
        metrics.restart()
        metrics.configure(pricing=False, registry=CollectorRegistry())
        try:
            reached = interrupt(action, handler, point)
        except OwnTimeout:
            outcomes.add("through")
        else:
            outcomes.add("swallowed")
        assert sum(metrics.faults().values()) <= 1
        before = metrics.value("genai_llm_calls_total")
        track_llm_call(model="m")
        assert metrics.value("genai_llm_calls_total") == before + 1
        point += 7
    assert outcomes == ({"swallowed"} if action is track_llm_call else {"through", "swallowed"})


def test_handler_at_a_high_rate(metrics: "Metrics", run_python: Callable[..., str]) -> None:
    """A timer that fires thousands of times a second neither deadlocks nor miscounts, on the hot path and off it."""
    main, handled = run_python(
        """
        import signal, sys
        from genai_metrics import configure, track_llm_call

        configure(metrics_dir=sys.argv[1], label_caps={"tenant": 2000})
        handled = 0

        def handler(*_):
            global handled
            handled += 1
            track_llm_call(model="gpt-4", tenant=f"h{handled % 600}", input_tokens=7)
            if main is not None:  # once each: a timer that is faster than its handler would use up the stack
                signal.setitimer(signal.ITIMER_REAL, 0.0003)

        signal.signal(signal.SIGALRM, handler)
        main = 0
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        while main < 20_000 or (handled < 1000 and main < 2_000_000):
            track_llm_call(model="gpt-4", tenant=f"m{main // 10 % 600}", input_tokens=7)
            main += 1
        calls, main = main, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(calls, handled)
        """,
        str(metrics.directory),
    ).split()
    calls = int(main) + int(handled)
    assert int(handled) >= 1000
    assert metrics.stored("genai_llm_calls_total") == calls
    assert metrics.stored("genai_llm_input_tokens_total") == 7 * calls
    assert metrics.stored("genai_tenant_requests_total") == calls
    assert metrics.stored("genai_recorder_faults_total") == 0
