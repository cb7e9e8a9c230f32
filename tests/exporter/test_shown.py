"""Tests of born-at-zero and of the record of what has been shown."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from genai_exporter.aggregate import Applications
from genai_exporter.directory import MetricsDirectory
from genai_exporter.shown import FOUND, SHOWN, SHOWN_NAME, ShownRecord
from genai_exporter.totals import Totals
from genai_metrics.catalog import TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]
Open = Callable[..., Applications]

# Scrapes until the series has its value, says so and is killed at once, by itself.
SHOW_AND_DIE = """
import os, pathlib, signal, sys
from genai_exporter.aggregate import Applications
now = 0.0
applications = Applications(pathlib.Path(sys.argv[1]), born_at_zero_seconds=10, clock=lambda: now)
applications.open()
applications.scrape()
now = 10.0
os.write(1, b"".join(applications.scrape().render(False)))
os.kill(os.getpid(), signal.SIGKILL)
"""


def series(tenant: str) -> str:
    """The name of a tenant's requests as it is rendered."""
    return f'genai_tenant_requests_total{{service="service",tenant="{tenant}",mode="m"}}'


def count(recorder: Recorder, tenant: str, calls: float = 1) -> None:
    """Record some calls of a tenant."""
    recorder.block(TENANT_REQUESTS, (tenant, "m")).add(0, calls)


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


