"""A week of history for a new Prometheus, so that the first look shows more than the last minute.

Written as blocks into the data directory before Prometheus starts for the first time. The live counters begin at 0
afterwards, which Prometheus takes for what it is, a restart. In containers: ``python -m genai_stack.backfill --help``.
"""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from genai_stack.binaries import Report
from genai_stack.history import DAY, History, Profile

_PIECE_SECONDS = DAY // 2
"""Of the history at a time: promtool reads a text once for every two hours in it. Whole blocks of two hours."""

_UNFINISHED = "history.unfinished"


class BackfillError(RuntimeError):
    """The history could not be written; the text says why."""


def is_new(data: Path) -> bool:
    """Whether a Prometheus would start with nothing in ``data``."""
    return not data.is_dir() or all(entry.name == _UNFINISHED for entry in data.iterdir())


def write(data: Path, promtool: Path, instance: str, report: Report) -> None:
    """Write the week before now into ``data``, which must be new, as of an exporter scraped at ``instance``.

    Takes about 15 s, and some megabytes beside the blocks. The blocks come into place at the end, so that an
    interrupted run leaves none; the next one begins anew. Raises ``BackfillError``.
    """
    began = time.monotonic()
    history = History(Profile.read(), instance, int(time.time()))
    unfinished = data / _UNFINISHED
    report("Writing a week of history for the demo (once) ...")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        samples = _write(history, unfinished, promtool)
        for block in unfinished.iterdir():
            block.rename(data / block.name)
        unfinished.rmdir()
    except OSError as error:
        raise BackfillError(f"{error.filename or data}: {error.strerror}") from error
    report(f"Wrote {samples:,} samples in {time.monotonic() - began:.0f} s.")


def _write(history: History, folder: Path, promtool: Path) -> int:
    """Write all pieces as blocks into ``folder``; returns the number of samples."""
    pieces = range(history.start // _PIECE_SECONDS * _PIECE_SECONDS, history.end, _PIECE_SECONDS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return sum(pool.map(lambda begin: _write_piece(history, begin, folder, promtool), pieces))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_piece(history: History, begin: int, folder: Path, promtool: Path) -> int:
    """Write one piece of the history as blocks into ``folder``; returns the number of samples."""
    blocks = folder / f"{begin}.blocks"
    text = folder / f"{begin}.om"
    samples = 0
    with text.open("w") as lines:
        for part in history.text(begin, min(begin + _PIECE_SECONDS, history.end)):
            lines.write(part)
            samples += 0 if part.startswith("#") else part.count("\n")
    command = [str(promtool), "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(text), str(blocks)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BackfillError(f"promtool: {done.stderr.strip() or done.stdout.strip()}")
    text.unlink()
    for block in blocks.iterdir():
        block.rename(folder / block.name)
    blocks.rmdir()
    return samples


@click.command()
@click.option("--data", required=True, type=click.Path(file_okay=False, path_type=Path), help="Prometheus's directory.")
@click.option("--promtool", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The program.")
@click.option("--instance", required=True, metavar="HOST:PORT", help="As which Prometheus knows the exporter.")
def main(data: Path, promtool: Path, instance: str) -> None:
    """Write a week of history of the demo, unless Prometheus has data already."""
    if not is_new(data):
        click.echo(f"{data} has data already.")
        return
    try:
        write(data, promtool, instance, report=click.echo)
    except BackfillError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
