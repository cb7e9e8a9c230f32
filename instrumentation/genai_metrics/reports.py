"""Local statistics as a dictionary and as plain text. Imports ``distributions`` and ``snapshots``."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genai_metrics.distributions import Distribution
from genai_metrics.snapshots import Snapshot

ESTIMATED = "~: estimated from the buckets of histograms."
"""What the reader of a table must know."""

Table = tuple[str, tuple[str, ...], list[tuple[str, ...]]]
"""Title, names of columns, rows."""

_TIMES = ("mean", "~min", "~max", "~p50", "~p95", "~p99")


def as_dict(snapshot: Snapshot) -> dict[str, Any]:
    """Return a snapshot as dictionaries, text and finite numbers, as JSON has them; ``None`` where not known."""
    return asdict(snapshot)


def summary(snapshot: Snapshot) -> str:
    """Return the lines above the tables: whose numbers, how many calls, what they cost."""
    llm, memory = snapshot.llm, snapshot.memory
    unpriced = f"; {llm.unpriced:,} calls at an unknown price are missing from the cost" if llm.unpriced else ""
    lines = [
        f"{snapshot.scope}, {time.strftime('%Y-%m-%d %H:%M:%S %Z', time.localtime(snapshot.time))}",
        f"LLM calls {llm.calls:,}, failed {llm.failures:,}, in flight {llm.in_flight:,}; "
        f"tokens in {llm.input_tokens:,}, out {llm.output_tokens:,}; "
        f"cost {_usd(llm.cost_usd)}, saved {_usd(llm.saved_usd)}{unpriced}",
    ]
    if memory.resident_bytes is not None:
        peak = "" if memory.peak_bytes is None else f", at most {_megabytes(memory.peak_bytes)}"
        lines.append(f"Memory {_megabytes(memory.resident_bytes)}{peak}")
    down = [name for name, up in snapshot.dependencies.items() if not up]
    if down:
        lines.append("Not usable: " + ", ".join(map(_printable, down)))
    if snapshot.faults:
        lines.append(
            "Recording faults: " + ", ".join(f"{_printable(why)} {number:,}" for why, number in snapshot.faults.items())
        )
    return "\n".join(lines)


def tables(snapshot: Snapshot) -> list[Table]:
    """Return the tables of a report; what was never recorded has none."""
    stage_columns = ("runs", "failed", *_TIMES)

    def stages(of: Mapping[str, Any]) -> list[tuple[str, ...]]:
        return [(name, *_counts(it.seconds.count, it.failures), *_times(it.seconds)) for name, it in of.items()]

    every: list[Table] = [
        (
            "Workflows",
            ("mode", "runs", "failed", "cached", "in flight", *_TIMES),
            [
                (n, *_counts(w.seconds.count, w.failures, w.from_cache, w.in_flight), *_times(w.seconds))
                for n, w in snapshot.workflows.items()
            ],
        ),
        ("Operations", ("operation", *stage_columns), stages(snapshot.operations)),
        (
            "Models",
            ("provider/model", "calls", "failed", "tokens in", "out", "cost", "saved", *_TIMES),
            [
                (
                    n,
                    *_counts(m.calls, m.failures, m.input_tokens, m.output_tokens),
                    _cost(m.cost_usd, m.unpriced),
                    _usd(m.saved_usd),
                    *_times(m.seconds),
                )
                for n, m in snapshot.models.items()
            ],
        ),
        ("Tools", ("tool", *stage_columns), stages(snapshot.tools)),
        ("Retrievals", ("source", *stage_columns), stages(snapshot.retrievals)),
        (
            "Caches",
            ("cache", "hits", "misses", "hit rate", "writes", "evictions", "entries", *_TIMES),
            [
                (
                    n,
                    *_counts(c.hits, c.misses),
                    "-" if c.hit_rate is None else f"{c.hit_rate:.1%}",
                    *_counts(c.writes, c.evictions, c.entries),
                    *_times(c.lookup_seconds),
                )
                for n, c in snapshot.caches.items()
            ],
        ),
        (
            "Quality",
            ("evaluator", "scores", "below threshold", *_TIMES),
            [
                (n, *_counts(q.scores.count, q.below_threshold), *_times(q.scores, _plain))
                for n, q in snapshot.quality.items()
            ],
        ),
        (
            "Tenants",
            ("tenant", "calls", "failed", "tokens in", "out", "cost", "saved"),
            [
                (
                    n,
                    *_counts(t.calls, t.failures, t.input_tokens, t.output_tokens),
                    _usd(t.cost_usd),
                    _usd(t.saved_usd),
                )
                for n, t in snapshot.tenants.items()
            ],
        ),
    ]
    return [
        (title, columns, [(_printable(row[0]), *row[1:]) for row in rows]) for title, columns, rows in every if rows
    ]


def as_text(snapshot: Snapshot) -> str:
    """Return a report for people, in plain text, with a line feed at its end."""
    parts = [summary(snapshot)]
    shown = tables(snapshot)
    for title, columns, rows in shown:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        parts.append("\n".join([title, *(_line(cells, widths) for cells in (columns, *rows))]))
    return "\n\n".join([*parts, *([ESTIMATED] if shown else [])]) + "\n"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *numbers = cells
    right = (cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))
    return "  ".join([name.ljust(widths[0]), *right]).rstrip()


def _times(of: Distribution, show: Callable[[float | None], str] | None = None) -> tuple[str, ...]:
    text = show or _seconds
    if of.estimated is None:
        return ("-",) * len(_TIMES)
    known = of.estimated
    return tuple(map(text, (of.mean, known.min, known.max, known.p50, known.p95, known.p99)))


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    if 0 < value < 0.001:
        return f"{value * 1e6:.3g} µs"
    return f"{value * 1000:.3g} ms" if 0 < value < 0.9995 else f"{value:,.3g} s" if value < 100 else f"{value:,.0f} s"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _usd(value: float) -> str:
    """Write dollars: with cents from one on, below to a hundredth of a cent, and single calls to a millionth."""
    if value >= 1 or value == 0:
        return f"${value:,.2f}"
    if value < 1e-6:
        return "< $0.000001"
    return f"${value:.4f}" if value >= 0.01 else f"${value:.6f}"


def _cost(value: float, unpriced: int) -> str:
    """Unknown is not free."""
    return "unknown" if unpriced and not value else f"≥ {_usd(value)}" if unpriced else _usd(value)


def _counts(*numbers: int | None) -> tuple[str, ...]:
    return tuple("-" if number is None else f"{number:,}" for number in numbers)


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"


def _printable(text: str) -> str:
    """Return a label value such that it cannot control a terminal."""
    return "".join(c if c.isprintable() else "�" for c in text)
