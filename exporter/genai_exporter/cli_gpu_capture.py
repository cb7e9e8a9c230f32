"""``genai-exporter gpu-capture``: what the GPU driver answers, for a bug report."""

import click

from genai_exporter.collectors.gpu_capture import record


@click.command("gpu-capture")
def gpu_capture() -> None:
    """Print what the GPU driver answers to a scrape, as JSON for a bug report: no serial numbers, ids replaced."""
    try:
        click.echo(record(), nl=False)
    except ModuleNotFoundError:
        raise click.ClickException(
            "nvidia-ml-py is not installed; GPUs need: pip install 'genai-exporter[gpu]'"
        ) from None
