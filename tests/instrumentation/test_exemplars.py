"""Tests of exemplars in blocks and on this process's own endpoints, with the real OpenTelemetry SDK."""

import math
import struct
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.samples import Exemplar as ParsedExemplar

from genai_metrics import llm_call, runtime, testing, traces, track_llm_call, workflow, wsgi_app
from genai_metrics.blocks import private_values
from genai_metrics.catalog import CALL_SECONDS, EXEMPLAR_KINDS, LLM_CALL, LLM_CALL_EXEMPLARS, WORKFLOW_EXEMPLARS
from genai_metrics.exemplars import Exemplar, newest, packed, unpacked
from genai_metrics.integrations.opentelemetry import GenAISpanProcessor

if TYPE_CHECKING:
    from conftest import Metrics

CALL, WORKFLOW = (kind.metrics[0].name for kind in EXEMPLAR_KINDS)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Found = dict[str, ParsedExemplar]
"""Exemplars of a histogram by the ``le`` of their bucket."""


@pytest.fixture
def tracer() -> Tracer:
    """A tracer of a provider of its own that samples every trace."""
    return TracerProvider(shutdown_on_exit=False).get_tracer("test")


class Clock:
    """Monotonic seconds that stand still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which exemplars become due."""
    own = Clock()
    monkeypatch.setattr(traces, "_monotonic", own)
    return own


def scrape(accept: str = OPENMETRICS, *, born_at_zero_seconds: float = 0) -> str:
    """What this process's own endpoint answers."""
    app = wsgi_app(registry=CollectorRegistry(), born_at_zero_seconds=born_at_zero_seconds)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "HTTP_ACCEPT": accept}
    return b"".join(app(environ, lambda status, headers: None)).decode()


def parsed(text: str, name: str = CALL, **labels: str) -> Found:
    """The exemplars of a histogram as prometheus_client's parser of OpenMetrics reads them."""
    families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    return {
        sample.labels["le"]: sample.exemplar
        for family in families
        for sample in family.samples
        if sample.name == f"{name}_bucket" and sample.exemplar and sample.labels.items() >= labels.items()
    }


def ids(context: SpanContext) -> dict[str, str]:
    """The labels of the exemplar of a span."""
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def span(number: int, flags: int = 1) -> NonRecordingSpan:
    """A span whose ids say that they belong together."""
    return NonRecordingSpan(SpanContext(number << 64 | number, number, False, TraceFlags(flags)))


def call_in(one: trace.Span, duration: float = 3.0, model: str = "gpt-4") -> None:
    """Record a call while a span is active."""
    with trace.use_span(one):
        track_llm_call(model=model, duration=duration)


trace_ids = st.integers(1, 2**128 - 1)
span_ids = st.integers(1, 2**64 - 1)
exemplars = st.builds(
    Exemplar, st.floats(1.0, 1e10), st.floats(0.0, 1e9), trace_ids | st.just(2**128 - 1), span_ids | st.just(2**64 - 1)
)


