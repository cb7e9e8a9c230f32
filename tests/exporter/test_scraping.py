"""Tests of how requests share scrapes."""

import asyncio
import gzip
import threading
from collections.abc import Callable, Collection

import pytest
from fake_applications import FakeApplications, scraper_of

from genai_exporter.collectors.frame import Collected, Frame
from genai_exporter.scraping import Format

TEXT = Format(openmetrics=False, gzip=False)
OPENMETRICS = Format(openmetrics=True, gzip=False)
GZIP = Format(openmetrics=False, gzip=True)


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