class TestBornAtZero:
    """A new series is 0 until a scraper has seen it so."""

    def test_zero_for_its_time_and_then_its_value(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """The time runs from the first scrape, not from the first record; what is recorded meanwhile is not lost."""
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        recorder = writer(tmp_path)
        count(recorder, "acme", 50)
        clock.now += 1000
        for passed, expected in ((0.0, 0), (15.0, 0), (19.9, 0), (20.0, 57), (35.0, 57)):
            clock.now = 2000 + passed
            assert samples(applications)[series("acme")] == expected
            if passed == 15.0:
                count(recorder, "acme", 7)
        count(recorder, "acme", 1)
        assert samples(applications)[series("acme")] == 58

    def test_each_series_has_its_own_time(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """One that comes later starts at 0 beside one that has its value."""
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        recorder = writer(tmp_path)
        count(recorder, "early")
        samples(applications)
        clock.now += 20
        count(recorder, "late")
        found = samples(applications)
        assert (found[series("early")], found[series("late")]) == (1, 0)

    def test_zero_seconds_switch_it_off(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """Then a series has its value from the first scrape on."""
        applications = exporter(tmp_path, born_at_zero_seconds=0, clock=clock)
        count(writer(tmp_path), "acme", 3)
        assert samples(applications)[series("acme")] == 3

    def test_a_process_that_ends_before_its_time(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """A job's only call is born at zero too, from the archive, over a restart of the exporter."""
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        recorder = writer(tmp_path)
        count(recorder, "acme", 50)
        recorder.let_go()
        assert samples(applications)[series("acme")] == 0
        applications.close()
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        assert samples(applications)[series("acme")] == 0
        clock.now += 20
        assert samples(applications)[series("acme")] == 50

    def test_a_series_of_a_second_process_is_not_new(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """What other workers add to a shown series shows at once."""
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        count(writer(tmp_path), "acme")
        samples(applications)
        clock.now += 20
        samples(applications)
        count(writer(tmp_path), "acme", 4)
        assert samples(applications)[series("acme")] == 5


class TestRestart:
    """What has been shown is shown again at once."""

    def test_killed_right_after_it_was_shown(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """The record is on disk before the answer is: a kill in the next instant does not fake a counter reset."""
        exporter(tmp_path).close()
        count(writer(tmp_path), "acme", 50)
        killed = subprocess.run([sys.executable, "-c", SHOW_AND_DIE, str(tmp_path)], stdout=subprocess.PIPE, timeout=60)
        assert killed.returncode == -signal.SIGKILL
        assert f"{series('acme')} 50.0\n" in killed.stdout.decode()
        assert samples(exporter(tmp_path, born_at_zero_seconds=1e9))[series("acme")] == 50

    def test_what_was_not_shown_is_new_to_the_next(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples, clock: Clock
    ) -> None:
        """Series that were 0, and those that came while no exporter ran, start at 0."""
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        recorder = writer(tmp_path)
        count(recorder, "shown")
        samples(applications)
        clock.now += 20
        count(recorder, "young")
        samples(applications)
        applications.close()
        count(recorder, "unseen")
        applications = exporter(tmp_path, born_at_zero_seconds=20, clock=clock)
        found = samples(applications)
        assert [found[series(tenant)] for tenant in ("shown", "young", "unseen")] == [1, 0, 0]
        clock.now += 20
        found = samples(applications)
        assert [found[series(tenant)] for tenant in ("shown", "young", "unseen")] == [1, 1, 1]

    @pytest.mark.parametrize("folded", [False, True])
    def test_without_a_record_everything_counts_as_shown(
        self, folded: bool, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """Living and archived series show their values at once, at this start and at those after it."""
        recorder = writer(tmp_path)
        count(recorder, "acme", 50)
        applications = exporter(tmp_path)
        if folded:
            recorder.let_go()
        samples(applications)
        applications.close()
        (tmp_path / SHOWN_NAME).unlink()
        for _ in range(2):
            applications = exporter(tmp_path, born_at_zero_seconds=1e9)
            assert samples(applications)[series("acme")] == 50
            applications.close()

    def test_a_restart_does_not_lengthen_the_record(
        self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples
    ) -> None:
        """It has two entries for each label set and no more."""
        count(writer(tmp_path), "acme", 50)
        sizes = set()
        for _ in range(4):
            applications = exporter(tmp_path)
            for _ in range(3):
                samples(applications)
            applications.close()
            sizes.add((tmp_path / SHOWN_NAME).stat().st_size)
        assert len(sizes) == 1


class TestDamage:
    """Records that are not as they were written."""

    @pytest.fixture
    def record(self, tmp_path: Path, writer: Writer, exporter: Open, samples: Samples) -> Path:
        """A record of three tenants that were shown."""
        applications = exporter(tmp_path)
        recorder = writer(tmp_path)
        for tenant in ("one", "two", "three"):
            count(recorder, tenant)
            samples(applications)
        applications.close()
        return tmp_path / SHOWN_NAME

    def shown_at_once(self, record: Path, exporter: Open, samples: Samples) -> int:
        """The number of tenants that an exporter takes for shown before; of two exporters, one after the other."""
        numbers = set()
        for _ in range(2):
            applications = exporter(record.parent, born_at_zero_seconds=1e9)
            numbers.add(sum(value for name, value in samples(applications).items() if "tenant_requests" in name))
            applications.close()
        (number,) = numbers
        return int(number)

    @pytest.mark.parametrize("length", [1, 12, 13, 20, -100])
    def test_a_torn_tail_is_dropped(
        self,
        record: Path,
        writer: Writer,
        length: int,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """What a crash left at the end was not shown yet; the rest holds, and the file is whole again."""
        whole = record.read_bytes()
        # Space that a file system made and had not written yet is zeros.
        tail = whole[:length] if length > 0 else bytes(-length)
        record.write_bytes(whole + tail)
        count(writer(record.parent), "new")
        assert self.shown_at_once(record, exporter, samples) == 3
        assert record.read_bytes().startswith(whole)
        warnings = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.WARNING]
        assert warnings == [f"{record}: dropped {len(tail)} bytes that a crash left incomplete"]

    @pytest.mark.parametrize("where", [0, 1, 6, 10, 20, 40])
    def test_damage_counts_as_a_lost_record(
        self,
        record: Path,
        writer: Writer,
        where: int,
        exporter: Open,
        samples: Samples,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Where records in the middle cannot be read, everything found may have been shown."""
        data = bytearray(record.read_bytes())
        data[where] ^= 0x10
        record.write_bytes(data)
        count(writer(record.parent), "new")
        assert self.shown_at_once(record, exporter, samples) == 4
        (message,) = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
        assert message.startswith(f"{record} is damaged from byte {34 * (where >= 34)} on: ")

    def test_a_directory_in_its_place(
        self, record: Path, exporter: Open, samples: Samples, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It cannot be read, written or removed: said so, and the exporter serves all the same."""
        record.unlink()
        record.mkdir()
        assert self.shown_at_once(record, exporter, samples) == 3
        messages = [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR]
        assert len(messages) == 4
        assert f"{record} cannot be kept" in messages[0]
        assert f"{record} cannot be removed either" in messages[1]

    def test_no_permission_to_write(
        self, record: Path, writer: Writer, exporter: Open, samples: Samples, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A record that can no longer be written goes at once: an incomplete one would be believed."""
        applications = exporter(record.parent)
        samples(applications)
        count(writer(record.parent), "new")

        def refuse(fd: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            assert samples(applications)[series("new")] == 1
        assert not record.exists()
        applications.close()
        assert self.shown_at_once(record, exporter, samples) == 4


def opened(path: Path) -> MetricsDirectory:
    """The directory as the record takes it; closed with the test's process."""
    directory = MetricsDirectory(path)
    directory.open(make=False)
    return directory


def test_the_record_is_in_the_order_of_finding(tmp_path: Path) -> None:
    """Label caps admit values in this order again."""
    record = ShownRecord(opened(tmp_path))
    assert record.load() == []
    assert not record.complete
    record.replace([])
    totals = Totals({})
    for tenant in (b"b\0m", b"a\0m", b"c\0m"):
        totals.find(TENANT_REQUESTS, "service", tenant)
    found = totals.take_new()
    record.append(FOUND, found)
    record.append(SHOWN, found[:1])
    again = ShownRecord(opened(tmp_path))
    layout = TENANT_REQUESTS.layout_id
    assert again.load() == [(FOUND, (layout, b"service\0" + key)) for key in (b"b\0m", b"a\0m", b"c\0m")] + [
        (SHOWN, (layout, b"service\0b\0m"))
    ]
    assert again.complete
