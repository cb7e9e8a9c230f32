"""Property tests: any sequence of events as a scraper sees it, and any damage to the files of a directory."""

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from genai_exporter.aggregate import Applications
from genai_exporter.archive import ARCHIVE_NAME
from genai_exporter.directory import DirectoryError
from genai_exporter.shown import SHOWN_NAME
from genai_metrics.blockfile import BlockFileWriter, parse_header
from genai_metrics.catalog import LLM_IN_FLIGHT, TENANT
from genai_metrics.recorder import Recorder
from genai_metrics.settings import Settings

COST = TENANT.offset("genai_tenant_cost_usd_total")
BORN_AT_ZERO_SECONDS = 20.0
MEMORY = Path("/dev/shm")
# One that many workers add to, and some that come later.
TENANTS = ("acme", "acme", "acme", "umbrella", "été", "a", "b")
SERVICES = ("chat", "search")
# Whole numbers, and such that no double can say: their sums have to be rounded.
AMOUNTS = st.one_of(
    st.integers(1, 10**6).map(float), st.integers(1, 10**9).map(lambda n: n * 1e-7), st.floats(1e-9, 1e9)
)

Samples = dict[str, float]


def directory() -> "tempfile.TemporaryDirectory[str]":
    """A new directory, in memory where that is possible."""
    return tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)


def cost(service: str, tenant: str) -> str:
    """The name of a tenant's cost as it is rendered."""
    return f'genai_tenant_cost_usd_total{{service="{service}",tenant="{tenant}"}}'


