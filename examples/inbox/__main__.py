"""Command line of the inbox: ``python -m inbox --help``."""

import signal
import socket
import sys
from pathlib import Path

import click
import uvicorn

from inbox import mail
from inbox.app import application
from inbox.arrivals import Arrivals


class Address(click.ParamType[tuple[str, int]]):
    """``HOST:PORT``."""

    name = "HOST:PORT"

    def convert(
        self, value: str | tuple[str, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Host and port; anything else is a usage error."""
        if isinstance(value, tuple):
            return value
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            self.fail(f"{value!r} is no address; write it as 127.0.0.1:8025", param, ctx)
        return host.strip("[]"), int(port)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--listen", type=Address(), default="127.0.0.1:8025", help="Page, Slack, PagerDuty and Watchdog.")
@click.option("--smtp-listen", type=Address(), default="127.0.0.1:1025", help="Mail.")
@click.option(
    "--docs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder whose Markdown files are shown below /docs/, for runbook links.",
)
def main(listen: tuple[str, int], smtp_listen: tuple[str, int], docs: Path | None) -> None:
    """Take Slack messages, PagerDuty events and mail, and show them as people would see them. Keeps the last 500."""
    # uvicorn raises the signal that ended it once more, for whoever was in charge before.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    arrivals = Arrivals()
    try:
        listener = socket.create_server(listen, family=socket.AF_INET6 if ":" in listen[0] else socket.AF_INET)
    except OSError as error:
        raise click.BadParameter(_refused(listen, error), param_hint="--listen") from None
    mails = mail.server(arrivals, *smtp_listen)
    try:
        mails.start()
    except OSError as error:
        raise click.BadParameter(_refused(smtp_listen, error), param_hint="--smtp-listen") from None
    try:
        click.echo(f"inbox listens on http://{_shown(listen)}/, mail on {_shown(smtp_listen)}")
        config = uvicorn.Config(
            application(arrivals, docs),
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        mails.stop()
        listener.close()


def _refused(address: tuple[str, int], error: OSError) -> str:
    return f"cannot listen on {_shown(address)}: {error.strerror or error}; choose another address"


def _shown(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


if __name__ == "__main__":
    main(prog_name="python -m inbox")
