"""From blocks to the Prometheus text format 0.0.4 and OpenMetrics 1.0, and to prometheus_client families.

The renderer is compiled: for each metric of the catalogue a function is generated whose body is one f-string with all
lines of a block, which is what makes 100 000 lines take tens of milliseconds. Sample lines are the same in both
formats but for exemplars, which only OpenMetrics has and which are put to the lines of the few blocks that have any.
Imports the catalogue, blocks, exemplars and prometheus_client.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cache
from itertools import accumulate, chain, groupby, islice
from operator import add
from types import MappingProxyType
from typing import TypeVar

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar as ClientExemplar
from prometheus_client.utils import floatToGoString

from genai_metrics.blocks import Block, Key
from genai_metrics.catalog import BLOCK_KINDS, EXEMPLAR_KINDS, SERVICE_LABEL, BlockKind, ExemplarKind, MetricSpec
from genai_metrics.exemplars import Exemplar, OfBlock, unpacked
from genai_metrics.recorder import Recorder

Row = tuple[str, Sequence[float]]
"""One block to be rendered: its labels as ``label_text`` writes them, and its values in catalogue order."""

L = TypeVar("L")

Exemplars = Mapping[MetricSpec, Mapping[str, OfBlock]]
"""Exemplars by histogram and by a row's labels."""

CHUNK_LINES = 256
"""About how many lines one chunk holds: small enough that an event loop is held up for well under a millisecond."""

shown_elsewhere: ContextVar[bool] = ContextVar("genai_metrics_shown_elsewhere", default=False)
"""Set while a registry is collected by an endpoint of ours that renders the blocks itself."""


