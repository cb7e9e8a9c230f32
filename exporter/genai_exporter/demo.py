"""``genai-exporter demo``: lists, starts and stops the faults of the demo. Talks HTTP to its service.

Imports click, the standard library and what reads options, so that it works wherever the exporter does.
"""

import fcntl
import http.client
import json
import math
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

from genai_exporter.cli_options import Group, reading
from genai_exporter.durations import positive_seconds
from genai_metrics.yamlvalues import nearest

RUN_FILE = Path(".run") / "demo.json"
"""Written by ``make up``: ``{"url": address of the service, "metrics_dir": directory of the exporter}``."""

DEFAULT_URL = "http://127.0.0.1:8200"
"""Where the demo's service is published by Docker Compose, and where a native run puts it if the port is free."""

EXPORTER_FAULT = "exporter_down"
_LOCK_FILE = "exporter.lock"
_LONGEST_SECONDS = 86_400.0
_TO_SPARE_SECONDS = 180.0
"""How much longer than until its alert shows a fault lasts unless told otherwise, so that there is time to look."""
# A proxy from the environment must not stand in between: the demo is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoError(Exception):
    """The demo cannot be asked, or refuses; the text says what to do."""


@dataclass(frozen=True)
class Demo:
    """A demo that runs: the address of its service, and the exporter's directory where that is on this machine."""

    url: str
    metrics_dir: Path | None = None

    def faults(self) -> list[dict[str, Any]]:
        """Return all faults, as the service tells them; raises ``DemoError``."""
        listed: list[dict[str, Any]] = self._ask("GET", "/faults")
        return listed

    def fault(self, name: str) -> dict[str, Any]:
        """Return one fault as it stands; raises ``DemoError`` that names the nearest where there is none."""
        listed = {fault["name"]: fault for fault in self.faults()}
        if name not in listed:
            raise DemoError(f"there is no fault {name!r}; {nearest(name, listed)}")
        return listed[name]

    def start(self, name: str, seconds: float) -> dict[str, Any]:
        """Switch a fault on for some time; returns how it stands. Raises ``DemoError``."""
        started: dict[str, Any] = self._ask("POST", "/faults", {"name": name, "for_seconds": seconds})
        return started

    def stop(self, name: str) -> None:
        """Switch a fault off, if it is on; raises ``DemoError``."""
        self._ask("DELETE", f"/faults/{quote(name, safe='')}")

    def exporter(self) -> int:
        """Return the process number of the exporter that runs natively; raises ``DemoError`` where none does."""
        if self.metrics_dir is None:
            raise DemoError("the exporter does not run natively here; in containers: docker compose pause exporter")
        path = self.metrics_dir / _LOCK_FILE
        try:
            with path.open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read())
        except (OSError, ValueError) as error:
            raise DemoError(f"{path} does not tell the exporter's process: {_cause(error)}") from None
        raise DemoError(f"no exporter runs over {self.metrics_dir}; start the demo with `make up`")

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with _OPENER.open(request, timeout=15) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise DemoError(_reason(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DemoError(
                f"no demo answers at {self.url} ({_cause(error)}); start one with `make up`, or say "
                "where its service is with --url"
            ) from None


def find(url: str | None, folder: Path) -> Demo:
    """Return the demo at ``url``, else that of the run file in ``folder`` or above it, else that at the usual address.

    Raises ``DemoError`` for an address or a run file that cannot be understood.
    """
    if url is not None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise DemoError(f"--url {url!r} is no address; give one such as {DEFAULT_URL}")
        return Demo(url.rstrip("/"))
    for place in (folder, *folder.parents):
        path = place / RUN_FILE
        if path.is_file():
            try:
                told = json.loads(path.read_bytes())
                return Demo(str(told["url"]).rstrip("/"), Path(told["metrics_dir"]))
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise DemoError(f"{path} cannot be read: {error!r}; run `make up` again, or give --url") from None
    return Demo(DEFAULT_URL)


def lasting(text: str) -> float:
    """Return for how many seconds a fault shall last; raises ``ValueError`` that says what to write instead."""
    seconds = positive_seconds(text)
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is longer than 24h, after which a fault ends in any case")
    return seconds


def table(faults: Sequence[dict[str, Any]], now: float) -> str:
    """Return the faults as a table in plain text."""
    rows = [("fault", "alert", "shows after", "on for", "what happens")]
    for fault in faults:
        left = (fault["active_until"] or now) - now
        alert = fault["alert"] or "none"
        shows = _span(fault["how_long_until_it_shows"]) if fault["alert"] else "-"
        rows.append((fault["name"], alert.split("/")[0], shows, _span(left) if left > 0 else "-", fault["description"]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = ("  ".join([*map(str.ljust, row, widths), row[-1]]) for row in rows)
    return "\n".join(lines)


@click.group(cls=Group)
@click.option("--url", metavar="URL", help=f"Address of the demo's service (default: of `make up`, or {DEFAULT_URL}).")
@click.pass_context
def demo(context: click.Context, url: str | None) -> None:
    """Provoke faults in the demo that `make up` starts, and see the alerts they raise."""
    with _told():
        context.obj = find(url, Path.cwd())


@demo.command("faults")
@click.pass_obj
def list_faults(running: Demo) -> None:
    """List all faults, the alert that each raises, and which are on."""
    with _told():
        click.echo(table(running.faults(), time.time()))


@demo.command("fault")
@click.argument("name")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=reading(lasting),
    help="How long: 90s, 5m, 1h30m (default: until its alert shows, and 3m more).",
)
@click.option("--stop", is_flag=True, help="End the fault now.")
@click.pass_obj
def provoke(running: Demo, name: str, seconds: float | None, stop: bool) -> None:
    """Provoke the fault NAME for some time; `demo faults` lists them."""
    with _told():
        pid = running.exporter() if name == EXPORTER_FAULT else None
        if stop and pid is not None:
            _let_go_on(pid)
        elif stop:
            running.stop(running.fault(name)["name"])
            click.echo(f"{name} is off.")
        elif pid is not None:
            _halt_exporter(pid, seconds or _usual(running.fault(name)))
        else:
            fault = running.fault(name)
            seconds = seconds or _usual(fault)
            started = running.start(name, seconds)
            lasting_so = f" for {_span(seconds)}" if started["alert"] else ""
            click.echo(f"{name}{lasting_so}: {started['description']}")
            click.echo(_prospect(started, seconds))


def _usual(fault: dict[str, Any]) -> float:
    """Return for how many seconds a fault lasts unless told otherwise, in whole minutes."""
    return 60.0 * math.ceil((float(fault["how_long_until_it_shows"]) + _TO_SPARE_SECONDS) / 60)


def _halt_exporter(pid: int, seconds: float) -> None:
    """Halt the exporter's process for some time, and let it go on whatever ends the wait."""
    click.echo(f"{EXPORTER_FAULT}: the exporter (process {pid}) is halted for {_span(seconds)}. Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
    except KeyboardInterrupt:
        pass
    finally:
        _let_go_on(pid)


def _let_go_on(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)
    click.echo("The exporter goes on. Nothing is lost: applications have recorded meanwhile.")


def _prospect(started: dict[str, Any], seconds: float) -> str:
    """Return what will come of a fault."""
    if not started["alert"]:
        return "No alert is meant to come of it."
    shows = float(started["how_long_until_it_shows"])
    names = started["alert"].replace("/", " and ")
    told = f"{names} should fire after about {_span(shows)} at the demo's own load"
    if seconds >= shows:
        follows = ", ".join(sorted(started.get("follows", ())))
        return f"{told}; {follows} may follow." if follows else f"{told}."
    return f"{told}, but the fault ends before: give --for {_span(_usual(started))} to see it fire."


def _span(seconds: float) -> str:
    """Return a time as it is given to ``--for``, in whole minutes above two."""
    return f"{math.ceil(seconds / 60)}m" if seconds > 120 else f"{max(1, round(seconds))}s"


def _cause(error: Exception) -> str:
    """Return why nothing could be asked, in words and without error numbers."""
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason)


def _reason(error: urllib.error.HTTPError) -> str:
    """Return why the service refused, in its own words where it has any."""
    body = error.read()
    try:
        return str(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError):
        return f"{error.url} answers {error.code} {error.reason}"


@contextmanager
def _told() -> Iterator[None]:
    """Tell of a ``DemoError`` as the command does, with exit code 1."""
    try:
        yield
    except DemoError as error:
        raise click.ClickException(str(error)) from None
    except ProcessLookupError:
        raise click.ClickException("the exporter has ended meanwhile") from None
