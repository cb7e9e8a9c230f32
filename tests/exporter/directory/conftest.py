"""A metrics directory with a living writer, and what lies beside it."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from foreign_files import block_file

from genai_exporter.aggregate import Applications
from genai_metrics.catalog import TENANT_REQUESTS
from genai_metrics.recorder import Recorder

Samples = Callable[[Applications], dict[str, float]]
Writer = Callable[..., Recorder]


@pytest.fixture
def samples(samples: Samples) -> Samples:
    """A function that scrapes and returns the requests of tenants alone: a recorder shows series of its own."""

    def requests(applications: Applications) -> dict[str, float]:
        return {
            name: value for name, value in samples(applications).items() if name.startswith("genai_tenant_requests")
        }

    return requests


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A metrics directory beside other things."""
    (tmp_path / "metrics").mkdir(mode=0o700)
    return tmp_path / "metrics"


@pytest.fixture
def good(directory: Path, writer: Writer) -> Recorder:
    """A living writer in it, with one call."""
    recorder = writer(directory)
    recorder.block(TENANT_REQUESTS, ("good", "m")).add(0, 1)
    return recorder


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file that would be shown if it lay in the directory."""
    path = tmp_path / "secret"
    path.write_bytes(block_file("secret"))
    return path


@pytest.fixture
def busy() -> Iterator[Callable[[Callable[[], None]], None]]:
    """A function that has a thread do something again and again until the end of the test."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    failures: list[BaseException] = []

    def start(action: Callable[[], None]) -> None:
        def run() -> None:
            try:
                while not stop.is_set():
                    action()
            except BaseException as error:
                failures.append(error)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