def label_text(service: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Return ``service="…",name="value",…``, escaped as both formats want it."""
    pairs = zip((SERVICE_LABEL, *names), (service, *values), strict=True)
    return ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)


def render(
    rows: Mapping[BlockKind, Sequence[Row]], *, openmetrics: bool, exemplars: Exemplars = MappingProxyType({})
) -> Iterator[bytes]:
    """Yield the exposition of all rows in chunks of whole lines, family by family, without OpenMetrics' ``# EOF``.

    Rows keep their order. Kinds without rows are left out: an unknown family is absent, not empty. ``exemplars`` are
    shown in OpenMetrics only.
    """
    for kinds in families():
        together = _together([rows.get(kind, ()) for kind in kinds])
        if not together:
            continue
        for metric, offset in kinds[0].layout():
            yield family_head(metric, openmetrics=openmetrics).encode()
            lines = line_function(metric, offset)
            remaining = iter(together)
            step = max(1, CHUNK_LINES // lines_per_block(metric))
            of_metric = exemplars.get(metric) if openmetrics else None
            while chunk := list(islice(remaining, step)):
                text = lines(chunk)
                yield (_with_exemplars(text, metric, offset, chunk, of_metric) if of_metric else text).encode()


def _with_exemplars(
    text: str, metric: MetricSpec, offset: int, rows: Sequence[Row], exemplars: Mapping[str, OfBlock]
) -> str:
    """Put exemplars to the lines of a histogram's buckets, which come first of each row's lines."""
    found = [(i, values, exemplars[labels]) for i, (labels, values) in enumerate(rows) if labels in exemplars]
    if not found:
        return text
    lines = text.split("\n")
    for row, values, of_block in found:
        for bucket, exemplar in of_block.items():
            # A series that is still shown as 0, or was read just before the observation, has nothing to exemplify.
            if values[offset + bucket]:
                lines[row * lines_per_block(metric) + bucket] += exemplar.text
    return "\n".join(lines)


def _together(parts: Sequence[Sequence[tuple[L, Sequence[float]]]]) -> Sequence[tuple[L, Sequence[float]]]:
    """Return the rows of a family, with one row for a private and a shared thing of equal name: their sum.

    Two lines of one series in a scrape would make Prometheus drop one of them.
    """
    some = [part for part in parts if part]
    if len(some) < 2:
        return some[0] if some else ()
    sums: dict[L, Sequence[float]] = {}
    for labels, values in chain.from_iterable(some):
        # The time of the last change, which ends the values of a shared thing, falls away.
        sums[labels] = list(map(add, sums[labels], values)) if labels in sums else values
    return list(sums.items())


@cache
def families() -> list[list[BlockKind]]:
    """Return the block kinds, those together whose blocks make the same families."""
    return [list(kinds) for _, kinds in groupby(BLOCK_KINDS, key=lambda kind: kind.metrics)]


def family_head(metric: MetricSpec, *, openmetrics: bool) -> str:
    """Return the HELP, TYPE and (OpenMetrics) UNIT lines of a family."""
    name = metric.family if openmetrics else metric.name
    unit = f"# UNIT {name} {metric.unit}\n" if openmetrics and metric.unit else ""
    return f"# HELP {name} {_escape_help(metric.help)}\n# TYPE {name} {metric.type}\n{unit}"


def lines_per_block(metric: MetricSpec) -> int:
    """Return the number of sample lines that one block takes for ``metric``."""
    return metric.slots + 1 if metric.type == "histogram" else metric.slots


def sample_count(rows: Mapping[BlockKind, Sequence[Row]]) -> int:
    """Return the number of sample lines that ``render`` makes of ``rows``."""
    return sum(
        len(_together([rows.get(kind, ()) for kind in kinds])) * sum(map(lines_per_block, kinds[0].metrics))
        for kinds in families()
    )


@cache
def line_function(metric: MetricSpec, offset: int) -> Callable[[Iterable[Row]], str]:
    """Compile the function that turns rows into the sample lines of ``metric``, whose slots start at ``offset``."""
    if metric.type == "histogram":
        counts = [f"c{i}" for i in range(len(metric.buckets) + 1)]
        bounds = _bounds(metric)
        before = f"{', '.join(counts)} = accumulate(values[{offset}:{offset + len(counts)}])"
        lines = [
            _line(f"{metric.name}_bucket", count, f',le="{bound}"') for bound, count in zip(bounds, counts, strict=True)
        ]
        # _count is derived from the buckets, so that the two can never contradict each other.
        lines.append(_line(f"{metric.name}_count", counts[-1]))
        lines.append(_line(f"{metric.name}_sum", f"values[{offset + len(counts)}]"))
    else:
        before = "pass"
        label, choices = metric.split or ("", ("",))
        extras = [f',{label}="{choice}"' if label else "" for choice in choices]
        lines = [_line(metric.name, f"values[{offset + i}]", extra) for i, extra in enumerate(extras)]
    body = "\\n".join(lines) + "\\n"
    source = (
        "def lines(rows):\n"
        "    out = []\n"
        "    for labels, values in rows:\n"
        f"        {before}\n"
        f"        out.append(f'''{body}''')\n"
        "    return ''.join(out)\n"
    )
    scope: dict[str, object] = {"accumulate": accumulate}
    exec(compile(source, f"<lines of {metric.name}>", "exec"), scope)
    return scope["lines"]  # type: ignore[return-value]


@cache
def _bounds(metric: MetricSpec) -> list[str]:
    """Values of the ``le`` label, as prometheus_client writes them: ``0.05``, ``1.0``, ``+Inf``."""
    return [str(floatToGoString(bound)) for bound in (*metric.buckets, float("inf"))]  # type: ignore[no-untyped-call]


def _line(name: str, value: str, extra_label: str = "") -> str:
    """Return one sample line as the source text of an f-string over ``labels`` and the expression ``value``."""
    return name + "{{{labels}" + extra_label + "}} {" + value + "!r}"


class BlockCollector(Collector):
    """prometheus_client collector over this process's own blocks; for applications that serve themselves.

    ``recorder`` returns the current recorder or ``None``. While the process records into a metrics directory nothing is
    collected: the exporter serves that directory, and one worker's share would pass for the whole.
    """

    def __init__(self, recorder: Callable[[], Recorder | None]) -> None:
        self._recorder = recorder

    def describe(self) -> Iterator[Metric]:
        """Yield every family without samples, so that duplicate names are refused and ``name[]`` filters work."""
        for kinds in families():
            for metric in kinds[0].metrics:
                yield _family(metric)

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have samples."""
        recorder = self._recorder()
        if recorder is None or shown_elsewhere.get():
            return
        by_kind = own_blocks(recorder)
        for kinds in families():
            rows = _together([[(block.key, block.read()) for block in by_kind.get(kind, ())] for kind in kinds])
            for metric, offset in kinds[0].layout() if rows else ():
                family = _family(metric)
                exemplars = _own_exemplars(recorder, metric)
                for key, values in rows:
                    own = values[offset : offset + metric.slots]
                    _add_samples(family, metric, (recorder.service, *key), own, exemplars.get(key, {}))
                yield family


def own_blocks(recorder: Recorder) -> dict[BlockKind, list[Block]]:
    """Return the blocks that this process has to show itself, by kind; none when an exporter shows them."""
    by_kind: dict[BlockKind, list[Block]] = {}
    if recorder.settings.metrics_dir is None:
        for block in recorder.blocks():
            by_kind.setdefault(block.kind, []).append(block)
    return by_kind


def own_exemplar_blocks(recorder: Recorder, kind: ExemplarKind) -> list[Block]:
    """Return the blocks with exemplars that this process has to show itself; none when an exporter shows them."""
    return recorder.exemplar_blocks(kind) if recorder.settings.metrics_dir is None else []


def _own_exemplars(recorder: Recorder, metric: MetricSpec) -> dict[Key, OfBlock]:
    kinds = [kind for kind in EXEMPLAR_KINDS if metric in kind.metrics]
    return {b.key: unpacked(kind, b.read()) for kind in kinds for b in own_exemplar_blocks(recorder, kind)}


def _family(metric: MetricSpec) -> Metric:
    names = (SERVICE_LABEL, *metric.label_names)
    if metric.type == "histogram":
        return HistogramMetricFamily(metric.name, metric.help, labels=names, unit=metric.unit)
    family = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    return family(metric.name, metric.help, labels=names, unit=metric.unit)


def _add_samples(family: Metric, metric: MetricSpec, key: Key, values: Sequence[float], exemplars: OfBlock) -> None:
    if isinstance(family, HistogramMetricFamily):
        counts = zip(_bounds(metric), accumulate(values[:-1]), strict=True)
        family.add_metric(
            key,
            [
                (bound, count, _client_exemplar(exemplars[i])) if i in exemplars and values[i] else (bound, count)
                for i, (bound, count) in enumerate(counts)
            ],
            values[-1],
        )
    elif isinstance(family, CounterMetricFamily | GaugeMetricFamily):
        for choice, value in zip(metric.split[1] if metric.split else ("",), values, strict=True):
            family.add_metric((*key, choice) if choice else key, value)


def _client_exemplar(exemplar: Exemplar) -> ClientExemplar:
    return ClientExemplar(exemplar.labels, exemplar.value, round(exemplar.time, 3))


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")
