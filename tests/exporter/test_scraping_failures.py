"""Tests of scrapes in which something fails, and of collectors beside the applications."""

import asyncio
import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from fake_applications import FakeApplications, reloaded, scraper_of
from prometheus_client.core import GaugeMetricFamily, Metric

from genai_exporter.collectors.exporter import ExporterMetrics
from genai_exporter.collectors.frame import Frame
from genai_exporter.scraping import Format, Scraper

TEXT = Format(openmetrics=False, gzip=False)
OPENMETRICS = Format(openmetrics=True, gzip=False)
GZIP = Format(openmetrics=False, gzip=True)


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
