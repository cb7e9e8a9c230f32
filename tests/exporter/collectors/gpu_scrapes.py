"""Scrapes of GPU captures, for tests; run as a program, it writes the golden scrapes beside the captures again."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pynvml
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from genai_exporter.collectors.gpu import GpuCollector
from genai_exporter.collectors.gpu_capture import Replay
from genai_exporter.collectors.gpu_nvml import DriverError

CAPTURES = Path(__file__).with_name("gpu_captures")
NAMES = sorted(path.stem for path in CAPTURES.glob("*.json"))
DATA_CENTRE = "h100-sxm__580"
FIRST, SECOND = (f"GPU-00000000-0000-0000-0000-00000000000{number}" for number in (1, 2))
EVENTS_OF_SECOND = {"handle": "events1"}


class Families(Collector):
    """Yields families that were collected before."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[Metric]:
        """Yield them."""
        yield from self._families


def text(families: Iterable[Metric]) -> str:
    """Return families as Prometheus is served them."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(families))
    return generate_latest(registry).decode()


def scrapes(capture: str) -> Iterator[str]:
    """Scrape through a capture with one collector, and yield what each scrape serves or why it fails."""
    replay = Replay(capture, pynvml)
    collector = GpuCollector(replay)
    while replay.scrapes:
        replay.begin_scrape()
        try:
            yield text(collector.collect())
        except DriverError as error:
            yield f"# failed: {error}\n"
        assert replay.unasked() == []


def stored(name: str) -> str:
    """Return the text of a capture."""
    return (CAPTURES / f"{name}.json").read_text("utf-8")


def altered(name: str, answers: dict[str, Any]) -> str:
    """Return a capture of one scrape with some answers changed; None removes one."""
    content = json.loads(stored(name))
    content["scrapes"] = content["scrapes"][:1]
    content["scrapes"][0] = {**content["scrapes"][0], **answers}
    return json.dumps(content)


def served(capture: str) -> dict[str, float]:
    """Return the series of the first scrape of a capture."""
    lines = next(scrapes(capture)).splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def of_device(found: dict[str, float], uuid: str) -> dict[str, float]:
    """Return the series of one device."""
    return {series: value for series, value in found.items() if f'uuid="{uuid}"' in series}


def values(found: dict[str, float], metric: str) -> list[float]:
    """Return the values of one metric's series."""
    return [value for series, value in found.items() if series.partition("{")[0] == f"genai_gpu_{metric}"]


if __name__ == "__main__":
    for old in CAPTURES.glob("*.metrics"):
        old.unlink()
    for capture_name in NAMES:
        for number, served_text in enumerate(scrapes(stored(capture_name)), 1):
            (CAPTURES / f"{capture_name}.{number}.metrics").write_text(served_text, "utf-8")
