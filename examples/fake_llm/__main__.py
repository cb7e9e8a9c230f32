"""Command line of the server: ``python -m fake_llm --help``."""

import contextlib

import click

from fake_llm.fits import SLOW_START_SHARE
from fake_llm.ledger import Price
from fake_llm.server import Providers, Settings, application
from fake_llm.serving import ListenError, OpenConnections, listen, serve


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--listen", "address", default="127.0.0.1:8100", metavar="HOST:PORT", help="Port 0 is any free one.")
@click.option("--seed", type=click.IntRange(0), default=1, help="Same requests, same answers, latencies and errors.")
@click.option("--speed", type=click.FloatRange(0), default=1.0, help="Divides latencies; 0 is without any.")
@click.option("--errors", type=click.FloatRange(0, 1), default=0.003, help="Share of requests that fail by themselves.")
@click.option(
    "--slow-starts",
    type=click.FloatRange(0, 1),
    default=SLOW_START_SHARE,
    help="Share of answers whose model must be loaded first, for up to 20 seconds.",
)
@click.option("--quality", type=click.FloatRange(0, 1), default=0.85, help="Mean score that its evaluators give.")
@click.option("--price-notes", is_flag=True, help="Note in the ledger what each answer costs, by genai-prices.")
def main(
    address: str, seed: int, speed: float, errors: float, slow_starts: float, quality: float, price_notes: bool
) -> None:
    """Serve OpenAI's and Anthropic's wire formats, made-up answers, faults on request, and an exact ledger."""
    connections = OpenConnections()
    settings = Settings(seed, speed, errors, slow_starts, quality, _price() if price_notes else None)
    providers = Providers(settings, connections)
    try:
        listener = listen(address)
    except ListenError as error:
        raise click.BadParameter(str(error), param_hint="--listen") from None
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    with contextlib.closing(listener):
        ready = f"fake_llm listens on http://{shown}:{port}"
        serve(application(providers), connections, listener, lambda: click.echo(ready))


def _price() -> Price:
    try:
        from fake_llm.prices import price
    except ModuleNotFoundError:
        raise click.UsageError("--price-notes needs genai-prices: pip install 'genai-exporter[prices]'") from None
    return price


if __name__ == "__main__":
    main(prog_name="python -m fake_llm")
