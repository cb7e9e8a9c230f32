"""Command line of the benchmarks: ``python -m benchmarks --help``."""

import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console

from benchmarks import footprint, openai_client, panels, recording, scraping, service, serving, stalls, table
from benchmarks.results import Section, as_json, markdown, print_sections

Say = Callable[[str], None]

PARTS: dict[str, Callable[[Path, int, Say, Path | None], list[Section]]] = {
    "recording": lambda directory, rounds, say, _: recording.measure(directory, rounds=rounds, say=say),
    "scraping": lambda directory, rounds, say, _: scraping.measure(directory, rounds=rounds, say=say),
    "serving": lambda directory, rounds, say, _: serving.measure(directory, rounds=rounds, say=say),
    "openai": lambda _, rounds, say, peers: openai_client.measure(rounds=rounds, say=say, peers=peers),
    "service": lambda directory, rounds, say, _: service.measure(directory, rounds=rounds, say=say),
    "stalls": lambda _, rounds, say, __: stalls.measure(rounds=rounds, say=say),
    "footprint": lambda _, rounds, say, __: footprint.measure(rounds=rounds, say=say),
    "panels": lambda _, rounds, say, __: panels.measure(rounds=rounds, say=say),
}
ONLY_WHEN_NAMED = {"panels"}
"""Takes many minutes, and says nothing of what an application or the exporter costs."""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--only",
    type=click.Choice(list(PARTS)),
    multiple=True,
    help="Measure only this; may be repeated; panels only when named.",
)
@click.option("--rounds", type=click.IntRange(1), default=9, help="Rounds; figures are medians over them.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Also write JSON here.")
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also replace the table of the main figures in this file; not with --only.",
)
@click.option(
    "--peers",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PYTHON",
    help="Interpreter of another environment that has what cannot be installed in this one: openlit, openai.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown instead of tables.")
def main(
    only: Sequence[str],
    rounds: int,
    json_path: Path | None,
    readme: Path | None,
    peers: Path | None,
    as_markdown: bool,
) -> None:
    """Measure recording and scraping beside other ways of doing the same; takes some minutes.

    Figures hold for this machine and this run: close other programs first. A missed target is printed, not an error.
    """
    if readme is not None:
        if only:
            raise click.UsageError("--readme needs the figures of all parts: leave out --only")
        try:  # before minutes are spent
            table.replace(readme.read_text(), "")
        except ValueError as error:
            raise click.ClickException(f"{readme}: {error}") from None
    errors = Console(stderr=True)
    sections: list[Section] = []
    with errors.status("starting") as status:

        def say(text: str) -> None:
            if errors.is_terminal:
                status.update(text)
            else:
                errors.print(text, highlight=False)

        for name, measure in PARTS.items():
            if name in only or not (only or name in ONLY_WHEN_NAMED):
                with tempfile.TemporaryDirectory(prefix="genai-benchmark-") as directory:
                    sections += measure(Path(directory), rounds, say, peers)
    if as_markdown:
        click.echo(f"{machine()}\n\n{markdown(sections)}")
    else:
        # Without a terminal, as in a CI log, 80 columns would cut the tables.
        console = Console() if Console().is_terminal else Console(width=140)
        console.print(machine(), highlight=False)
        console.print()
        print_sections(console, sections)
    if json_path is not None:
        json_path.write_text(json.dumps({"machine": machine(), "sections": as_json(sections)}, indent=1) + "\n")
    if readme is not None:
        readme.write_text(table.replace(readme.read_text(), table.compact(machine(), sections)))


def machine() -> str:
    """What the figures were measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("prometheus-client", "opentelemetry-sdk"))
    return (
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} processors; {packages}"
    )


if __name__ == "__main__":
    main()
