"""What several commands share: options, how their text is read, help of groups. Imports click."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from genai_metrics.ownership import SHARED_CHOICES

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Group(click.Group):
    """A group of commands whose help shows the whole first sentence of each, on several lines where it is long."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands that are not hidden."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, one.get_short_help_str(limit=1000)) for name, one in commands if one and not one.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def reading(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, str | None], object]:
    """Read an option's text with ``parse``; its ``ValueError`` says what to write instead."""

    def read(context: click.Context, parameter: click.Parameter, text: str | None) -> object:
        try:
            return None if text is None else parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return read


def reading_each(
    parse: Callable[[str], object],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], object]:
    """Read each text of a repeatable option with ``parse``; None if it is not given."""
    read = reading(parse)
    return lambda context, parameter, texts: tuple(read(context, parameter, text) for text in texts) or None


def metrics_directory(text: str) -> Path:
    """Read the name of a directory; raises ``ValueError`` for an empty one."""
    # What --metrics-dir "$UNSET" comes to; it must not mean the working directory.
    if not text.strip():
        raise ValueError("the name is empty; give the directory that the applications write to")
    return Path(text).expanduser()


def metrics_dir_option(help_text: str, *, required: bool = False) -> Callable[[_Command], _Command]:
    """Give a command the option ``--metrics-dir``, or the environment's ``GENAI_METRICS_DIR``, as ``metrics_dir``."""
    return click.option(
        "--metrics-dir",
        "metrics_dir",
        envvar="GENAI_METRICS_DIR",
        show_envvar=True,
        required=required,
        metavar="DIR",
        callback=reading(metrics_directory),
        help=help_text,
    )


SHARED_OPTION = click.option(
    "--metrics-dir-shared",
    "metrics_dir_shared",
    envvar="GENAI_METRICS_DIR_SHARED",
    show_envvar=True,
    type=click.Choice(SHARED_CHOICES),
    help="Allow a directory that users of its group may write to, too.",
)
