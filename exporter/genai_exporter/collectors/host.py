"""The collector of the host: what its sources say, as families; a source that fails costs its own series.

On Linux it reads the files of the kernel itself. psutil, which is asked on other systems, cannot be told where they are
but for ``/proc``, and that for the whole process; where a file is missing there it takes the machine's own, or 0 for an
answer; it knows no cgroups; and one line that it does not understand costs it everything of that kind.
"""

import logging
import platform
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client.core import Metric

from genai_exporter.collectors.families import family
from genai_exporter.collectors.host_devices import Space, disks, filesystems, networks, space
from genai_exporter.collectors.host_files import Reading, Roots
from genai_exporter.collectors.host_machine import SOURCES
from genai_exporter.collectors.limited import reason
from genai_metrics.catalog import HOST_METRICS, MetricSpec, host

log = logging.getLogger(__name__)

_Source = Callable[[Roots], Iterator[Reading]]
_Found = dict[MetricSpec, dict[tuple[str, ...], float]]

# A larger step back is another machine's count: of a restored snapshot, say.
_MOST_SECONDS_BACK = 60.0


class HostError(Exception):
    """Nothing of the host can be read; the text says where from, why, and the remedy."""


class HostCollector:
    """Reads CPU, memory, disks and network of the machine, or of the container's share of it; one thread at a time.

    ``roots`` are where the kernel's files are seen. ``ask_space`` asks the file system at a path for its space, and is
    a parameter for tests. A source that cannot be read or understood is logged when that begins, has no series, and
    costs no other source its own.
    """

    name = "host"

    def __init__(self, roots: Roots | None = None, ask_space: Callable[[str], Space | None] = space) -> None:
        self._roots = Roots() if roots is None else roots
        self._sources = _sources(ask_space)
        self._faults: dict[int, str] = {}
        self._cpu_seconds: dict[tuple[str, ...], float] = {}

    def collect(self) -> Iterable[Metric]:
        """Read all sources and return fresh families; takes a few milliseconds. Raises ``HostError``."""
        found: _Found = {}
        faults: dict[int, str] = {}
        for number, source in enumerate(self._sources):
            try:
                for metric, labels, value in source(self._roots):
                    found.setdefault(metric, {})[labels] = value
            except (OSError, ValueError) as error:
                faults[number] = str(error)
            except Exception as error:
                faults[number] = reason(error)
        if not found:
            raise HostError(
                f"nothing of the host can be read: {next(iter(faults.values()))}; give --path.procfs and --path.sysfs "
                "where /proc and /sys of a Linux are, or switch the collector off (--no-collector.host)"
            )
        self._log(faults)
        self._hold(found.get(host.CPU_SECONDS, {}))
        return [family(metric, found[metric]) for metric in HOST_METRICS if metric in found]

    def _log(self, faults: dict[int, str]) -> None:
        """Log the faults that are new: several sources may tell the same one."""
        for fault in dict.fromkeys(faults.values()):
            if fault not in self._faults.values():
                log.warning("a part of the host cannot be read", extra={"fields": {"error": fault}})
        for fault in dict.fromkeys(self._faults.values()):
            if fault not in faults.values():
                log.info("a part of the host can be read again", extra={"fields": {"error": fault}})
        self._faults = faults

    def _hold(self, seconds: dict[tuple[str, ...], float]) -> None:
        """Keep counters from going back: the kernel's idle and iowait times may, which would look like a restart."""
        for mode, value in seconds.items():
            before = self._cpu_seconds.get(mode, 0.0)
            if before - _MOST_SECONDS_BACK < value < before:
                seconds[mode] = before
        self._cpu_seconds = dict(seconds)


def _sources(ask_space: Callable[[str], Space | None]) -> tuple[_Source, ...]:
    """Return what can be read on this system."""
    if platform.system() == "Linux":
        return (*SOURCES, partial(filesystems, ask=ask_space), disks, networks)
    from genai_exporter.collectors import host_psutil  # psutil is not installed on Linux

    return host_psutil.SOURCES
