"""Command line of the load: ``python -m load_scenarios --help``."""

from gevent import monkey

monkey.patch_all()  # before anything that opens a socket

import ipaddress  # noqa: E402
import socket  # noqa: E402
import urllib.parse  # noqa: E402
from pathlib import Path  # noqa: E402

import click  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from genai_exporter.cli_options import reading  # noqa: E402
from genai_exporter.durations import positive_seconds  # noqa: E402
from load_scenarios import report  # noqa: E402
from load_scenarios.running import answers, run  # noqa: E402
from load_scenarios.scenarios import SCENARIOS  # noqa: E402
from load_scenarios.seen import Prometheus  # noqa: E402


def _loopback(_: click.Context, __: click.Parameter, url: str | None) -> str | None:
    """Refuse addresses of other machines: this is for the demo, not for loading somebody's service."""
    if url is None:
        return None
    host = urllib.parse.urlsplit(url).hostname
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host or "", None)}
    except OSError as error:
        raise click.BadParameter(f"{url}: {error.strerror}; give an address such as http://127.0.0.1:8200") from None
    if not host or not all(ipaddress.ip_address(str(address).split("%")[0]).is_loopback for address in found):
        raise click.BadParameter(f"{url} is not on this machine; the load is for the demo only")
    return url.rstrip("/")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("name", metavar="SCENARIO", type=click.Choice([*SCENARIOS]))
@click.option("--host", default="http://127.0.0.1:8200", metavar="URL", callback=_loopback, help="The service.")
@click.option(
    "--duration",
    metavar="TIME",
    callback=reading(positive_seconds),
    help="Such as 10m; by default the scenario's own.",
)
@click.option("--users", type=click.IntRange(1), help="How many people; by default the scenario's own.")
@click.option("--prometheus", metavar="URL", callback=_loopback, help="Compare with what this Prometheus saw.")
@click.option("--service", default="rag", help="Value of the label service there.")
@click.option("--report", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write report.json and .md.")
@click.option("--seed", default=1, help="The same questions for the same seed.")
def main(
    name: str,
    host: str,
    duration: float | None,
    users: int | None,
    prometheus: str | None,
    service: str,
    folder: Path | None,
    seed: int,
) -> None:
    """Load the demo with a scenario and say how it went.

    \b
    baseline  100 people, a usual afternoon        peak    500 people, the busiest hour
    stress    more and more, until it breaks       batch   20 clients without a pause
    daily     a small team's day, for ever
    """
    scenario = SCENARIOS[name]
    if users is not None:
        scenario = scenario.with_users(users)
    asked = Prometheus(prometheus, service) if prometheus else None
    if not answers(host, patience=60):
        raise click.ClickException(f"nothing answers at {host}; start the demo with `make up`, or give its --host")
    before = asked.settled(still=0) if asked else None
    load = run(scenario, host, scenario.seconds if duration is None else duration, seed)
    seen = asked.settled().since(before) if asked and before else None
    table = Table("", "load", "Prometheus", title=f"{name}: {load.users} people, {load.seconds:.0f} s")
    table.columns[1].justify = table.columns[2].justify = "right"
    for row in report.rows(load, seen):
        table.add_row(*row)
    Console().print(table)
    if folder is not None:
        report.write(folder, load, seen)
        click.echo(f"wrote {folder / 'report.json'} and {folder / 'report.md'}")


if __name__ == "__main__":
    main()
