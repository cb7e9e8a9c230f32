"""Find the server programs that the stack runs, on PATH or in the cache; fetch them where possible.

Owns the list of programs and the oldest version of each that understands this repository's configuration.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genai_stack import REPOSITORY, debian

CACHE = REPOSITORY / ".cache" / "servers"
"""Where fetched packages are unpacked, one folder a package."""

Report = Callable[[str], None]
"""Receives one line of progress, without a newline."""

# Also searched after PATH: places where packages put servers and which are missing from many users' PATH.
_EXTRA_FOLDERS = ("/usr/local/bin", "/usr/sbin", "/usr/share/grafana/bin", "/usr/libexec/docker/cli-plugins")
_FOLDERS_IN_PACKAGE = ("usr/bin", "usr/libexec/docker/cli-plugins")
_VERSION = re.compile(r"(?:version:?\s+v?|\bv=)(\d+)\.(\d+)(?:\.(\d+))?", re.IGNORECASE)


class MissingServer(RuntimeError):
    """A program that is needed is not here and could not be fetched; the text says what to do about it."""


@dataclass(frozen=True)
class Program:
    """One program: its names, the oldest usable version, and the Debian package that has it, if any.

    ``also``: packages of what the program needs, unpacked into the same folder. They and it then come from the
    machine's own release: libraries of another one would not fit.
    """

    names: tuple[str, ...]
    oldest: tuple[int, int]
    package: str | None
    remedy: str
    also: tuple[str, ...] = ()


_UPSTREAM = "Download it from prometheus.io/download and put it on PATH."

PROGRAMS = {
    # 3.0: `le` labels are normalised to floats and the UTF-8 rules differ; our rules are tested with 3.x
    # only.
    "prometheus": Program(("prometheus",), (3, 0), "prometheus", _UPSTREAM),
    "promtool": Program(("promtool",), (3, 0), "promtool", _UPSTREAM),
    # 0.30: timeouts of receivers, threads of mails, --dispatch.start-delay.
    "alertmanager": Program(("alertmanager", "prometheus-alertmanager"), (0, 30), "prometheus-alertmanager", _UPSTREAM),
    "blackbox_exporter": Program(
        ("blackbox_exporter", "prometheus-blackbox-exporter"), (0, 24), "prometheus-blackbox-exporter", _UPSTREAM
    ),
    "amtool": Program(("amtool",), (0, 30), "prometheus-alertmanager", _UPSTREAM),
    # 12.2: the first with dashboard schema version 42.
    "grafana": Program(
        ("grafana", "grafana-server"),
        (12, 2),
        None,
        "Install it as grafana.com/docs/grafana/latest/setup-grafana/installation describes, "
        "or use Docker Compose, which pulls its image.",
    ),
    "docker-compose": Program(
        ("docker-compose",),
        (2, 24),
        "docker-compose",
        "Install it as docs.docker.com/compose/install says.",
    ),
    # For the tests of the Redis integration. 6.2: GETEX and GETDEL.
    "redis-server": Program(
        ("redis-server",),
        (6, 2),
        "redis-server",
        "Install it with your system's package manager, or as redis.io/docs says.",
        also=("redis-tools", "libatomic1", "libjemalloc2", "liblzf1"),
    ),
}
"""Every program by the name that ``find`` and ``require`` take."""

FETCHED_BY_DEFAULT = ("prometheus", "promtool", "alertmanager", "amtool")
"""The programs that a native run and the tests need; tests of integrations fetch theirs themselves."""


def silent(_line: str) -> None:
    """Ignore a line of progress."""


def version(path: Path) -> tuple[int, int, int] | None:
    """Version that the program at ``path`` prints, or None when it does not run or prints none."""
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout + answer.stderr)
    return (int(match[1]), int(match[2]), int(match[3] or 0)) if match else None


def _candidates(program: Program, cache: Path) -> list[Path]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_FOLDERS])
    found = [Path(hit) for name in program.names if (hit := shutil.which(name, path=path))]
    if program.package:
        for folder in _FOLDERS_IN_PACKAGE:
            found += [cache / program.package / folder / name for name in program.names]
    return [candidate for candidate in found if candidate.is_file()]


def find(name: str, cache: Path = CACHE) -> Path | None:
    """Path of a usable program, from PATH or the cache, or None; never uses the network.

    A program that is too old is passed over, so that a newer one in the cache is found behind it.
    """
    program = PROGRAMS[name]
    for candidate in _candidates(program, cache):
        found = version(candidate)
        if found and found[:2] >= program.oldest:
            return candidate
    return None


def require(name: str, cache: Path = CACHE, report: Report = silent) -> Path:
    """Path of a usable program; on Debian it is fetched into the cache when it is not here yet.

    Raises ``MissingServer`` with the remedy when there is none. Safe when several processes call it at
    once: one fetches, the others wait for it.
    """
    here = find(name, cache)
    if here:
        return here
    program = PROGRAMS[name]
    if program.package is None:
        raise MissingServer(f"{name} is not installed (looked for {' and '.join(program.names)}). {program.remedy}")
    fetch([name], cache, report)
    fetched = find(name, cache)
    if fetched is None:
        oldest = ".".join(map(str, program.oldest))
        raise MissingServer(
            f"Debian's package {program.package} was unpacked into {cache / program.package}, "
            f"but has no {name} of version {oldest} or newer that runs here. {program.remedy}"
        )
    return fetched


def fetch(names: list[str], cache: Path = CACHE, report: Report = silent) -> None:
    """Fetch the packages of those programs that are not here yet; ``MissingServer`` when one cannot be."""
    missing = [name for name in names if find(name, cache) is None]
    if not any(PROGRAMS[name].package for name in missing):
        return
    try:
        with debian.locked(cache, report):
            # Another process may have fetched them while this one waited for the lock.
            still = [PROGRAMS[name] for name in missing if find(name, cache) is None]
            alone = sorted({program.package for program in still if program.package and not program.also})
            if alone:
                debian.unpack(dict.fromkeys(alone, ()), cache, report)
            whole = {program.package: program.also for program in still if program.package and program.also}
            if whole:
                debian.unpack(whole, cache, report, suite=debian.own_suite())
    except debian.FetchError as error:
        olds = [describe_old(name) for name in missing]
        raise MissingServer(
            f"{', '.join(missing)}: not found in a usable version on PATH{''.join(olds)}, "
            f"and not fetched: {error} {PROGRAMS[missing[0]].remedy}"
        ) from error


def describe_old(name: str) -> str:
    """Text that names the copies on PATH that were passed over as too old, or an empty string."""
    program = PROGRAMS[name]
    seen = [
        f"{candidate} is {'.'.join(map(str, found))}"
        for candidate in _candidates(program, CACHE)
        if (found := version(candidate)) and found[:2] < program.oldest
    ]
    return f" ({'; '.join(seen)}; {'.'.join(map(str, program.oldest))} or newer is needed)" if seen else ""
