"""Command line of the stack: ``python -m genai_stack up | down | fetch``."""

import sys
from pathlib import Path

import click

from genai_exporter.cli_options import Group, reading
from genai_exporter.durations import positive_seconds
from genai_stack import REPOSITORY, binaries, compose, native, ports, runfile
from genai_stack import demo as demo_services
from genai_stack.glance import Glance
from genai_stack.layout import Layout
from genai_stack.progress import Progress
from genai_stack.supervisor import Supervisor

_RUN_OPTION = click.option(
    "--run-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPOSITORY / ".run",
    show_default=".run in the repository",
    help="Data, logs and target files of a native run.",
)


@click.group(cls=Group)
def main() -> None:
    """Start and stop the monitoring stack of this repository."""


@main.command()
@click.option("--demo/--no-demo", default=True, help="With or without the demo load.")
@click.option(
    "--for",
    "for_seconds",
    metavar="TIME",
    callback=reading(positive_seconds),
    help="End by itself after this time, e.g. 5m (native run only).",
)
@click.option("--native", "force_native", is_flag=True, help="Run natively even if Docker Compose could be used.")
@click.option("--port-offset", type=int, default=0, help="Add this to every port of a native run.")
@click.option("--free-ports", is_flag=True, help="Take free ports in a native run; the output says which.")
@_RUN_OPTION
def up(
    demo: bool,
    for_seconds: float | None,
    force_native: bool,
    port_offset: int,
    free_ports: bool,
    run_dir: Path,
) -> None:
    """Start everything: with Docker Compose if its engine answers, else natively until Ctrl-C."""
    wants_native = force_native or for_seconds is not None or port_offset or free_ports
    try:
        if not wants_native and compose.engine_answers():
            click.echo("Starting with Docker Compose.")
            sys.exit(compose.up(demo, report=click.echo))
        with runfile.held(run_dir.resolve()):
            sys.exit(_up_natively(run_dir.resolve(), demo, for_seconds, port_offset, free_ports))
    except (runfile.AlreadyRunning, binaries.MissingServer, ValueError) as error:
        raise click.ClickException(str(error)) from error


def _up_natively(run: Path, demo: bool, for_seconds: float | None, port_offset: int, free_ports: bool) -> int:
    """Run the programs of this machine until stopped."""
    click.echo("Starting without containers (no Docker Compose engine in use).")
    chosen, taken = ports.choose(ports.DEFAULT_PORTS, port_offset, free_ports)
    for line in taken:
        click.echo(line)
    layout = Layout(run, chosen)
    native.prepare(layout)
    services, notes = native.services(layout, demo, report=click.echo)
    progress = Progress(notes=notes, glance=Glance(layout.url("prometheus")).text)
    try:
        return Supervisor(services, layout.logs, progress).run(for_seconds)
    finally:
        demo_services.forget(run)


@main.command()
@_RUN_OPTION
def down(run_dir: Path) -> None:
    """Stop the stack, native or in containers; data is kept."""
    try:
        pid = runfile.stop(run_dir.resolve())
    except TimeoutError as error:
        raise click.ClickException(str(error)) from error
    if pid is not None:
        click.echo(f"Stopped the native stack (process {pid}).")
    in_containers = compose.engine_answers() and compose.is_up()
    if in_containers:
        sys.exit(compose.down())
    if pid is None:
        click.echo("Nothing to stop: no stack runs here.")


@main.command()
def fetch() -> None:
    """Fetch the servers that a native run and the tests need, unless they are here already."""
    try:
        binaries.fetch(list(binaries.FETCHED_BY_DEFAULT), report=click.echo)
    except binaries.MissingServer as error:
        raise click.ClickException(str(error)) from error
    for name in binaries.FETCHED_BY_DEFAULT:
        click.echo(f"{name}: {binaries.require(name)}")


if __name__ == "__main__":
    main()
