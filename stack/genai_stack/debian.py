"""Fetch packages of Debian and unpack them into a folder, without installing anything.

The system's own package lists and settings are not touched: apt works with a sources list, package lists
and a cache of its own, made from the machine's Debian source line with the suite replaced. Needs no root.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from genai_stack import relocation

SUITE = "sid"
"""Where packages that stand alone come from: the newest."""
_OTHER_ARCHIVES = ("security", "backports", "debug", "ports")


class FetchError(RuntimeError):
    """Packages could not be fetched; the text says why and ends in a full stop."""


@contextmanager
def locked(folder: Path, report: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock while the body runs; waits for another holder, whose death releases it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another process that is fetching the same servers")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpack(
    packages: Mapping[str, Sequence[str]], folder: Path, report: Callable[[str], None], suite: str = SUITE
) -> None:
    """Put each package's files, and those of the packages that go with it, into ``folder/<package>``.

    Call it with the folder's lock held.

    Everything happens in a temporary folder first, so that a run that is killed leaves no half-unpacked
    package. Raises ``FetchError``.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise FetchError(f"servers can be fetched on Debian only, and this machine has no {tool}.")
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        work = Path(name)
        sources = work / "own.sources"
        sources.write_text(source_stanza(Path("/etc/apt"), suite))
        options = _apt_options(work, sources)
        report(f"reading the package lists of Debian {suite}")
        _run(["apt-get", *options, "-qq", "update"], work)
        for package, also in packages.items():
            for each in (package, *also):
                report(f"downloading {each}")
                _run(["apt-get", *options, "-qq", "download", each], work)
                archives = sorted(work.glob(f"{each}_*.deb"))
                if not archives:
                    raise FetchError(f"apt-get downloaded no file for the package {each}.")
                report(f"unpacking {archives[0].name}")
                _run(["dpkg", "-x", str(archives[0]), f"{package}.new"], work)
            relocation.relocate(work / f"{package}.new")
            if also:
                relocation.bring_libraries(work / f"{package}.new")
            target = folder / package
            if target.exists():  # a version that is now too old
                target.rename(work / f"{package}.old")
            (work / f"{package}.new").rename(target)


def _run(command: list[str], work: Path) -> None:
    """Run a command in ``work``; raise ``FetchError`` with its last lines when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=work,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise FetchError(f"{command[0]} did not end within 10 minutes.") from error
    if done.returncode:
        last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise FetchError(f"{command[0]} failed with exit code {done.returncode}: {last}.")


def _apt_options(work: Path, sources: Path) -> list[str]:
    """Options that keep apt inside ``work``."""
    (work / "lists" / "partial").mkdir(parents=True)
    (work / "archives" / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work),
        "Acquire::Retries": "3",
        "Acquire::Languages": "none",
        "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
        "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled": "false",
        # The folder belongs to the caller; apt's own user may not be able to write there.
        "APT::Sandbox::User": "",
    }
    return [argument for key, value in settings.items() for argument in ("-o", f"{key}={value}")]


def own_suite(os_release: Path = Path("/etc/os-release")) -> str:
    """Name of the release that runs here; unstable has none of its own."""
    try:
        lines = os_release.read_text().splitlines()
    except OSError:
        return SUITE
    return next((line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")), SUITE)


def source_stanza(apt: Path, suite: str = SUITE) -> str:
    """Sources stanza for a suite on the machine's own mirror; ``FetchError`` if there is none."""
    for source in _sources(apt):
        uri = source["uris"].split()[0].rstrip("/")
        archive = uri.rpartition("/")[2]
        if "debian" in archive and not any(part in archive for part in _OTHER_ARCHIVES):
            signed = source.get("signed-by", "")
            return f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n" + (
                f"Signed-By: {signed}\n" if signed else ""
            )
    raise FetchError(f"no source line of the Debian archive was found below {apt}.")


def _sources(apt: Path) -> Iterator[dict[str, str]]:
    """Yield the enabled binary sources below ``apt`` as fields in lower case, in both of apt's formats."""
    parts = sorted((apt / "sources.list.d").glob("*"))
    for path in [apt / "sources.list", *parts]:
        if not path.is_file():
            continue
        if path.suffix == ".sources":
            yield from _stanzas(path.read_text())
        elif path.suffix == ".list":
            yield from _one_line_sources(path.read_text())


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the stanzas of a deb822 file; a key block that is given inline keeps its continuation lines."""
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[key] = f"{fields.get(key, '')}\n{line}"
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if (
            "deb" in fields.get("types", "").split()
            and fields.get("enabled", "yes").lower() != "no"
            and "uris" in fields
        ):
            yield fields


def _one_line_sources(text: str) -> Iterator[dict[str, str]]:
    """Yield the ``deb`` lines of a one-line-style file."""
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        rest = " ".join(words[1:])
        signed = ""
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
            signed = next((o.removeprefix("signed-by=") for o in options.split() if o.startswith("signed-by=")), "")
        if rest.split():
            yield {"uris": rest.split()[0], "signed-by": signed}
