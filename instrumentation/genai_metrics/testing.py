"""For tests of applications: what was recorded, and a store of their own. Works with pytest and unittest.

``sample`` and ``assert_increment`` read this process's blocks, wherever they lie; ``isolated_store`` keeps a test's
records apart. Nothing here is meant for production code.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString

from genai_metrics import runtime
from genai_metrics.catalog import BLOCK_KINDS, BlockKind, MetricSpec
from genai_metrics.settings import Settings

__all__ = ["assert_increment", "isolated_store", "sample", "samples"]

_HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")


def sample(name: str, /, **labels: str) -> float:
    """Return the sum of the series of ``name`` that have these labels; 0.0 when nothing was recorded.

    ``name`` as Prometheus has it; of a histogram with ``_count``, ``_sum`` or ``_bucket`` (then with ``le``). Labels
    that are left out may have any value. Raises ``ValueError`` for a name or label that the catalogue does not have.
    """
    _check(name, labels)
    return math.fsum(value for found, value in samples(name) if found.items() >= labels.items())


def samples(name: str, /) -> list[tuple[dict[str, str], float]]:
    """Return labels and value of each series of ``name``; raises ``ValueError`` for a name that does not exist."""
    _find(name)
    recorder = runtime.existing_recorder()
    blocks = [] if recorder is None else recorder.blocks()
    return [
        (labels, value)
        for block in blocks
        for found, labels, value in _series(block.kind, block.key, block.read())
        if found == name
    ]


@contextmanager
def assert_increment(name: str, by: float = 1.0, /, **labels: str) -> Iterator[None]:
    """Assert that the block raises ``sample(name, **labels)`` by exactly ``by`` (to 1e-9 of it); 0 for not at all.

    ``by`` is given by position: ``by`` is also a label. Raises ``AssertionError``, whose text lists the series of
    ``name`` that did change; an exception in the block goes on unchanged.
    """
    _check(name, labels)
    before = {_text(name, found): value for found, value in samples(name)}
    old = sample(name, **labels)
    yield
    new = sample(name, **labels)
    if math.isclose(new - old, by, rel_tol=1e-9, abs_tol=1e-9 * max(abs(new), abs(old), 1e-3)):
        return
    after = {_text(name, found): value for found, value in samples(name)}
    changed = [f"  {text}: {before.get(text, 0.0):g} -> {value:g}" for text, value in after.items()]
    changed = [line for line, text in zip(changed, after, strict=True) if after[text] != before.get(text, 0.0)]
    told = "\n".join(["series that changed:", *changed]) if changed else f"no series of {name} changed"
    raise AssertionError(f"{_text(name, labels)} rose by {new - old:g}, not by {by:g}; {told}")


@contextmanager
def isolated_store() -> Iterator[CollectorRegistry]:
    """Have this process record into an empty store in private memory while the block runs, and then as before.

    Gives a prometheus_client registry that shows the store and nothing else. All threads of the process are meant, so
    tests that run in several threads at once share it. The environment (``GENAI_METRICS_DIR``, …) is not read, and no
    prices are looked up; ``configure()`` within the block holds until its end.
    """
    registry = CollectorRegistry()
    with runtime.isolated(Settings(service_name="tests", pricing=False), registry):
        yield registry


def _series(kind: BlockKind, key: tuple[str, ...], values: list[float]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Yield name, labels and value of each series of a block."""
    labels = dict(zip(kind.labels, key, strict=True))
    for metric, offset in kind.layout():
        own = values[offset : offset + metric.slots]
        if metric.type == "histogram":
            bounds = map(floatToGoString, (*metric.buckets, math.inf))
            for bound, count in zip(bounds, accumulate(own[:-1]), strict=True):
                yield f"{metric.name}_bucket", {**labels, "le": str(bound)}, count
            yield f"{metric.name}_count", labels, sum(own[:-1])
            yield f"{metric.name}_sum", labels, own[-1]
        elif metric.split:
            for choice, value in zip(metric.split[1], own, strict=True):
                yield metric.name, {**labels, metric.split[0]: choice}, value
        else:
            yield metric.name, labels, own[0]


def _find(name: str) -> MetricSpec:
    known = {exposed: metric for kind in BLOCK_KINDS for metric in kind.metrics for exposed in _exposed(metric)}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no metric {name!r}{hint}")
    return known[name]


def _exposed(metric: MetricSpec) -> list[str]:
    return [metric.name + suffix for suffix in _HISTOGRAM_SUFFIXES] if metric.type == "histogram" else [metric.name]


def _check(name: str, labels: Mapping[str, str]) -> None:
    metric = _find(name)
    known = (*metric.label_names, "le") if name.endswith("_bucket") else metric.label_names
    for label, value in labels.items():
        if label not in known:
            raise ValueError(f"{name} has no label {label!r}; it has {', '.join(known) or 'none'}")
        if not isinstance(value, str):
            raise ValueError(f"label values are text: {label}={value!r}")
        if metric.split and label == metric.split[0] and value not in metric.split[1]:
            raise ValueError(f"{label} of {name} is one of {', '.join(metric.split[1])}, not {value!r}")


def _text(name: str, labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{pairs}}}" if pairs else name
