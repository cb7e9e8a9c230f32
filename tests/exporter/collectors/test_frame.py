"""Tests of the frame around collectors, and of the limits that they run within."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from genai_exporter.collectors.frame import Collected, Frame
from genai_exporter.collectors.limited import Limited


@dataclass
class Source:
    """A collector that does what a test says."""

    name: str
    collect: Callable[[], Iterable[Metric]]


def gauge(name: str, value: float = 1) -> Metric:
    """Make a family with one sample."""
    return GaugeMetricFamily(name, "Help.", value=value)


def collected(*sources: Source, limit: float = 30.0, reserved: tuple[str, ...] = ()) -> tuple[Collected, ...]:
    """Run a frame once, for both formats."""
    return Frame([(source, limit) for source in sources], reserved).start({False, True})()


def broken(family: Metric, *sample: object) -> Metric:
    """Add a sample to a family as no collector should."""
    family.samples[0] = family.samples[0]._replace(value="many")
    return family


class TestFrame:
    """Collectors side by side."""

    def test_each_is_written_in_both_formats(self) -> None:
        """With a duration, without the end mark of OpenMetrics, in the order given."""
        first, second = collected(Source("a", lambda: [gauge("one")]), Source("b", lambda: [gauge("two", 2)]))
        assert (first.name, first.error, second.name, second.error) == ("a", None, "b", None)
        text = "# HELP one Help.\n# TYPE one gauge\none 1.0\n"
        assert first.texts == {False: text.encode(), True: text.encode()}
        assert 0 <= first.duration < 30

    def test_they_run_side_by_side(self) -> None:
        """Each waits for the other: one after the other they would never end."""
        barrier = threading.Barrier(2, timeout=30)

        def collect(name: str) -> list[Metric]:
            barrier.wait()
            return [gauge(name)]

        runs = collected(Source("a", lambda: collect("one")), Source("b", lambda: collect("two")))
        assert [run.error for run in runs] == [None, None]

    @pytest.mark.parametrize(
        ("families", "message"),
        [
            (lambda: [broken(gauge("one"))], "'many' is not a value of one"),
            (lambda: [gauge("one"), gauge("one")], "it yields one twice"),
            (lambda: [gauge("a b")], "'a b' is not a name of a family"),
            (lambda: [1 / 0], "ZeroDivisionError: division by zero ("),
            (lambda: [None], "NoneType is not a family of metrics"),
            (lambda: [GaugeMetricFamily("one", "Help.\ud800", value=1)], "UnicodeEncodeError"),
        ],
    )
    def test_a_broken_one_fails_alone(self, families: Callable[[], list[Metric]], message: str) -> None:
        """Whatever it does wrong, it has no text, and the others have theirs."""
        good, bad = collected(Source("good", lambda: [gauge("sound")]), Source("bad", families))
        assert good.error is None
        assert bad.texts == {}
        assert bad.error is not None
        assert message in bad.error

    def test_a_family_is_served_once(self) -> None:
        """The later of two that yield it fails, and whoever yields one that is reserved."""
        first, second, third = collected(
            Source("a", lambda: [gauge("one")]),
            Source("b", lambda: [gauge("one"), gauge("two")]),
            Source("c", lambda: [gauge("taken")]),
            reserved=("taken",),
        )
        assert first.error is None
        assert second.error == "one is served already"
        assert third.error == "taken is served already"

    def test_a_failed_one_takes_no_names(self) -> None:
        """What it would have served, another may."""
        first, second = collected(
            Source("a", lambda: [gauge("one"), gauge("one")]), Source("b", lambda: [gauge("one")])
        )
        assert first.error is not None
        assert second.error is None

    def test_a_slow_one_is_reported_and_its_result_dropped(self) -> None:
        """It fails at its limit and, without being entered again, until it has ended; then it works again."""
        gate, entered = threading.Event(), []

        def collect() -> list[Metric]:
            entered.append(None)
            gate.wait(30)
            return [gauge("one", len(entered))]

        frame = Frame([(Source("slow", collect), 0.05)])
        (late,) = frame.start({False})()
        (meanwhile,) = frame.start({False})()
        assert late.error == "it took longer than its limit of 0.05 s"
        assert late.texts == meanwhile.texts == {}
        assert meanwhile.error == "its last run has not ended yet"
        assert len(entered) == 1
        gate.set()
        for thread in threading.enumerate():
            if thread.name == "collect slow":
                thread.join(30)
        (now,) = frame.start({False})()
        assert now.error is None
        assert b"one 2.0" in now.texts[False]


class TestLimited:
    """One task at a time."""

    def test_exceptions_of_any_kind_are_errors(self) -> None:
        """Also those that would end a thread or the interpreter."""

        def task() -> None:
            raise SystemExit(3)

        run = Limited("x", 30.0).start(task)()
        assert run.error is not None
        assert run.error.startswith("SystemExit: 3")

    def test_errors_of_the_system_speak_for_themselves(self) -> None:
        """They name the file."""

        def task() -> None:
            raise PermissionError(13, "Permission denied", "/proc/stat")

        assert Limited("x", 30.0).start(task)().error == "[Errno 13] Permission denied: '/proc/stat'"

    def test_without_threads_a_run_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, nothing is raised, and the next run may succeed."""

        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        limited = Limited("x", 30.0)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert limited.start(lambda: 1)().error == "can't start new thread"
        assert limited.start(lambda: 1)().value == 1