class TestFormat:
    """Eight doubles."""

    @given(exemplars)
    def test_comes_back_as_it_was(self, exemplar: Exemplar) -> None:
        """Every id, time and value, in the bucket that the value belongs to."""
        for bucket, bound in enumerate((*CALL_SECONDS, math.inf)):
            values = private_values(LLM_CALL_EXEMPLARS)
            doubles = packed(exemplar)
            assert doubles is not None
            values[LLM_CALL_EXEMPLARS.places[bucket]] = doubles
            fits = exemplar.value <= bound and (bucket == 0 or exemplar.value > CALL_SECONDS[bucket - 1])
            assert unpacked(LLM_CALL_EXEMPLARS, values.tolist()) == ({bucket: exemplar} if fits else {})

    @given(exemplars, exemplars, st.integers(1, 7))
    def test_half_written_is_left_out(self, before: Exemplar, after: Exemplar, written: int) -> None:
        """The first doubles of one exemplar and the last of another are neither, whichever is first."""
        first, second = packed(before), packed(after._replace(value=before.value))
        assert first is not None
        assert second is not None
        mixed = second[:written].tolist() + first[written:].tolist()
        if mixed not in (first.tolist(), second.tolist()):
            values = mixed * len(LLM_CALL_EXEMPLARS.places)
            assert unpacked(LLM_CALL_EXEMPLARS, values) == {}

    @pytest.mark.parametrize(
        ("trace_id", "span_id"), [(0, 1), (1, 0), (2**128, 1), (1, 2**64), (-1, 1), (1, -1), (2**9999, 2**9999)]
    )
    def test_impossible_ids(self, trace_id: int, span_id: int) -> None:
        """Ids that no trace has, or that would take more room than OpenMetrics allows, make no exemplar."""
        assert packed(Exemplar(1.7e9, 1.0, trace_id, span_id)) is None

    @pytest.mark.parametrize("slot", range(7))
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, 1e300])
    def test_damage_with_a_right_checksum(self, slot: int, value: float) -> None:
        """Impossible numbers are left out whatever the checksum says, and nothing is raised."""
        doubles = packed(Exemplar(1.7e9, 3.0, 5 << 90, 6 << 33))
        assert doubles is not None
        fields = [*map(float, doubles[:7])]
        fields[slot] = value
        values = [0.0] * LLM_CALL_EXEMPLARS.slots
        values[LLM_CALL_EXEMPLARS.places[6]] = [*fields, float(zlib.crc32(struct.pack("=7d", *fields)))]
        assert unpacked(LLM_CALL_EXEMPLARS, values) == {}

    def test_longest_text(self) -> None:
        """Names and values of the labels are fewer than the 128 characters of OpenMetrics, whatever the ids."""
        labels = Exemplar(1.7e9, 1.0, 2**128 - 1, 2**64 - 1).labels
        assert sum(len(name) + len(value) for name, value in labels.items()) == 63

    def test_newest(self) -> None:
        """Of each bucket the one that came last; of equally old ones the same in either order."""
        old, new, other = Exemplar(1.0, 3.0, 1, 1), Exemplar(2.0, 3.0, 2, 2), Exemplar(2.0, 3.0, 3, 3)
        assert newest({1: old, 2: new}, {1: new, 3: old}) == {1: new, 2: new, 3: old}
        assert newest({1: new}, {1: old}) == {1: new}
        assert newest({1: new}, {1: other}) == newest({1: other}, {1: new})


class TestWays:
    """Where exemplars come from, and where they are shown."""

    def test_call(self, metrics: "Metrics", tracer: Tracer) -> None:
        """The trace and span of a recorded call, at its bucket and nowhere else, with its duration and time."""
        with tracer.start_as_current_span("request") as request:
            track_llm_call(model="gpt-4", duration=3.0)
        (found,) = parsed(scrape()).items()
        assert found[0] == "5.0"
        assert found[1].labels == ids(request.get_span_context())
        assert found[1].value == 3.0
        assert found[1].timestamp is not None
        assert 0 <= time.time() - float(found[1].timestamp) < 60

    def test_every_bucket(self, metrics: "Metrics") -> None:
        """Each bucket has its own, +Inf included; a value on a bound belongs to the bucket that it bounds."""
        for number, seconds in enumerate((*CALL_SECONDS, 1000.0), 1):
            call_in(span(number), seconds)
        found = parsed(scrape())
        assert list(found) == [*map(str, CALL_SECONDS), "+Inf"]
        assert [int(e.labels["span_id"], 16) for e in found.values()] == list(range(1, len(CALL_SECONDS) + 2))

    def test_unusual_calls(self, metrics: "Metrics") -> None:
        """Failed calls and calls with whole seconds have one, too."""
        with trace.use_span(span(7)):
            track_llm_call(model="gpt-4", duration=3, error_type="429")
        assert parsed(scrape(), outcome="error")["5.0"].labels["span_id"] == f"{7:016x}"

    def test_without_duration(self, metrics: "Metrics") -> None:
        """A call of unknown duration is in no bucket."""
        for _ in range(2):
            with trace.use_span(span(7)):
                track_llm_call(model="gpt-4")
        assert parsed(scrape()) == {}

    def test_llm_call_and_workflow(self, metrics: "Metrics", tracer: Tracer) -> None:
        """Both have the trace of the span around them; what is inside another span has that one's id."""
        with (
            tracer.start_as_current_span("request") as request,
            workflow(mode="rag"),
            tracer.start_as_current_span("step") as step,
            llm_call(model="gpt-4"),
        ):
            pass
        (call,) = parsed(scrape()).values()
        (run,) = parsed(scrape(), WORKFLOW).values()
        assert call.labels == ids(step.get_span_context())
        assert run.labels == ids(request.get_span_context())
        assert call.labels["trace_id"] == run.labels["trace_id"]

    def test_finished_spans(self, metrics: "Metrics") -> None:
        """A call that the span processor records has the id of the very span."""
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(GenAISpanProcessor())
        names = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4"}
        with provider.get_tracer("test").start_as_current_span("chat", attributes=names) as chat:
            pass
        (call,) = parsed(scrape()).values()
        assert call.labels == ids(chat.get_span_context())

    def test_collector(self, metrics: "Metrics", tracer: Tracer) -> None:
        """prometheus_client's own OpenMetrics shows the same exemplars as our endpoint."""
        for seconds in (0.3, 3.0, 1000.0):
            with tracer.start_as_current_span("request"), workflow(mode="rag"):
                track_llm_call(model="gpt-4", duration=seconds)
        text = openmetrics_exposition.generate_latest(metrics.registry).decode()  # type: ignore[no-untyped-call]
        assert len(parsed(text)) == 3
        for name in (CALL, WORKFLOW):
            assert parsed(text, name) == parsed(scrape(), name)

    def test_text_format_is_unchanged(self, metrics: "Metrics") -> None:
        """Byte for byte: exemplars are OpenMetrics' only, and the rest of OpenMetrics is what it was."""
        call_in(span(1, flags=0))
        text, openmetrics, client = scrape("text/plain"), scrape(), generate_latest(metrics.registry)
        blocks = {block.key: block.read() for block in runtime.recorder().blocks()}
        runtime.restart()
        call_in(span(1))
        assert {block.key: block.read() for block in runtime.recorder().blocks()} == blocks
        assert scrape("text/plain") == text
        assert generate_latest(metrics.registry) == client
        before, mark, _ = scrape().partition(" # {")
        assert mark
        assert openmetrics.startswith(before)
        assert "".join(line.partition(" # {")[0] + "\n" for line in scrape().splitlines()) == openmetrics

    def test_many_rows(self, metrics: "Metrics") -> None:
        """Exemplars are at their own rows, among many that have none."""
        metrics.configure(label_caps={"model": 500})
        for number in range(1, 301):
            call_in(span(number, flags=number % 7 == 0), model=f"model {number}\n\u2028")
        text = scrape()
        for number in range(1, 301):
            found = parsed(text, model=f"model {number}\ufffd\u2028") if number in (1, 7, 14, 15, 294, 300) else None
            if found is not None:
                assert [int(e.labels["span_id"], 16) for e in found.values()] == ([] if number % 7 else [number])
        assert text.count(" # {") == 300 // 7

    def test_born_at_zero(self, metrics: "Metrics") -> None:
        """A series that is still shown as 0 shows no exemplar of what it does not show."""
        call_in(span(1))
        assert parsed(scrape(born_at_zero_seconds=60)) == {}

    def test_counts_nothing(self, metrics: "Metrics") -> None:
        """Statistics and samples are those of the observations alone."""
        for number in range(1, 4):
            call_in(span(number))
        assert testing.sample(f"{CALL}_count") == 3
        assert testing.sample(f"{CALL}_bucket", le="5.0") == 3
        assert [block.kind for block in runtime.recorder().blocks() if CALL in block.kind.name] == []


