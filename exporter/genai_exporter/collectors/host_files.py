"""Where the kernel's files are, and how they are read: bounded, whole lines, numbers that are numbers.

Everything raises ``OSError`` or ``ValueError`` with a text that names the file; nothing is guessed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from genai_metrics.catalog import MetricSpec

Reading = tuple[MetricSpec, tuple[str, ...], float]
"""A metric, the values of its labels, and a number in its base unit."""

# The largest, /proc/stat on hundreds of CPUs, has some 100 kB.
_MOST_BYTES = 4 * 1024 * 1024
# Files of /proc/sys refuse to be asked for 4 MiB at once (ENOMEM): the kernel makes room for all that is asked for.
_PIECE_BYTES = 64 * 1024
_COUNT = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,15}\.[0-9]{1,9}")


@dataclass(frozen=True)
class Roots:
    """Where the host's files are seen from here; in a container that watches its host, where they are mounted.

    ``root`` is the root of the file systems that the mount table names; ``cgroup`` is None for that of ``sys``.
    """

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    cgroup: Path | None = None
    root: Path = Path("/")

    @property
    def cgroups(self) -> Path:
        """The root of the cgroups that are seen: in a container its own, on the machine that of all."""
        return self.sys / "fs/cgroup" if self.cgroup is None else self.cgroup

    @property
    def foreign(self) -> bool:
        """Whether ``proc`` is another's, which does not know this process."""
        return self.proc != Path("/proc")

    def of_process(self, name: str) -> Path:
        """Return a file of ``/proc/<process>`` that says how the host sees it: mounts, network.

        In our own ``/proc`` that is ours: process 1 may be in other namespaces. In another's it is that of process 1,
        because its ``self`` is we again, with our own container's mounts and network.
        """
        first = self.proc / "1" / name
        return first if self.foreign and first.exists() else self.proc / "self" / name


def lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file without their ends; raises ``ValueError`` at the end of one that is cut off.

    Bytes that are not UTF-8 stay as lone surrogates, so that paths can be used.
    """
    data = _read(path)
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{path} is larger than {_MOST_BYTES} bytes")
    *whole, rest = data.decode("utf-8", "surrogateescape").split("\n")
    yield from whole
    # The kernel ends each line; the last number of one without an end may lack digits.
    if rest or not whole:
        raise ValueError(f"{path} is empty or cut off")


def _read(path: Path) -> bytes:
    """Return what the file holds, or somewhat more than the most that is read."""
    data = b""
    try:
        with path.open("rb", buffering=0) as file:
            while len(data) <= _MOST_BYTES and (piece := file.read(_PIECE_BYTES)):
                data += piece
    except OSError as error:
        if error.filename is None:  # it could be opened and not be read
            error.filename = str(path)
        raise
    return data


def line(path: Path) -> str:
    """Return the only line of a file."""
    first, *others = lines(path)
    if others:
        raise ValueError(f"{path} has more than one line")
    return first


def number(path: Path) -> int:
    """Return the number that a file consists of."""
    return count(line(path), path)


def numbers(path: Path) -> dict[str, int]:
    """Return a file of lines ``name number``, such as a cgroup's ``cpu.stat``; other lines are left out."""
    pairs = (text.split() for text in lines(path))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and _COUNT.fullmatch(pair[1])}


def count(text: str, path: Path) -> int:
    """Read a whole number from 0 on as the kernel writes it; ``path`` is for the error."""
    # int() also takes signs, underscores and the digits of all scripts.
    if not _COUNT.fullmatch(text):
        raise ValueError(f"{path}: {text[:40]!r} is not a number")
    return int(text)


def decimal(text: str, path: Path) -> float:
    """Read a number with a fraction, such as a load average."""
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{path}: {text[:40]!r} is not a number")
    return float(text)


def pick(found: dict[str, int], name: str, path: Path) -> int:
    """Return the number called ``name`` that was read from ``path``."""
    if name not in found:
        raise ValueError(f"{path} has no number {name}")
    return found[name]
