"""File systems, disks and network devices: one series each, for as many as an ordinary machine has.

Each function yields what one source says. A line that cannot be understood costs itself; it is raised at the end.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from genai_exporter.collectors.host_files import Reading, Roots, count, lines
from genai_metrics.catalog import host
from genai_metrics.labels import clean

T = TypeVar("T")

MOST_DEVICES = 100
"""File systems, disks and network devices, of each: what comes later has no series, and the log says so."""

# What stores data of its own on this machine. Not network file systems: statvfs() waits for a server that is gone.
# Not images (squashfs, iso9660, erofs): they are full by nature.
_FILESYSTEMS = frozenset(
    [
        "bcachefs",
        "btrfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "jfs",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "reiserfs",
        "ubifs",
        "ufs",
        "vfat",
        "xfs",
        "zfs",
    ]
)
# In a container the root is an overlay. Elsewhere overlays are the roots of containers, which come and go.
_ROOT_FILESYSTEM = "overlay"
# Memory and images, whose data lies elsewhere; and drives of removable media.
_NO_DISK = re.compile(r"(?:fd|loop|ram|sr|zram)\d+")
# The host's ends of containers' networks come and go with them, and their bridge or the network card counts the same.
_OF_CONTAINERS = re.compile(r"(?:cali|lxc|veth)\w+")
_ESCAPED = re.compile(r"\\([0-7]{3})")
# A sector of /proc/diskstats, whatever those of the device are (Documentation/admin-guide/iostats.rst).
_SECTOR = 512


@dataclass(frozen=True)
class Space:
    """Bytes of a file system; ``available`` is what users may still fill."""

    total: int
    used: int
    available: int


@dataclass(frozen=True)
class _Mount:
    """A line of the mount table that is about a file system with data of its own."""

    number: str
    point: str
    source: str


def space(path: str) -> Space | None:
    """Ask a file system; None if ``path`` is a file, as a container's ``/etc/hosts`` is. Raises ``OSError``."""
    if not os.path.isdir(path):
        return None
    found = os.statvfs(path)
    block = found.f_frsize
    return Space(block * found.f_blocks, block * (found.f_blocks - found.f_bfree), block * found.f_bavail)


def filesystems(roots: Roots, ask: Callable[[str], Space | None] = space) -> Iterator[Reading]:
    """Yield the space of each file system once, at the shortest path where it is mounted."""
    table = roots.of_process("mountinfo")
    # The table of our own process names paths as we see them, not as the host does.
    prefix = "" if table.is_relative_to(roots.proc / "1") else str(roots.root).rstrip("/")
    mounts, faults = _parsed(table, lambda text: _mount(text, prefix))
    seen: set[str] = set()
    for mount in sorted(mounts, key=lambda mount: (len(mount.point), mount.point)):
        if mount.number in seen:
            continue
        if len(seen) == MOST_DEVICES:
            faults.append(ValueError(f"{table} lists more than {MOST_DEVICES} file systems"))
            break
        try:
            found = ask(f"{roots.root}/{mount.point}")
        except OSError as error:
            faults.append(error)
            continue
        if found is not None and found.total:
            seen.add(mount.number)
            labels = (_label(mount.point), _label(mount.source.removeprefix("/dev/")))
            yield host.DISK_TOTAL, labels, found.total
            yield host.DISK_USED, labels, found.used
            yield host.DISK_AVAILABLE, labels, found.available
    _raise_first(faults)