def scraped(applications: Applications) -> Samples:
    """Scrape and return the value of each series."""
    lines = b"".join(applications.scrape().render(False)).decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it but the test."""


@contextmanager
def failing(at: int, error: Callable[[], BaseException]) -> Iterator[None]:
    """Have the n-th call that changes a file raise instead; a killed process makes no call after it either."""
    names = ("write", "fsync", "fdatasync", "rename", "unlink", "truncate", "ftruncate")
    count = 0

    def trapped(call: Callable[..., Any]) -> Callable[..., Any]:
        def trap(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == at or (count > at and isinstance(error(), Killed)):
                raise error()
            return call(*arguments, **options)

        return trap

    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(os, name, trapped(getattr(os, name)))
        yield


class Directory(RuleBasedStateMachine):
    """Workers, exporters and a scraper on one directory. Time stands still but for a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.place = directory()
        self.path = Path(self.place.name)
        self.now = 0.0
        self.workers: list[Recorder] = []
        self.recorded: dict[str, list[float]] = {}
        self.sums: dict[str, Fraction] = {}
        self.seen: Samples = {}
        self.exporter: Applications | None = None

    def teardown(self) -> None:
        """Let go of everything."""
        for worker in self.workers:
            worker.let_go()
        if self.exporter is not None:
            self.exporter.close()
        self.place.cleanup()

    @initialize()
    def begin(self) -> None:
        """An exporter comes first: what was recorded before the first one ever is taken for shown."""
        self.start()
        for service in (*SERVICES, SERVICES[0], SERVICES[0]):
            self.start_worker(service)

    @rule(service=st.sampled_from(SERVICES))
    def start_worker(self, service: str) -> None:
        """A process starts."""
        if len(self.workers) < 5:
            self.workers.append(Recorder(Settings(metrics_dir=self.path, service_name=service)))

    @precondition(lambda self: self.workers)
    @rule(tenant=st.sampled_from(TENANTS), amounts=st.lists(AMOUNTS, min_size=5, max_size=5))
    def record(self, tenant: str, amounts: list[float]) -> None:
        """Each process records the cost of a call; it adds up in doubles, the expectation without rounding."""
        for worker, amount in zip(self.workers, amounts, strict=False):
            block = worker.block(TENANT, (tenant,))
            before = block.read()[COST]
            block.add(COST, amount)
            name = cost(worker.service, tenant)
            self.sums[name] = self.sums.get(name, Fraction(0)) + Fraction(block.read()[COST]) - Fraction(before)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def kill_worker(self, data: st.DataObject) -> None:
        """A process ends."""
        worker = data.draw(st.sampled_from(self.workers))
        self.workers.remove(worker)
        worker.let_go()

    @rule(seconds=st.sampled_from([5.0, 15.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @rule()
    def scrape(self) -> None:
        """The scraper finds each series that it has seen, no lower than it was, and 0 or right."""
        assert self.exporter is not None
        found = scraped(self.exporter)
        lower = {name: (value, found.get(name)) for name, value in self.seen.items() if found.get(name, -1.0) < value}
        assert lower == {}
        for name, value in self.sums.items():
            assert found[name] in (0.0, float(value))
            if self.seen.get(name):
                assert found[name] == float(value)
        self.seen = {name: value for name, value in found.items() if name.startswith("genai_tenant_cost_usd_total")}

    @rule()
    def kill_exporter(self) -> None:
        """The exporter is killed and started again."""
        assert self.exporter is not None
        self.exporter.close()
        self.start()

    @rule(at=st.integers(1, 9), workers_end=st.booleans())
    def kill_exporter_at_work(self, at: int, workers_end: bool) -> None:
        """The exporter is killed in the middle of a scrape, a fold perhaps, and the next one while it starts."""
        assert self.exporter is not None
        while workers_end and self.workers:
            self.workers.pop().let_go()
        for work in (self.exporter.scrape, self.start):
            with failing(at, Killed):
                try:
                    work()
                except Killed:
                    pass
            self.exporter.close()
        self.start()
        self.scrape()

    @rule(at=st.integers(1, 9), workers_end=st.booleans(), exporter_ends=st.booleans())
    def fail_on_disk(self, at: int, workers_end: bool, exporter_ends: bool) -> None:
        """One system call of a scrape fails for want of space; young series may be due to be shown in it."""
        assert self.exporter is not None
        self.scrape()
        self.now += BORN_AT_ZERO_SECONDS
        while workers_end and self.workers:
            self.workers.pop().let_go()
        with failing(at, lambda: OSError(28, "No space left on device")):
            self.scrape()
        if exporter_ends:
            self.kill_exporter()
            self.scrape()

    @rule(at=st.integers(1, 14))
    def fail_on_disk_at_start(self, at: int) -> None:
        """An exporter starts, and one of its system calls fails for want of space."""
        assert self.exporter is not None
        self.exporter.close()
        with failing(at, lambda: OSError(28, "No space left on device")):
            self.start()

    @rule()
    def lose_the_record(self) -> None:
        """Somebody removes the record of shown series while no exporter runs."""
        assert self.exporter is not None
        self.exporter.close()
        (self.path / SHOWN_NAME).unlink(missing_ok=True)
        self.start()

    @rule()
    def settle(self) -> None:
        """After twice the time of birth every series has its value, to the last bit."""
        assert self.exporter is not None
        for _ in range(2):
            self.scrape()
            self.now += BORN_AT_ZERO_SECONDS
        self.scrape()
        assert self.seen == {name: float(value) for name, value in self.sums.items()}

    def start(self) -> None:
        """Start an exporter."""
        self.exporter = Applications(self.path, born_at_zero_seconds=BORN_AT_ZERO_SECONDS, clock=lambda: self.now)
        self.exporter.open()


Directory.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Not shrunk: files have random names, so that the same steps do not always fail, and that could take for ever.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestAnySequence = Directory.TestCase


@pytest.fixture(scope="module")
def sound() -> dict[str, bytes]:
    """Files of a directory: ``live`` and ``dead``, block files of two tenants each, the archive and the record."""
    with directory() as name:
        path = Path(name)
        files = {}
        exporter = Applications(path, born_at_zero_seconds=0)
        exporter.open()
        for which in ("archived", "dead"):
            writer = BlockFileWriter(path, "service")
            for tenant in (which, "both"):
                writer.append(TENANT, (tenant,))[COST] = 0.1
            writer.append(LLM_IN_FLIGHT, ("m", "m"))[0] = 1.0
            data = writer.path.read_bytes()
            files[which] = data[: parse_header(data).used]
            if which == "archived":
                writer.let_go()
                exporter.scrape()
            else:
                writer.path.unlink()
                writer.let_go()
        exporter.close()
        return files | {file: (path / file).read_bytes() for file in (ARCHIVE_NAME, SHOWN_NAME)}


class TestAnyDamage:
    """Whatever is in the files, nothing is raised but what is documented, and the other files are served."""

    @settings(max_examples=150, deadline=None)
    @given(data=st.binary(max_size=300), flips=st.lists(st.integers(0, 10**9), max_size=4), cut=st.integers(0, 400))
    @pytest.mark.parametrize("base", ["random", "after-a-header", "flipped"])
    def test_block_files(self, base: str, sound: dict[str, bytes], data: bytes, flips: list[int], cut: int) -> None:
        """Random bytes, random blocks after a sound header, and sound files with flipped bits and cut ends."""
        if base == "after-a-header":
            data = sound["dead"][:72] + data
            data = data[:16] + len(data).to_bytes(8, "little") + data[24:]
        elif base == "flipped":
            data = flipped(sound["dead"], flips)[: max(0, len(sound["dead"]) - cut) if cut % 3 == 0 else None]
        with directory() as name:
            path = Path(name)
            (path / "good.blocks").write_bytes(sound["archived"])
            exporter = Applications(path, born_at_zero_seconds=0)
            exporter.open()
            first = scraped(exporter)
            assert first[cost("service", "archived")] == 0.1
            (path / "odd.blocks").write_bytes(data)
            for _ in range(2):
                found = scraped(exporter)
                assert found[cost("service", "archived")] >= 0.1 or base == "flipped"
                rejected = exporter.scrape().files["rejected"]
                assert rejected == (path / "odd.blocks").exists() or exporter.scrape().files["partial"]
            exporter.close()

    @settings(max_examples=150, deadline=None)
    @given(flips=st.lists(st.integers(0, 10**9), min_size=1, max_size=3), cut=st.integers(0, 1200))
    def test_archive(self, sound: dict[str, bytes], flips: list[int], cut: int) -> None:
        """A changed or shortened archive is refused with the remedy, or the change is without effect."""
        data = sound[ARCHIVE_NAME]
        changed = flipped(data, flips) if cut % 2 else data[: max(0, len(data) - cut)]
        with directory() as name:
            path = Path(name)
            expected = self.served(path, data)
            message = ""
            found = expected
            try:
                found = self.served(path, changed)
            except DirectoryError as error:
                message = str(error)
            assert found == expected
            assert not message or "restore it from a backup, or move it away" in message

    @settings(max_examples=150, deadline=None)
    @given(flips=st.lists(st.integers(0, 10**9), max_size=3), cut=st.integers(0, 200), tail=st.binary(max_size=60))
    def test_record(self, sound: dict[str, bytes], flips: list[int], cut: int, tail: bytes) -> None:
        """A changed record never stops the exporter; unless it is cut off, all that was shown is shown at once."""
        record = flipped(sound[SHOWN_NAME], flips)
        changed = record[: max(0, len(record) - cut)] + tail
        with directory() as name:
            path = Path(name)
            (path / ARCHIVE_NAME).write_bytes(sound[ARCHIVE_NAME])
            (path / SHOWN_NAME).write_bytes(changed)
            for _ in range(2):
                exporter = Applications(path, born_at_zero_seconds=1e9)
                exporter.open()
                found = scraped(exporter)
                exporter.close()
                values = {found[cost("service", tenant)] for tenant in ("archived", "both")}
                assert values == {0.1} if cut == 0 else values <= {0.0, 0.1}

    @pytest.mark.parametrize("bit", [0, 1, 7])
    def test_each_byte_of_the_record(self, bit: int, sound: dict[str, bytes]) -> None:
        """No flipped bit anywhere makes a series that was shown start at 0 again."""
        record = sound[SHOWN_NAME]
        with directory() as name:
            path = Path(name)
            (path / ARCHIVE_NAME).write_bytes(sound[ARCHIVE_NAME])
            for place in range(len(record)):
                (path / SHOWN_NAME).write_bytes(flipped(record, [8 * place + bit]))
                exporter = Applications(path, born_at_zero_seconds=1e9)
                exporter.open()
                found = scraped(exporter)
                exporter.close()
                assert {found[cost("service", tenant)] for tenant in ("archived", "both")} == {0.1}, place

    @staticmethod
    def served(path: Path, archive: bytes) -> Samples:
        """What an exporter shows that finds this archive."""
        (path / ARCHIVE_NAME).write_bytes(archive)
        exporter = Applications(path, born_at_zero_seconds=0)
        exporter.open()
        try:
            return scraped(exporter)
        finally:
            exporter.close()


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(st.tuples(st.sampled_from(TENANTS), AMOUNTS), min_size=2, max_size=8),
    seed=st.integers(0, 1000),
)
def test_any_order_of_files_gives_the_same_bytes(blocks: list[tuple[str, float]], seed: int) -> None:
    """The same blocks in files that sort otherwise are rendered alike, living or folded."""
    rendered = set()
    for shuffle in (False, True):
        for alive in (False, True):
            with directory() as name:
                order = list(range(len(blocks)))
                if shuffle:
                    random.Random(seed).shuffle(order)
                writers = []
                for place, (tenant, amount) in zip(order, blocks, strict=True):
                    writer = BlockFileWriter(Path(name), "service")
                    writer.append(TENANT, (tenant,))[COST] = amount
                    writer.path.rename(Path(name) / f"{place}.blocks")
                    if not alive:
                        writer.let_go()
                    writers.append(writer)
                exporter = Applications(Path(name), born_at_zero_seconds=0)
                exporter.open()
                exporter.scrape()
                rendered.add(b"".join(exporter.scrape().render(False)))
                exporter.close()
                if alive:
                    for writer in writers:
                        writer.let_go()
    assert len(rendered) == 1


def flipped(data: bytes, flips: list[int]) -> bytes:
    """Data with some bits flipped, by number modulo the length."""
    changed = bytearray(data)
    for flip in flips:
        changed[flip // 8 % len(data)] ^= 1 << flip % 8
    return bytes(changed)
