"""Tests of how requests share scrapes."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric

from genai_exporter.collectors.exporter import ExporterMetrics
from genai_exporter.collectors.families import Collector
from genai_exporter.collectors.frame import Collected, Frame
from genai_exporter.reload import ReloadState
from genai_exporter.scraping import Format, Scraper

TEXT = Format(openmetrics=False, gzip=False)
OPENMETRICS = Format(openmetrics=True, gzip=False)
GZIP = Format(openmetrics=False, gzip=True)


@dataclass
class FakeScrape:
    """A scrape with one series whose value is the number of the scrape."""

    number: int
    fail: Exception | None = None
    series: int = 1
    files: Mapping[str, int] = field(default_factory=dict)
    processes: Mapping[str, int] = field(default_factory=dict)
    started: Mapping[str, float] = field(default_factory=dict)
    merged: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def render(self, openmetrics: bool) -> Iterator[bytes]:
        """Yield the number; raise half-way if told so."""
        yield b"# TYPE fake_scrape gauge\n"
        yield f"fake_scrape {self.number}\n".encode()
        if self.fail:
            raise self.fail


@dataclass
class FakeApplications:
    """Counts scrapes, announces each, and lets a test hold it."""

    scrapes: int = 0
    inside: int = 0
    most_inside: int = 0
    fail: Exception | None = None
    fail_render: Exception | None = None
    started: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    gate: threading.Semaphore | None = None

    def scrape(self, names: frozenset[str] | None = None) -> FakeScrape:
        """Wait at the gate, if there is one, and count."""
        self.scrapes += 1
        number = self.scrapes
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.started.release()
        try:
            if self.gate is not None:
                assert self.gate.acquire(timeout=30)
            if self.fail:
                raise self.fail
            return FakeScrape(number, self.fail_render)
        finally:
            self.inside -= 1


def reloaded() -> ReloadState:
    """A configuration that has been read."""
    return ReloadState(True, 1.7e9)


def scraper_of(
    applications: FakeApplications, collectors: tuple[Collector, ...] = (), applications_seconds: float = 30.0
) -> Scraper:
    """Make a scraper without a price table."""
    frame = Frame([(collector, 30.0) for collector in collectors])
    return Scraper(applications, ExporterMetrics(lambda: None, reloaded), frame, applications_seconds)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


class TestSharing:
    """Requests that may share a scrape do; others do not."""

    def test_requests_during_a_scrape_share_the_next_one(self) -> None:
        """The one that began before they came is too old for them; one more is enough for all, in any format."""
        applications = FakeApplications(gate=threading.Semaphore(0))
        scraper = scraper_of(applications)

        async def run() -> list[bytes]:
            assert applications.gate is not None
            first = asyncio.create_task(scraper.metrics(TEXT))
            await until(lambda: applications.started.acquire(blocking=False))
            formats = [TEXT, OPENMETRICS, GZIP, TEXT, GZIP]
            others = [asyncio.create_task(scraper.metrics(wanted)) for wanted in formats]
            await asyncio.sleep(0)
            applications.gate.release(2)
            return [await first, *[await other for other in others]]

        first, text, openmetrics, zipped, text_too, zipped_too = asyncio.run(run())
        assert b"fake_scrape 1\n" in first
        assert b"fake_scrape 2\n" in text
        assert b"fake_scrape 2\n" in openmetrics
        assert openmetrics.endswith(b"# EOF\n")
        assert gzip.decompress(zipped) == text == text_too
        assert zipped_too == zipped
        assert (applications.scrapes, applications.most_inside) == (2, 1)

    def test_later_requests_get_fresh_scrapes(self) -> None:
        """Nothing is cached beyond the requests that waited."""
        applications = FakeApplications()
        scraper = scraper_of(applications)

        async def run() -> list[bytes]:
            return [await scraper.metrics(TEXT), await scraper.metrics(TEXT)]

        first, second = asyncio.run(run())
        assert b"fake_scrape 1\n" in first
        assert b"fake_scrape 2\n" in second

    def test_a_client_that_goes_away_takes_nothing_from_the_others(self) -> None:
        """Cancelling one waiter leaves the shared scrape to the rest."""
        applications = FakeApplications(gate=threading.Semaphore(0))
        scraper = scraper_of(applications)

        async def run() -> bytes:
            assert applications.gate is not None
            gone = asyncio.create_task(scraper.metrics(TEXT))
            stays = asyncio.create_task(scraper.metrics(TEXT))
            await until(lambda: applications.scrapes == 1)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            applications.gate.release(2)
            return await stays

        assert b"fake_scrape " in asyncio.run(run())

    def test_the_loop_turns_while_a_scrape_blocks(self) -> None:
        """A scrape waits for what only the event loop can do; were it on the loop, neither would go on."""
        applications = FakeApplications(gate=threading.Semaphore(0))
        scraper = scraper_of(applications)

        async def run() -> bytes:
            assert applications.gate is not None
            waiting = asyncio.create_task(scraper.metrics(TEXT))
            await until(lambda: applications.started.acquire(blocking=False))
            asyncio.get_running_loop().call_soon(applications.gate.release)
            return await waiting

        assert b"fake_scrape 1\n" in asyncio.run(run())

    def test_wait_says_whether_a_scrape_still_runs(self) -> None:
        """Before, during and after a scrape."""
        applications = FakeApplications(gate=threading.Semaphore(0))
        scraper = scraper_of(applications)
        assert scraper.wait(0)

        async def run() -> None:
            assert applications.gate is not None
            waiting = asyncio.create_task(scraper.metrics(TEXT))
            await until(lambda: applications.started.acquire(blocking=False))
            assert not scraper.wait(0)
            applications.gate.release()
            await waiting

        asyncio.run(run())
        assert scraper.wait(30)

    def test_a_scrape_that_is_about_to_read_counts_as_running(self) -> None:
        """Between its thread's start and that of the applications' thread, the directory must not be closed."""
        began, go_on = threading.Event(), threading.Event()

        class HeldFrame(Frame):
            """Waits before anything is read."""

            def start(self, flavours: Collection[bool]) -> Callable[[], tuple[Collected, ...]]:
                """Wait for the test."""
                began.set()
                assert go_on.wait(30)
                return super().start(flavours)

        scraper = scraper_of(FakeApplications())
        scraper.use(HeldFrame([]))

        async def run() -> None:
            waiting = asyncio.create_task(scraper.metrics(TEXT))
            await until(began.is_set)
            assert not scraper.wait(0)
            go_on.set()
            await waiting

        asyncio.run(run())
        assert scraper.wait(30)


class TestFailure:
    """A failing collector costs its own series only."""

    @pytest.mark.parametrize("where", ["scrape", "render"])
    def test_no_application_series_remain(self, where: str, caplog: pytest.LogCaptureFixture) -> None:
        """Whether reading or rendering fails, the body is the exporter's own, complete, and says success 0."""
        error = OSError("directory went away")
        applications = FakeApplications(
            fail=error if where == "scrape" else None, fail_render=error if where == "render" else None
        )
        scraper = scraper_of(applications)

        async def run() -> list[bytes]:
            zipped = await scraper.metrics(GZIP)
            return [await scraper.metrics(TEXT), await scraper.metrics(OPENMETRICS), gzip.decompress(zipped)]

        for body in asyncio.run(run()):
            assert b"fake_scrape" not in body
            assert b'genai_exporter_collector_success{collector="applications"} 0.0\n' in body
            assert b"process_resident_memory_bytes" in body
        assert scraper.last is not None
        assert scraper.last.error == "directory went away"
        assert [record.getMessage() for record in caplog.records] == ["collector failed"]

    def test_a_fault_is_logged_once_whatever_its_words(self, caplog: pytest.LogCaptureFixture) -> None:
        """Of a collector that hangs they change from scrape to scrape; that would fill the log."""
        applications = FakeApplications()
        scraper = scraper_of(applications)

        async def run() -> None:
            for words in ("one", "another", "one"):
                applications.fail = OSError(words)
                await scraper.metrics(TEXT)

        asyncio.run(run())
        assert [record.getMessage() for record in caplog.records] == ["collector failed"]

    def test_recovery_is_served_and_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        """The next good scrape has the series again."""
        caplog.set_level("INFO")
        applications = FakeApplications(fail=ValueError("odd"))
        scraper = scraper_of(applications)

        async def run() -> bytes:
            outcome = await scraper.probe()
            assert outcome.error is not None
            assert outcome.error.startswith("ValueError: odd (")
            applications.fail = None
            return await scraper.metrics(TEXT)

        body = asyncio.run(run())
        assert b"fake_scrape 2\n" in body
        assert b'genai_exporter_collector_success{collector="applications"} 1.0\n' in body
        assert caplog.records[-1].getMessage() == "collector works again"

    def test_an_own_fault_reaches_the_request_and_not_the_next(self) -> None:
        """If the exporter's own metrics fail, the request fails instead of hanging, and the next is served."""
        ages: list[Callable[[], float]] = [lambda: 1 / 0, lambda: 1.0]
        scraper = Scraper(FakeApplications(), ExporterMetrics(lambda: ages.pop(0)(), reloaded), Frame(()))

        async def run() -> bytes:
            with pytest.raises(ZeroDivisionError):
                await scraper.metrics(TEXT)
            return await scraper.metrics(TEXT)

        assert b"fake_scrape 2\n" in asyncio.run(run())

    def test_without_a_thread_the_request_fails_and_the_next_is_served(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine out of threads gives an error, not a hang."""
        scraper = scraper_of(FakeApplications())

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        async def run() -> bytes:
            with monkeypatch.context() as patch:
                patch.setattr(threading.Thread, "start", refuse)
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    await scraper.metrics(TEXT)
            return await scraper.metrics(TEXT)

        assert b"fake_scrape 1\n" in asyncio.run(run())


@dataclass
class OneGauge:
    """A collector of one gauge, which may fail."""

    name: str = "fake"
    fail: Exception | None = None

    def collect(self) -> list[Metric]:
        """Return the gauge or fail."""
        if self.fail:
            raise self.fail
        return [GaugeMetricFamily("fake_gauge", "A gauge.", value=7)]


class TestCollectors:
    """Other collectors beside the applications, and limits on both."""

    @pytest.mark.parametrize("wanted", [TEXT, OPENMETRICS])
    def test_families_of_collectors_are_in_the_body(self, wanted: Format) -> None:
        """They come after the applications' and before the exporter's own, in either format."""
        body = asyncio.run(scraper_of(FakeApplications(), (OneGauge(),)).metrics(wanted))
        assert body.index(b"fake_scrape 1\n") < body.index(b"fake_gauge 7.0\n") < body.index(b"genai_build_info{")
        assert body.count(b"# EOF") == wanted.openmetrics
        assert b'genai_exporter_collector_success{collector="fake"} 1.0\n' in body

    def test_a_failing_collector_fails_alone(self, caplog: pytest.LogCaptureFixture) -> None:
        """The scrape goes on without its families, says so, and logs it once when it begins and when it ends."""
        collector = OneGauge(fail=ValueError("no sensor"))
        scraper = scraper_of(FakeApplications(), (collector,))
        with caplog.at_level("INFO"):
            body = asyncio.run(scraper.metrics(TEXT))
            asyncio.run(scraper.metrics(TEXT))
            collector.fail = None
            asyncio.run(scraper.metrics(TEXT))
        assert b"fake_scrape 1\n" in body
        assert b"fake_gauge" not in body
        assert b'genai_exporter_collector_success{collector="fake"} 0.0\n' in body
        assert b'genai_exporter_collector_success{collector="applications"} 1.0\n' in body
        assert [record.message for record in caplog.records if "collector" in record.message] == [
            "collector failed",
            "collector works again",
        ]

    def test_names_select_among_collectors(self) -> None:
        """``name[]`` holds for what collectors say, too."""
        scraper = scraper_of(FakeApplications(), (OneGauge(),))
        body = asyncio.run(scraper.metrics(Format(openmetrics=False, gzip=False, names=frozenset({"fake_gauge"}))))
        assert body == b"# HELP fake_gauge A gauge.\n# TYPE fake_gauge gauge\nfake_gauge 7.0\n"

    def test_another_frame_may_be_used(self) -> None:
        """A collector that is switched off is gone from the next scrape on, with its success."""
        scraper = scraper_of(FakeApplications(), (OneGauge(),))
        scraper.use(Frame(()))
        assert b"fake" not in asyncio.run(scraper.metrics(TEXT)).replace(b"fake_scrape", b"")

    def test_applications_that_hang_do_not_hang_the_scrape(self) -> None:
        """The others are served; the applications are not entered twice, and come back when they can."""
        applications = FakeApplications(gate=threading.Semaphore(0))
        scraper = scraper_of(applications, (OneGauge(),), applications_seconds=0.05)
        late, meanwhile = (asyncio.run(scraper.metrics(TEXT)) for _ in range(2))
        for body in (late, meanwhile):
            assert b"fake_gauge 7.0\n" in body
            assert b"fake_scrape" not in body
            assert b'genai_exporter_collector_success{collector="applications"} 0.0\n' in body
        assert applications.scrapes == 1
        assert not scraper.wait(0.01)
        assert applications.gate is not None
        applications.gate.release(2)
        assert scraper.wait(30)
        # What came late is dropped: the next scrape reads anew.
        scraper = scraper_of(applications)
        assert b"fake_scrape 2\n" in asyncio.run(scraper.metrics(TEXT))
