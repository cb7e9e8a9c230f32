"""Local statistics of this process: ``snapshot()``, ``report()``, ``print_report()``, ``export_json()``, ``health()``.

They read the blocks that this process records into, without any server; in a metrics directory they cover this process
only, and say so (for all of them: ``genai-exporter report``). Any thread may call them; recording goes on meanwhile,
and each block is read in one step. Nothing that they need is loaded before the first call.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from genai_metrics import runtime
from genai_metrics.stages import resident_bytes

if TYPE_CHECKING:
    from genai_metrics.healthchecks import Health
    from genai_metrics.snapshots import Memory, Snapshot


def snapshot() -> "Snapshot":
    """Return what this process has counted since it began to record (or since ``reset()``).

    Counts, sums, means, tokens and cost are exact; ``estimated`` values come from the buckets of histograms.
    """
    from genai_metrics.summaries import summarize

    recorder = runtime.existing_recorder()
    scope = f"This process ({os.getpid()})"
    if recorder is None:
        return summarize((), scope=scope, memory=_memory())
    scope += f" of service {recorder.service}"
    if recorder.settings.metrics_dir is not None:
        scope += f", one of those that record into {recorder.settings.metrics_dir}"
    rows = ((block.kind, block.key, block.read()) for block in recorder.blocks())
    return summarize(rows, scope=scope, memory=_memory())


def report() -> dict[str, Any]:
    """Return ``snapshot()`` as nested dictionaries that ``json.dumps`` takes; see ``docs/statistics.md``."""
    from genai_metrics.reports import as_dict

    return as_dict(snapshot())


def print_report(file: TextIO | None = None) -> None:
    """Print ``snapshot()`` as a table in plain text to ``file`` (standard output)."""
    from genai_metrics.reports import as_text

    (sys.stdout if file is None else file).write(as_text(snapshot()))


def export_json(path: str | os.PathLike[str]) -> None:
    """Write ``report()`` to a file, which a reader finds either as it was or complete, also after a crash.

    Raises ``OSError`` when the file cannot be written; an earlier one is unchanged then.
    """
    import json
    import secrets

    data = json.dumps(report(), allow_nan=False, ensure_ascii=False, indent=2) + "\n"
    target = os.path.abspath(os.fspath(path))
    directory, name = os.path.split(target)
    temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def health(
    *,
    memory_bytes: float | None = 1_000_000_000,
    error_rate: float | None = 0.10,
    workflow_p95_seconds: float | None = None,
    cache_hit_rate: float | None = None,
    minimum_count: int = 10,
) -> "Health":
    """Return whether this process is within limits: ``status`` (``healthy`` or ``degraded``) and ``issues``.

    Limits, ``None`` for none: resident ``memory_bytes``; ``error_rate`` (0 to 1) of each mode, model, operation, tool
    and source; estimated ``workflow_p95_seconds`` of each mode; the least ``cache_hit_rate`` (0 to 1). Rates count from
    ``minimum_count`` runs on. A dependency that is down, and metrics that could not be stored, are issues too.

    Everything since the start counts: for what is so at present, use the alerts. Raises ``ValueError`` for limits that
    cannot be.
    """
    from genai_metrics.healthchecks import Limits, check

    limits = Limits(memory_bytes, error_rate, workflow_p95_seconds, cache_hit_rate, minimum_count)
    return check(snapshot(), limits)


def reset() -> None:
    """Forget all that this process has counted, for tests; settings stay.

    In a metrics directory the process goes on in a new file; what the earlier one holds stays for the exporter, as
    after the end of a process. Not for use while calls are recorded: what is in flight then ends at a number below 0.
    """
    runtime.restart()


def _memory() -> "Memory":
    from genai_metrics.snapshots import Memory

    try:
        import resource
    except ImportError:  # Windows
        return Memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    now = resident_bytes()
    # The kernel updates its maximum only now and then.
    return Memory(now, max(peak, now or 0))
