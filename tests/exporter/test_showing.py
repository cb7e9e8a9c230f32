"""Tests of what counts as shown when scrapes show some metrics alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_metrics.catalog import TENANT, TENANT_REQUESTS
from genai_metrics.recorder import Recorder
from genai_metrics.selection import selected

Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

TOKENS, COST, REQUESTS = "genai_tenant_tokens_total", "genai_tenant_cost_usd_total", "genai_tenant_requests_total"


class Clock:
    """Monotonic seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


@pytest.fixture
def applications(tmp_path: Path, exporter: Open, writer: Writer, clock: Clock) -> Applications:
    """An exporter to which one tenant is new: 7 tokens, 5 dollars, 3 requests."""
    opened = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
    recorder = writer(tmp_path)
    recorder.block(TENANT, ("acme",)).add(TENANT.offset(TOKENS), 7.0)
    recorder.block(TENANT, ("acme",)).add(TENANT.offset(COST), 5.0)
    recorder.block(TENANT_REQUESTS, ("acme", "m")).add(0, 3.0)
    return opened


def scrape(applications: Applications, *names: str) -> dict[str, float]:
    """The sums of the three metrics in a scrape of everything, or of some alone."""
    chunks = applications.scrape(frozenset(names) if names else None).render(False)
    body = b"".join(selected(chunks, names) if names else chunks).decode()
    sums: dict[str, float] = {}
    for line in body.splitlines():
        name = line.partition("{")[0]
        if name in (TOKENS, COST, REQUESTS):
            sums[name] = sums.get(name, 0.0) + float(line.rpartition(" ")[2])
    return sums


class TestPartsOfAScrape:
    """A scrape by name and a scrape of everything, in turn."""

    def test_what_is_not_shown_does_not_grow_up(self, applications: Applications, clock: Clock) -> None:
        """Series that only a filter left out are born at zero when they are first shown, beside those that were."""
        assert scrape(applications, COST) == {COST: 0.0}
        clock.now += 20
        assert scrape(applications, COST) == {COST: 5.0}
        assert scrape(applications) == {COST: 5.0, TOKENS: 0.0, REQUESTS: 0.0}
        clock.now += 19
        assert scrape(applications) == {COST: 5.0, TOKENS: 0.0, REQUESTS: 0.0}
        clock.now += 1
        assert scrape(applications) == {COST: 5.0, TOKENS: 7.0, REQUESTS: 3.0}

    def test_a_filter_alone_shows_values_too(self, applications: Applications, clock: Clock) -> None:
        """A Prometheus that never asks for everything sees what it asks for."""
        for expected in (0.0, 5.0, 5.0):
            assert scrape(applications, COST) == {COST: expected}
            clock.now += 20

    def test_a_scrape_of_everything_goes_for_its_parts(self, applications: Applications, clock: Clock) -> None:
        """What was 0 in full scrapes for long enough may be shown in a filtered one, and then in all."""
        scrape(applications)
        clock.now += 20
        assert scrape(applications, COST) == {COST: 5.0}
        assert scrape(applications) == {COST: 5.0, TOKENS: 7.0, REQUESTS: 3.0}

    @pytest.mark.parametrize("names", [("unknown",), ()])
    def test_a_scrape_that_shows_nothing(
        self, applications: Applications, clock: Clock, names: tuple[str, ...]
    ) -> None:
        """Neither unknown names nor a look at the directory for its own sake begin a series' time at 0."""
        applications.scrape(frozenset(names))
        clock.now += 1000
        applications.scrape(frozenset(names))
        assert scrape(applications) == {COST: 0.0, TOKENS: 0.0, REQUESTS: 0.0}

    def test_all_series_are_counted(self, applications: Applications) -> None:
        """The number of series is that of the directory, whatever was asked for; and only that much is rendered."""
        everything = applications.scrape()
        some = applications.scrape(frozenset((REQUESTS,)))
        assert some.series == everything.series
        assert TOKENS.encode() not in b"".join(some.render(False))

    def test_a_restart_resets_no_counter(
        self, applications: Applications, clock: Clock, tmp_path: Path, exporter: Open
    ) -> None:
        """What was shown in part is shown as a whole by the next exporter; what was not shown at all is new to it."""
        scrape(applications, COST)
        clock.now += 20
        assert scrape(applications, COST) == {COST: 5.0}
        applications.close()
        again = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        assert scrape(again) == {COST: 5.0, TOKENS: 7.0, REQUESTS: 0.0}
