"""``/metrics?name[]=…``: a scrape of some metrics alone.

A name is that of a sample or of a whole family, with or without a counter's ``_total``; unknown ones select nothing.
Works on the lines of either text format, whoever wrote them. Imports the catalogue only.
"""

from collections.abc import Collection, Iterable, Iterator

from genai_metrics.catalog import MetricSpec

PARAMETER = "name[]"
"""Of the query; may be given again for each further name."""

_HISTOGRAM_SAMPLES = ("_bucket", "_count", "_sum")


def is_selected(metric: MetricSpec, names: Collection[str]) -> bool:
    """Whether any sample of ``metric`` is selected by ``names``."""
    if metric.name in names or metric.family in names:
        return True
    return metric.type == "histogram" and any(metric.name + suffix in names for suffix in _HISTOGRAM_SAMPLES)


def selected(chunks: Iterable[bytes], names: Collection[str]) -> Iterator[bytes]:
    """Yield of an exposition in chunks of whole lines what ``names`` select, and OpenMetrics' ``# EOF``.

    A family of which no sample is left has no HELP and TYPE lines either.
    """
    wanted = {name.encode() for name in names}
    head: list[bytes] = []
    family = b""
    whole = some = False
    for chunk in chunks:
        kept: list[bytes] = []
        # Not splitlines(): label values may hold a carriage return.
        for line in chunk.split(b"\n"):
            if not line.startswith(b"#"):
                if line and some and (whole or _sample(line) in wanted):
                    kept += (*head, line)
                    head = []
            elif line == b"# EOF":
                kept.append(line)
            else:
                name = _family(line)
                if name != family:
                    family, head = name, []
                    base = name.removesuffix(b"_total")
                    whole = not wanted.isdisjoint((name, base, base + b"_total"))
                    some = whole or any(other.startswith(base) for other in wanted)
                head.append(line)
        # Of each chunk one, an empty one too: whoever serves an event loop gives way after each.
        yield b"\n".join((*kept, b"")) if kept else b""


def _family(line: bytes) -> bytes:
    """Return the name in a HELP, TYPE or UNIT line, which is in quotes if it is not a classic one."""
    rest = line.split(b" ", 2)[-1]
    return _quoted(rest) if rest.startswith(b'"') else rest.partition(b" ")[0]


def _sample(line: bytes) -> bytes:
    if line.startswith(b'{"'):
        return _quoted(line[1:])
    return line.partition(b"{")[0].partition(b" ")[0]


def _quoted(text: bytes) -> bytes:
    return text[1:].partition(b'"')[0]
