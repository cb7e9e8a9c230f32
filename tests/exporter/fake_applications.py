"""Stand-ins for the applications' collector: each scrape has its number, and a test can hold it or have it fail."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from genai_exporter.collectors.exporter import ExporterMetrics
from genai_exporter.collectors.families import Collector
from genai_exporter.collectors.frame import Frame
from genai_exporter.reload import ReloadState
from genai_exporter.scraping import Scraper


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
