"""What containers find in their volumes: Alertmanager's configuration with its secrets, and Grafana's password.

Compose runs this in a container of its own before those start: ``python -m genai_stack.volumes --help``.
"""

import stat
from pathlib import Path

import click

from genai_stack import notifications, receivers, secret

INBOX = notifications.Inbox("http://inbox:8025", "inbox:1025")
"""The inbox as Alertmanager's container reaches it."""

PASSWORD_FILE = "grafana_admin_password"

_FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)


def closed(folder: Path) -> bool:
    """Whether users other than the owner cannot enter and read a folder, as in a clone made with the umask 077."""
    wanted = stat.S_IROTH | stat.S_IXOTH
    return folder.stat().st_mode & wanted != wanted


@click.command()
@click.option("--source", required=True, type=_FOLDER, help="The folder alertmanager/ of the repository.")
@click.option("--alertmanager", required=True, type=_FOLDER, help="The volume of Alertmanager's configuration.")
@click.option("--grafana", required=True, type=_FOLDER, help="The volume of Grafana's password, kept once generated.")
@click.option("--mounted", multiple=True, type=_FOLDER, help="A folder that containers of other users read.")
def main(source: Path, alertmanager: Path, grafana: Path, mounted: tuple[Path, ...]) -> None:
    """Write Alertmanager's configuration anew, and Grafana's password once."""
    if unreadable := [folder.name for folder in mounted if closed(folder)]:
        raise click.ClickException(
            "the containers run as users of their own, who cannot read what you alone can; in the repository: "
            f"chmod -R go+rX {' '.join(unreadable)}"
        )
    secret.password(grafana / PASSWORD_FILE)
    try:
        written = notifications.write(alertmanager, INBOX, {}, mounted=notifications.MOUNTED, source=source)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if written.to_inbox:
        click.echo(receivers.note(written.to_inbox))


if __name__ == "__main__":
    main()
