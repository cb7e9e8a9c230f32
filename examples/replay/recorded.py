"""Reads recorded workloads: agent sessions as CSV, and the Mooncake conversation trace as JSON lines."""

import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

from replay.workloads import Request, WorkloadError

CSV_COLUMNS = ("session", "agent", "t", "type", "model", "in", "out", "hit_blocks", "ttft", "api_time")
"""Columns that the CSV must have; others are ignored."""

CSV_BLOCK_TOKENS = 64
MOONCAKE_BLOCK_TOKENS = 512

SESSION_WINDOW_SECONDS = 3600.0
"""Sessions start evenly spread over this time: the recording does not say when each one really started."""

LONGEST_PAUSE_SECONDS = 120.0
"""Longer pauses inside a session are cut to this: some sessions were left alone for a day."""

_NO_FILE = "--workload synthetic needs no file"
_CSV_HINT = f"give the path of a CSV (plain or .gz) with the columns {', '.join(CSV_COLUMNS)}; {_NO_FILE}"
_MOONCAKE_HINT = (
    "give the path of FAST25-release/traces/conversation_trace.jsonl (plain or .gz) "
    f"from https://github.com/kvcache-ai/Mooncake; {_NO_FILE}"
)


def read_csv(path: Path) -> list[Request]:
    """Requests of recorded agent sessions, in order of time.

    Cached tokens are ``min(in, 64 x hit_blocks)``. Raises ``WorkloadError`` naming file, line and column.
    """
    rows: list[tuple[dict[str, str], int]] = []
    lines = _lines(path, _CSV_HINT)
    reader = csv.DictReader(lines)
    missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise WorkloadError(f"{path}:1: no column {', '.join(missing)}; {_CSV_HINT}")
    try:
        rows.extend((row, reader.line_num) for row in reader)
    except csv.Error as error:
        raise WorkloadError(f"{path}:{reader.line_num}: not CSV: {error}; {_CSV_HINT}") from None
    if not rows:
        raise WorkloadError(f"{path}: no rows; {_CSV_HINT}")
    sessions = {session: rank for rank, session in enumerate(dict.fromkeys(row["session"] for row, _ in rows))}
    clock: dict[tuple[str, str], tuple[float, float]] = {}  # (session, agent) -> its last t, and where that was placed
    requests = []
    for row, line in rows:
        fields = _Fields(path, line, row)
        session, agent = fields.text("session"), row["agent"] or ""
        t = fields.number("t")
        before = clock.get((session, agent))
        if before is not None:
            start = before[1] + min(max(0.0, t - before[0]), LONGEST_PAUSE_SECONDS)
        elif (session, "") in clock:
            # A sub-agent's t counts from its own start: it began after the main agent's last call.
            start = clock[session, ""][1]
        else:
            start = sessions[session] * SESSION_WINDOW_SECONDS / len(sessions)
        clock[session, agent] = (t, start)
        duration = fields.optional_number("api_time")
        tokens = fields.integer("in")
        model = fields.text("model")
        requests.append(
            Request(
                session=session,
                at=start + (duration or 0.0),
                model=model,
                provider="anthropic" if model.startswith("claude") else "unknown",
                input_tokens=tokens,
                output_tokens=fields.integer("out"),
                cache_read_tokens=min(tokens, CSV_BLOCK_TOKENS * fields.integer("hit_blocks")),
                duration=duration,
                time_to_first_token=fields.optional_number("ttft"),
                streaming=row["type"] == "s",
            )
        )
    return sorted(requests, key=lambda request: request.at)


def read_mooncake(path: Path, *, model: str, provider: str) -> list[Request]:
    """Requests of the Mooncake conversation trace, all as calls of one model: the trace does not name any.

    Cached tokens are the leading 512-token blocks that an earlier request had already sent (unlimited
    cache). The trace knows neither tenants nor latencies. Raises ``WorkloadError`` naming file and line.
    """
    seen: set[int] = set()
    requests = []
    for number, line in enumerate(_lines(path, _MOONCAKE_HINT), start=1):
        try:
            row = json.loads(line)
            at = row["timestamp"] / 1000.0
            tokens, output, blocks = row["input_length"], row["output_length"], row["hash_ids"]
            hits = 0
            for block in blocks:
                if block not in seen:
                    break
                hits += 1
            seen.update(blocks)
            if not (all(type(n) is int and n >= 0 for n in (tokens, output)) and math.isfinite(at) and at >= 0):
                raise ValueError("times and lengths must be whole numbers, 0 or more")
        except (ValueError, TypeError, KeyError) as error:
            what = f"no field {error}" if isinstance(error, KeyError) else str(error)
            raise WorkloadError(f"{path}:{number}: not a row of the Mooncake trace: {what}; {_MOONCAKE_HINT}") from None
        requests.append(Request("", at, model, provider, tokens, output, min(tokens, MOONCAKE_BLOCK_TOKENS * hits)))
    if not requests:
        raise WorkloadError(f"{path}: no rows; {_MOONCAKE_HINT}")
    return sorted(requests, key=lambda request: request.at)


def _lines(path: Path, hint: str) -> Iterator[str]:
    """Yield the lines of a text file, unpacked when its name ends in ``.gz``."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open("rt", newline="") as file:
            yield from file
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise WorkloadError(f"{path}: cannot be read: {reason}; {hint}") from None


class _Fields:
    """Checked access to the fields of one CSV row."""

    def __init__(self, path: Path, line: int, row: dict[str, str]) -> None:
        self._where = f"{path}:{line}"
        self._row = row

    def text(self, column: str) -> str:
        """A field that must not be empty."""
        value = self._row[column]
        if not value:
            raise WorkloadError(f"{self._where}: column {column} is empty; every row needs one")
        return value

    def number(self, column: str) -> float:
        """A field that must be a finite number, 0 or more."""
        text = self.text(column)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0.0 <= value < math.inf:
            raise WorkloadError(f"{self._where}: column {column} is {text!r}; expected a number, 0 or more")
        return value

    def optional_number(self, column: str) -> float | None:
        """A field that is empty, or a finite number, 0 or more."""
        return self.number(column) if self._row[column] else None

    def integer(self, column: str) -> int:
        """A field that must be a whole number, 0 or more."""
        value = self.number(column)
        if not value.is_integer():
            raise WorkloadError(f"{self._where}: column {column} is {value!r}; expected a whole number")
        return int(value)
