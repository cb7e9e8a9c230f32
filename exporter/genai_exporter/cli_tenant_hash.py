"""``genai-exporter tenant-hash``: which hash stands for a tenant."""

from pathlib import Path

import click

from genai_metrics.hashing import KeyFileError, hashed, read_key
from genai_metrics.labels import clean


@click.command("tenant-hash")
@click.option(
    "--key-file",
    "key_file",
    envvar="GENAI_TENANT_HASH_KEY_FILE",
    show_envvar=True,
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The key with which the applications hash tenants.",
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def tenant_hash(key_file: Path, names: tuple[str, ...]) -> None:
    """Print what metrics show in place of tenants: a hash, two spaces and the name a line."""
    try:
        key = read_key(key_file)
    except KeyFileError as error:
        raise click.ClickException(str(error)) from error
    for name in names:
        text, was_clean = clean(name)
        if not was_clean:
            raise click.ClickException(f"{name!r} is no name that a tenant is recorded under: it would become {text!r}")
        click.echo(f"{hashed(key, text)}  {text}")
