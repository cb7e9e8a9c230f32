"""Writes ``metrics.md`` from the catalogue: every metric with type, unit, labels, buckets and meaning.

``python docs/metrics_reference.py`` writes it, with ``--check`` it says whether it is as it would be written.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from genai_metrics.catalog import (
    BLOCK_KINDS,
    DEFAULT_LABEL_CAPS,
    EXPORTER_METRICS,
    FAULT_REASONS,
    GPU_METRICS,
    HOST_METRICS,
    LABEL_OVERFLOW,
    OVERFLOW,
    RECORDER_FAULT,
    RESOURCE_KINDS,
    WORKFLOW_KINDS,
    BlockKind,
    MetricSpec,
)

TARGET = Path(__file__).with_name("metrics.md")

MERGES = {
    "sum": "",
    "live_sum": "Added up over living processes.",
    "live_max": "The largest of living processes.",
    "live_latest": "What a living process said last.",
}

INTRODUCTION = f"""\
# Metrics

<!-- Written by `make generate` from genai_metrics/catalog; do not edit. -->

Every metric of applications also carries the label `service`. Histograms have the series `_bucket` (with `le`),
`_count` and `_sum`. The number after a label says how many distinct values it may take in one service; what comes later
is counted under `{OVERFLOW}`, so that sums stay exact (`configure(label_caps=...)` changes it). Labels with listed
values take no others. Buckets are fixed, because files of many processes are added up bucket by bucket, and because
rules, alerts and dashboards rely on them; there is no setting for them.
"""


def text() -> str:
    """Return the page."""
    own = (LABEL_OVERFLOW, RECORDER_FAULT)
    other = {*WORKFLOW_KINDS, *RESOURCE_KINDS, *own}
    llm = [kind for kind in BLOCK_KINDS if kind not in other]
    parts = [INTRODUCTION]
    for title, kinds in (
        ("LLM calls and tenants", llm),
        ("Workflows, stages, quality", WORKFLOW_KINDS),
        ("Caches, pools, queues, dependencies", RESOURCE_KINDS),
        ("The recorder", own),
    ):
        parts.append(f"## {title}\n")
        parts += ["\n".join(_metric(metric, kinds_of)) for metric, kinds_of in _families(kinds)]
    parts.append("Reasons of recorder faults: " + ", ".join(f"`{reason}`" for reason in FAULT_REASONS) + ".\n")
    parts.append("## The exporter\n")
    parts += ["\n".join(_metric(metric, ())) for metric in EXPORTER_METRICS]
    parts.append("## The host\n")
    parts += ["\n".join(_metric(metric, ())) for metric in HOST_METRICS]
    parts.append("## GPUs\n")
    parts += ["\n".join(_metric(metric, ())) for metric in GPU_METRICS]
    return "\n".join(parts)


def _families(kinds: tuple[BlockKind, ...] | list[BlockKind]) -> Iterator[tuple[MetricSpec, list[BlockKind]]]:
    """Yield each metric once with the kinds of block that hold it."""
    found: dict[MetricSpec, list[BlockKind]] = {}
    for kind in kinds:
        for metric in kind.metrics:
            found.setdefault(metric, []).append(kind)
    yield from found.items()


def _metric(metric: MetricSpec, kinds: tuple[BlockKind, ...] | list[BlockKind]) -> Iterator[str]:
    yield f"### `{metric.name}`\n"
    yield f"{metric.help}\n"
    unit = f", {metric.unit}" if metric.unit else ""
    yield f"- {metric.type}{unit}"
    if metric.label_names:
        yield "- labels: " + ", ".join(_label(metric, label, capped=bool(kinds)) for label in metric.label_names)
    if metric.buckets:
        yield "- buckets: " + ", ".join(f"{bound:g}" if bound < 1e6 else f"{bound:.0f}" for bound in metric.buckets)
    merges = [MERGES[kind.merge] for kind in kinds if MERGES[kind.merge]]
    if len(merges) > 1:
        yield "- over processes: added up; of shared things, what a living process said last"
    elif merges:
        yield f"- over processes: {merges[0][0].lower()}{merges[0][1:-1]}"
    if metric.source != "own":
        yield f"- after: {metric.source}"
    yield ""


def _label(metric: MetricSpec, label: str, *, capped: bool) -> str:
    if metric.split and label == metric.split[0]:
        return f"`{label}` = " + " / ".join(f"`{value}`" for value in metric.split[1])
    return f"`{label}` ({DEFAULT_LABEL_CAPS[label]})" if capped and label in DEFAULT_LABEL_CAPS else f"`{label}`"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit code."""
    if arguments == ["--check"]:
        fresh = TARGET.exists() and TARGET.read_text("utf-8") == text()
        if not fresh:
            print(f"{TARGET.name} is not what the catalogue says; run: make generate", file=sys.stderr)
        return 0 if fresh else 1
    if arguments:
        print("usage: python docs/metrics_reference.py [--check]", file=sys.stderr)
        return 2
    TARGET.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
