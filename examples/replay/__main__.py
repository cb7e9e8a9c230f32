"""Command line of the replay: ``python -m replay --help``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replay.recorded import read_csv, read_mooncake
from replay.synthetic import generate
from replay.workloads import Request, WorkloadError

if TYPE_CHECKING:
    from replay.worker import Plan


@dataclass(frozen=True)
class Source:
    """Where the requests come from, as given on the command line."""

    workload: str
    file: Path | None
    requests: int
    seed: int
    model: str
    provider: str
    limit: int | None

    def load(self) -> list[Request]:
        """The requests in order of time; raises ``WorkloadError`` or ``click.UsageError``."""
        if self.workload == "synthetic":
            if self.file is not None:
                raise click.UsageError("--workload synthetic is generated; leave out --file")
            requests = generate(self.requests, seed=self.seed)
        elif self.file is None:
            raise click.UsageError(f"--workload {self.workload} needs --file PATH; --workload synthetic does not")
        elif self.workload == "csv":
            requests = read_csv(self.file)
        else:
            requests = read_mooncake(self.file, model=self.model, provider=self.provider)
        return requests[: self.limit]


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--workload", type=click.Choice(["csv", "mooncake", "synthetic"]), default="synthetic")
@click.option("--file", type=click.Path(path_type=Path), help="CSV or JSON lines, plain or .gz.")
@click.option("--requests", type=click.IntRange(1), default=20_000, help="Length of the synthetic workload.")
@click.option("--seed", type=int, default=1, help="Seed of the synthetic workload.")
@click.option("--model", default="moonshot-v1-128k", help="Model of all calls of the Mooncake trace.")
@click.option("--provider", default="moonshotai", help="Provider of all calls of the Mooncake trace.")
@click.option("--limit", type=click.IntRange(1), help="Replay only so many requests.")
@click.option(
    "--metrics-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="GENAI_METRICS_DIR",
    help="Directory that genai-exporter reads.  [env: GENAI_METRICS_DIR]",
)
@click.option("--service", default="replay", help="Value of the label service.")
@click.option("--processes", type=click.IntRange(1), default=4, help="Worker processes.")
@click.option("--speed", type=click.FloatRange(0), default=1.0, help="1 is real time, 0 as fast as possible.")
@click.option("--forever", is_flag=True, help="Start over at the end, until SIGTERM or Ctrl-C.")
@click.option("--shard", metavar="I/N", help="Be one worker: rows whose index modulo N is I, without a progress bar.")
@click.option("--skip", type=click.IntRange(0), default=0, help="With --shard: rows that an earlier worker did.")
@click.option("--acknowledge", is_flag=True, help="With --shard: print the number of rows done after each row.")
@click.option("--hold-after", type=click.IntRange(1), help="With --shard: wait to be ended once so many rows are done.")
def main(
    workload: str,
    file: Path | None,
    requests: int,
    seed: int,
    model: str,
    provider: str,
    limit: int | None,
    metrics_dir: Path | None,
    service: str,
    processes: int,
    speed: float,
    forever: bool,
    shard: str | None,
    skip: int,
    acknowledge: bool,
    hold_after: int | None,
) -> None:
    """Replay an LLM workload through genai_metrics.track_llm_call in several processes."""
    if metrics_dir is None:
        raise click.UsageError("no metrics directory: give --metrics-dir DIR, the one that genai-exporter reads")
    if shard is None and (skip or acknowledge or hold_after):
        raise click.UsageError("--skip, --acknowledge and --hold-after are for one worker: add --shard I/N")
    source = Source(workload, file, requests, seed, model, provider, limit)
    try:
        metrics_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = source.load()
    except OSError as error:
        raise click.ClickException(
            f"--metrics-dir {metrics_dir}: {error.strerror}; give one you may write to"
        ) from None
    except WorkloadError as error:
        raise click.ClickException(str(error)) from None

    if shard is None:
        from replay.supervisor import supervise

        # The workers are this command with --shard: each reads the workload for itself and shares no
        # memory, so that one can be killed without harm to the others.
        command = [sys.executable, "-m", "replay", *sys.argv[1:], "--metrics-dir", str(metrics_dir)]
        sys.exit(supervise(rows, command, processes=processes, forever=forever))
    from replay.worker import Plan, Shard

    try:
        mine = Shard.parse(shard).of(rows)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--shard") from None
    if skip > len(mine):
        raise click.BadParameter(f"{skip} of {len(mine)} rows; the shard has no more", param_hint="--skip")
    plan = Plan(speed=speed, skip=skip, hold_after=hold_after, forever=forever, span=rows[-1].at)
    _work(list(mine), plan, metrics_dir, service, acknowledge)


def _work(rows: list[Request], plan: "Plan", metrics_dir: Path, service: str, acknowledge: bool) -> None:
    """Be one worker."""
    import genai_metrics
    from replay.worker import Acknowledger, Stop, replay

    stop = Stop()
    # Before there is a file: whoever sees the file may signal this process.
    stop.listen()
    genai_metrics.configure(metrics_dir=metrics_dir, service_name=service)
    # When nobody reads the acknowledgements any more, click ends the worker with status 1.
    replay(rows, plan, stop, Acknowledger(1) if acknowledge else None)


if __name__ == "__main__":
    main(prog_name="python -m replay")
