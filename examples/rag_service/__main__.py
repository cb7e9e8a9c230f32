"""Command line of the service: ``python -m rag_service --help``."""

import os
import socket
from pathlib import Path

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from rag_service.settings import Settings

UNINSTRUMENTED = "GENAI_DEMO_UNINSTRUMENTED"

# A worker that does not answer its master for so long is replaced: far longer than a busy machine takes.
_PATIENCE_SECONDS = 60
# Longer than people think: uvicorn's 5 seconds may end just when the next question comes.
_KEEP_ALIVE_SECONDS = 75


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        raise click.BadParameter(f"{text!r} is no HOST:PORT, such as 127.0.0.1:8200", param_hint="--listen")
    return host.strip("[]") or "127.0.0.1", int(port)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # so that who is told the address can connect, before the workers have started
    except OSError as error:
        listener.close()
        raise click.ClickException(f"--listen {host}:{port}: {error.strerror}; give another address") from None
    return listener


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--listen", default="127.0.0.1:8200", metavar="HOST:PORT", help="Where to serve; port 0 for a free one.")
@click.option("--workers", type=click.IntRange(1), default=2, help="Worker processes; one that dies is replaced.")
@click.option("--llm-url", required=True, metavar="URL", help="Where fake_llm answers, such as http://127.0.0.1:8100.")
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File in which the workers see which faults are on.",
)
@click.option(
    "--metrics-dir",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="GENAI_METRICS_DIR",
    help="Directory that genai-exporter reads.  [env: GENAI_METRICS_DIR]",
)
@click.option("--service", default="rag", help="Value of the label service.")
@click.option(
    "--speed", type=click.FloatRange(0), default=1.0, help="Divides the databases' latencies; 0 is without any."
)
@click.option(
    "--time-lapse",
    type=click.FloatRange(1),
    default=1.0,
    help="How much faster things happen that go by the clock, such as expiry; for so many times the requests.",
)
@click.option(
    "--errors",
    type=click.FloatRange(0, 1),
    default=Settings.errors,
    help="Share of tool calls and of retrievals that fail by themselves.",
)
@click.option(
    "--agent-steps",
    type=click.IntRange(1),
    default=Settings.agent_steps,
    help="Calls of the model after which an agent gives up.",
)
@click.option(
    "--metrics/--no-metrics",
    "instrumented",
    default=None,
    show_default="with",
    help=f"Without metrics the same code runs uninstrumented, to compare with.  [env: {UNINSTRUMENTED}=1]",
)
def main(
    listen: str,
    workers: int,
    llm_url: str,
    state: Path,
    metrics_dir: Path | None,
    service: str,
    speed: float,
    time_lapse: float,
    errors: float,
    agent_steps: int,
    instrumented: bool | None,
) -> None:
    """Answer questions about a fictional company from a small corpus, and be monitored while doing so."""
    if instrumented is None:
        instrumented = os.environ.get(UNINSTRUMENTED, "0") in ("", "0")
    listener = _bound(*_address(listen))
    state = state.absolute()
    state.parent.mkdir(parents=True, exist_ok=True)
    Settings(
        llm_url=llm_url.rstrip("/"),
        state=state,
        metrics_dir=None if metrics_dir is None else metrics_dir.absolute(),
        service=service,
        workers=workers,
        speed=speed,
        time_lapse=time_lapse,
        errors=errors,
        agent_steps=agent_steps,
        instrumented=instrumented,
    ).to_environment()
    # bm25s would make progress bars, and those a semaphore that a worker leaves behind at SIGTERM.
    os.environ.setdefault("DISABLE_TQDM", "1")
    config = uvicorn.Config(
        "rag_service.worker:create_app",
        factory=True,
        workers=workers,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_worker_healthcheck=_PATIENCE_SECONDS,
    )
    host, port = listener.getsockname()[:2]
    click.echo(f"rag_service listens on http://{f'[{host}]' if ':' in host else host}:{port}")
    # Also for one worker: the master replaces it when it is killed.
    Multiprocess(config, [listener]).run()
    listener.close()


if __name__ == "__main__":
    main(prog_name="python -m rag_service")