def disks(roots: Roots) -> Iterator[Reading]:
    """Yield what each whole disk read and wrote; partitions are part of it."""
    path = roots.proc / "diskstats"
    # In the names of /sys a slash is an exclamation mark (cciss!c0d0).
    whole = {name.replace("!", "/") for name in os.listdir(roots.sys / "block")}

    def row(text: str) -> tuple[str, list[int]] | None:
        # Major and minor number, name, then reads, merged ones, sectors, milliseconds, the same for writes, operations
        # in flight, milliseconds with any; newer kernels say more.
        _, _, name, *fields = text.split() if text.count(" ") > 2 else ("", "", "")
        if name and (name not in whole or _NO_DISK.fullmatch(name)):
            return None
        return name, _counts(fields, 10, path)

    rows, faults = _parsed(path, row)
    for name, numbers in _bounded(rows, path, faults):
        for direction, (operations, _, sectors, milliseconds) in (("read", numbers[0:4]), ("write", numbers[4:8])):
            labels = (_label(name), direction)
            yield host.DISK_BYTES, labels, _SECTOR * sectors
            yield host.DISK_OPERATIONS, labels, operations
            yield host.DISK_SECONDS, labels, milliseconds / 1e3
        yield host.DISK_BUSY, (_label(name),), numbers[9] / 1e3
    _raise_first(faults)


def networks(roots: Roots) -> Iterator[Reading]:
    """Yield what each network device received and sent; the loopback device is one of them."""
    path = roots.of_process("net/dev")

    def row(text: str) -> tuple[str, list[int]] | None:
        name, colon, rest = text.rpartition(":")
        if "|" in text or _OF_CONTAINERS.fullmatch(name.strip()):
            return None  # one of the two lines of titles
        return name.strip(), _counts(rest.split() if colon else [], 16, path)

    rows, faults = _parsed(path, row)
    for name, numbers in _bounded(rows, path, faults):
        for direction, (bytes_, packets, errors, drops, *_) in (("receive", numbers[:8]), ("transmit", numbers[8:])):
            labels = (_label(name), direction)
            yield host.NETWORK_BYTES, labels, bytes_
            yield host.NETWORK_PACKETS, labels, packets
            yield host.NETWORK_ERRORS, labels, errors
            yield host.NETWORK_DROPS, labels, drops
    _raise_first(faults)


def _mount(text: str, prefix: str) -> _Mount | None:
    """Read a line of mountinfo; ``prefix`` is where the root is that its mount points are to be told from."""
    fields, _, rest = text.partition(" - ")
    _, _, number, _, point, *_ = fields.split() if fields.count(" ") > 4 else [""] * 5
    type_, _, source_and_options = rest.partition(" ")
    if not (point and source_and_options):
        raise ValueError(f"mountinfo: {text[:80]!r} is no mount")
    point = _unescaped(point)
    if point != prefix and not point.startswith(f"{prefix}/"):
        return None
    point = point.removeprefix(prefix) or "/"
    if type_ not in _FILESYSTEMS and (type_, point) != (_ROOT_FILESYSTEM, "/"):
        return None
    return _Mount(number, point, _unescaped(source_and_options.split()[0]))


def _parsed(path: Path, parse: Callable[[str], T | None]) -> tuple[list[T], list[Exception]]:
    """Parse the lines of a file; returns what they say, and what is wrong with those that cannot be understood."""
    found: list[T] = []
    faults: list[Exception] = []
    texts = lines(path)
    while True:
        try:
            text = next(texts, None)
            if text is None:
                return found, faults
            one = parse(text)
        except ValueError as error:
            faults.append(error)
            continue
        if one is not None:
            found.append(one)


def _bounded(rows: list[T], path: Path, faults: list[Exception]) -> list[T]:
    if len(rows) > MOST_DEVICES:
        faults.append(ValueError(f"{path} lists more than {MOST_DEVICES} devices"))
    return rows[:MOST_DEVICES]


def _counts(fields: list[str], most: int, path: Path) -> list[int]:
    if len(fields) < most:
        raise ValueError(f"{path} has a line of fewer than {most} numbers")
    return [count(field, path) for field in fields[:most]]


def _raise_first(faults: list[Exception]) -> None:
    if faults:
        raise faults[0]


def _unescaped(text: str) -> str:
    """Undo the octal numbers that the kernel writes for spaces and backslashes."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _label(text: str) -> str:
    return clean(text)[0]