class TestWhich:
    """Which observation of a bucket becomes its exemplar."""

    def test_no_span(self, metrics: "Metrics") -> None:
        """Without an active span there is none, and no block for any."""
        for _ in range(3):
            track_llm_call(model="gpt-4", duration=3.0)
        assert traces.tracing.on
        assert parsed(scrape()) == {}
        assert runtime.recorder().exemplar_blocks(LLM_CALL_EXEMPLARS) == []

    def test_sampled_out(self, metrics: "Metrics", clock: Clock) -> None:
        """A trace that is not kept is no exemplar: nobody could open it. The next that is kept becomes one soon."""
        off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
        with off.start_as_current_span("request"):
            track_llm_call(model="gpt-4", duration=3.0)
        assert parsed(scrape()) == {}
        clock.now += 0.002
        call_in(span(2))
        assert parsed(scrape())["5.0"].labels["span_id"] == f"{2:016x}"

    def test_one_a_second(self, metrics: "Metrics", clock: Clock) -> None:
        """An exemplar stays for a second; then the next call's replaces it; other buckets do not wait."""
        call_in(span(1))
        clock.now += 0.99
        call_in(span(2))
        call_in(span(3), 0.3)
        assert {le: int(e.labels["span_id"], 16) for le, e in parsed(scrape()).items()} == {"0.5": 3, "5.0": 1}
        clock.now += 0.02
        call_in(span(4))
        assert {le: int(e.labels["span_id"], 16) for le, e in parsed(scrape()).items()} == {"0.5": 3, "5.0": 4}

    def test_spans_are_looked_for_when_due(
        self, metrics: "Metrics", clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """OpenTelemetry is asked once a second with, once a millisecond without a span, not at every call."""
        asked = []
        real = trace.get_current_span

        def current_span() -> trace.Span:
            asked.append(clock.now)
            return real()

        monkeypatch.setattr(trace, "get_current_span", current_span)
        for _ in range(10):
            track_llm_call(model="gpt-4", duration=3.0)
        assert len(asked) == 1
        clock.now += 0.002
        for number in range(1, 11):
            call_in(span(number))
        assert len(asked) == 2

    def test_labels_that_need_cleaning(self, metrics: "Metrics") -> None:
        """Label values that had to be cleaned do not keep a workflow from having one, nor count as faults twice."""
        with trace.use_span(span(5)), workflow(mode="a\nb"):
            pass
        assert parsed(scrape(), WORKFLOW)
        counted = metrics.faults()
        metrics.restart()
        metrics.configure(exemplars=False)
        with trace.use_span(span(5)), workflow(mode="a\nb"):
            pass
        assert metrics.faults() == counted

    def test_capped_labels(self, metrics: "Metrics") -> None:
        """Calls beyond a cap share the exemplars of the rest."""
        metrics.configure(label_caps={"model": 1})
        call_in(span(1), model="first")
        call_in(span(2), model="second")
        assert [int(e.labels["span_id"], 16) for e in parsed(scrape(), model="__other__").values()] == [2]


class TestSwitch:
    """Whether there are exemplars at all."""

    @pytest.mark.parametrize("value", ["0", "false", " Off", "NO"])
    def test_environment(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        """GENAI_EXEMPLARS switches them off."""
        monkeypatch.setenv("GENAI_EXEMPLARS", value)
        metrics.configure()
        call_in(span(1))
        assert parsed(scrape()) == {}

    @pytest.mark.parametrize(("environment", "expected"), [("0", True), ("1", True), ("", True)])
    def test_argument_wins(
        self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, environment: str, expected: bool
    ) -> None:
        """What ``configure`` is told counts more than the environment."""
        monkeypatch.setenv("GENAI_EXEMPLARS", environment)
        metrics.configure(exemplars=True)
        call_in(span(1))
        assert bool(parsed(scrape())) is expected

    def test_off_while_recording(self, metrics: "Metrics") -> None:
        """Switched off, nothing is asked any more; what was recorded before stays."""
        call_in(span(1))
        metrics.configure(exemplars=False)
        assert not traces.tracing.on
        for number in (2, 3):
            call_in(span(number), 0.3)
        assert not traces.tracing.on
        assert list(parsed(scrape())) == ["5.0"]

    def test_configure_carries_over(self, metrics: "Metrics") -> None:
        """Exemplars move with the counts they belong to, unless a cap now merges those."""
        call_in(span(1), model="a")
        call_in(span(2), model="b")
        metrics.configure(label_caps={"model": 1})
        found = parsed(scrape())
        assert [int(e.labels["span_id"], 16) for e in found.values()] == [1]
        assert metrics.value(f"{CALL}_count") == 2

    def test_application_without_opentelemetry(self, metrics: "Metrics", run_python: Callable[..., str]) -> None:
        """Where it is not installed, everything is recorded, nothing is counted as a fault, nothing looked for."""
        out = run_python(
            """
            import sys

            class Missing:
                def find_spec(self, name, path=None, target=None):
                    if name.partition(".")[0] == "opentelemetry":
                        raise AssertionError(f"{name} is not to be imported")

            sys.meta_path.insert(0, Missing())
            from genai_metrics import testing, traces, track_llm_call, workflow
            for _ in range(3):
                with workflow(mode="rag"):
                    track_llm_call(model="gpt-4", duration=3.0)
            for name in ("genai_llm_call_duration_seconds_count", "genai_recorder_faults_total"):
                print(testing.sample(name))
            print(traces.tracing.on, len(traces._due))
            """
        )
        assert out == "3.0\n0.0\nFalse 0\n"

    @pytest.mark.parametrize("then", ["track_llm_call(model='new')", "with workflow(mode='rag'): pass"])
    def test_opentelemetry_comes_late(self, run_python: Callable[..., str], then: str) -> None:
        """Imported after the first calls, it is noticed at the next new label tuple or workflow, for all calls."""
        out = run_python(
            f"""
            from genai_metrics import runtime, traces, track_llm_call, workflow
            from genai_metrics.catalog import LLM_CALL_EXEMPLARS

            def found():
                return len(runtime.recorder().exemplar_blocks(LLM_CALL_EXEMPLARS))

            track_llm_call(model="gpt-4", duration=3.0)
            from opentelemetry.sdk.trace import TracerProvider
            tracer = TracerProvider().get_tracer("test")
            {then}
            with tracer.start_as_current_span("request"):
                track_llm_call(model="gpt-4", duration=3.0)
            print(found())
            """
        )
        assert out == "1\n"


class TestTrouble:
    """What may go wrong in foreign code, and who else is there meanwhile."""

    @pytest.mark.parametrize("error", [RuntimeError("broken"), RecursionError(), AttributeError("trace_flags")])
    def test_broken_opentelemetry(
        self, metrics: "Metrics", clock: Clock, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        """It raises nothing into the caller, calls are counted once, and the fault once a second."""

        def broken() -> trace.Span:
            raise error

        monkeypatch.setattr(trace, "get_current_span", broken)
        for _ in range(10):
            track_llm_call(model="gpt-4", duration=3.0)
        clock.now += 1.5
        track_llm_call(model="gpt-4", duration=3.0)
        assert metrics.value("genai_llm_calls_total") == 11
        assert metrics.faults() == {"internal": 2}

    @pytest.mark.parametrize("ids", [(2**128, 2**64), (2**9999, 1), ("t" * 200, "s" * 200), (None, None), (1.5, 2.5)])
    def test_foreign_ids(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, ids: tuple[object, object]) -> None:
        """Ids of another size or kind make no exemplar and no exception."""

        class Context:
            trace_id, span_id = ids
            trace_flags = 1

        class Foreign:
            def get_span_context(self) -> Context:
                return Context()

        monkeypatch.setattr(trace, "get_current_span", Foreign)
        for _ in range(2):
            track_llm_call(model="gpt-4", duration=3.0)
        assert metrics.value("genai_llm_calls_total") == 2
        assert parsed(scrape()) == {}

    def test_threads(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch, run_python: Callable[..., str]) -> None:
        """Eight threads in spans of their own, one bucket, and a reader that never sees two spans in one exemplar.

        On the interpreter as it is, and as one whose blocks need locks.
        """
        for enabled in ("True", "False"):
            out = run_python(
                """
                import sys, threading
                sys._is_gil_enabled = lambda: sys.argv[1] == "True"
                from opentelemetry import trace
                from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
                from genai_metrics import blocks, runtime, traces, track_llm_call
                from genai_metrics.catalog import LLM_CALL_EXEMPLARS
                from genai_metrics.exemplars import unpacked

                assert str(blocks.ATOMIC) == sys.argv[1]
                sys.setswitchinterval(1e-6)
                traces.EVERY_SECONDS = 0.0
                done = threading.Event()

                def work(first):
                    number = first
                    while not done.is_set():
                        number += 8
                        context = SpanContext(number << 64 | number, number, False, TraceFlags(1))
                        with trace.use_span(NonRecordingSpan(context)):
                            track_llm_call(model=f"m{number % 20}", duration=3.0 + number * 2.0**-30)

                threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 9)]
                for thread in threads:
                    thread.start()
                seen = set()
                while len(seen) < 500:
                    for block in runtime.recorder().exemplar_blocks(LLM_CALL_EXEMPLARS):
                        for found in unpacked(LLM_CALL_EXEMPLARS, block.read()).values():
                            number = found.span_id
                            assert found.trace_id == number << 64 | number, found
                            assert found.value == 3.0 + number * 2.0**-30, found
                            assert block.key[2] == f"m{number % 20}"
                            seen.add(number)
                done.set()
                for thread in threads:
                    thread.join()
                print({number % 8 for number in seen} == set(range(8)))
                """,
                enabled,
            )
            assert out == "True\n"

    def test_at_the_end_of_the_stack(self, metrics: "Metrics") -> None:
        """The calls that use up the stack are counted, and what becomes of their exemplars raises nothing new."""
        call_in(span(1))

        def deeper() -> None:
            track_llm_call(model="gpt-4", duration=3.0)
            traces._due.clear()
            deeper()

        with trace.use_span(span(2)), pytest.raises(RecursionError):
            deeper()
        calls = metrics.value("genai_llm_calls_total")
        assert metrics.value(f"{CALL}_count") == calls > 100


def test_kinds() -> None:
    """A block of exemplars has room for one for each bucket and +Inf, under the labels of what it belongs to."""
    assert LLM_CALL_EXEMPLARS.of is LLM_CALL
    assert LLM_CALL_EXEMPLARS.labels == LLM_CALL.labels
    assert LLM_CALL_EXEMPLARS.slots == 8 * (len(CALL_SECONDS) + 1)
    assert len({kind.layout_id for kind in EXEMPLAR_KINDS}) == len(EXEMPLAR_KINDS)
    assert WORKFLOW_EXEMPLARS in EXEMPLAR_KINDS
