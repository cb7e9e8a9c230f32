"""Scrapes of recorded hosts, for tests; run as a program, it writes the golden scrapes beside the recordings again."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from gpu_scrapes import text

from genai_exporter.collectors.host import HostCollector
from genai_exporter.collectors.host_devices import Space
from genai_exporter.collectors.host_files import Roots

FIXTURES = Path(__file__).with_name("fixtures")
NAMES = sorted(path.parent.name for path in FIXTURES.glob("*/proc"))


def collector(folder: Path) -> HostCollector:
    """Return a collector of the host whose files are in ``folder``; file systems that it does not list say no."""
    root = folder / "root"
    sizes: dict[str, list[int] | None] = json.loads((folder / "space.json").read_text("utf-8"))

    def ask(path: str) -> Space | None:
        point = "/" + os.path.relpath(path, root).removeprefix(".")
        if point not in sizes:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), point)
        found = sizes[point]
        return None if found is None else Space(*found)

    return HostCollector(Roots(folder / "proc", folder / "sys", folder / "cgroup", root), ask)


def copy_of(name: str, folder: Path) -> Path:
    """Copy a recording into ``folder``, for a test to change; returns where it is."""
    return Path(shutil.copytree(FIXTURES / name, folder / name))


def scrape(folder: Path) -> str:
    """Return what one scrape of the host in ``folder`` serves."""
    return text(collector(folder).collect())


def series(served: str) -> dict[str, float]:
    """Return a scrape's samples by name and labels."""
    return dict(_pairs(served))


def _pairs(served: str) -> Iterator[tuple[str, float]]:
    for line in served.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name.removeprefix("genai_host_"), float(value)


if __name__ == "__main__":
    for fixture in NAMES:
        (FIXTURES / f"{fixture}.metrics").write_text(scrape(FIXTURES / fixture), "utf-8")
