"""From blocks to local statistics: additions by label. Imports the catalogue, ``distributions`` and ``snapshots``."""

import time
from collections.abc import Iterable, Mapping, Sequence

from genai_metrics import catalog
from genai_metrics.catalog import BlockKind, MetricSpec
from genai_metrics.distributions import Distribution, distribution
from genai_metrics.snapshots import (
    Cache,
    Memory,
    Model,
    Quality,
    Snapshot,
    Stage,
    Tenant,
    Totals,
    Workflow,
)

Row = tuple[BlockKind, tuple[str, ...], Sequence[float]]
"""One block: its kind, label values and values."""


class Selection:
    """Blocks of one kind, to be grouped by label and added up."""

    def __init__(self, kind: BlockKind) -> None:
        self._kind = kind
        self._blocks: list[tuple[tuple[str, ...], Sequence[float]]] = []

    def append(self, key: tuple[str, ...], values: Sequence[float]) -> None:
        """Take one block in."""
        self._blocks.append((key, values))

    def by(self, *labels: str) -> dict[str, "Selection"]:
        """Return the blocks by value of a label, or by the values of several joined with ``/``."""
        indexes = [self._kind.labels.index(label) for label in labels]
        groups: dict[str, Selection] = {}
        for key, values in self._blocks:
            name = "/".join(key[i] for i in indexes)
            groups.setdefault(name, Selection(self._kind)).append(key, values)
        return groups

    def number(self, metric: str, choice: str | None = None) -> float:
        """Return the sum of a counter or gauge; ``choice``: of one value of its split label, else of all."""
        spec, first = self._find(metric)
        last = first + spec.slots
        if choice is not None and spec.split is not None:
            first += spec.split[1].index(choice)
            last = first + 1
        return sum(sum(values[first:last]) for _, values in self._blocks)

    def histogram(self, metric: str) -> Distribution:
        """Return what a histogram says."""
        spec, first = self._find(metric)
        columns = zip(*(values[first : first + spec.slots] for _, values in self._blocks), strict=True)
        return distribution(spec.buckets, list(map(sum, columns)) or [0.0] * spec.slots)

    def _find(self, name: str) -> tuple[MetricSpec, int]:
        return next((metric, offset) for metric, offset in self._kind.layout() if metric.name == name)


class Blocks:
    """All blocks by kind; kinds and groups without any are empty selections."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._kinds: dict[BlockKind, Selection] = {}
        for kind, key, values in rows:
            self.of(kind).append(key, values)

    def of(self, kind: BlockKind) -> Selection:
        """Return the blocks of a kind."""
        return self._kinds.setdefault(kind, Selection(kind))

    def grouped(self, *labels: str, kinds: Sequence[BlockKind]) -> "dict[str, dict[BlockKind, Selection]]":
        """Return for each value of the labels, in order, its blocks of each kind."""
        groups = {kind: self.of(kind).by(*labels) for kind in kinds}
        names = sorted({name for by_name in groups.values() for name in by_name})
        return {
            name: {kind: by_name.get(name) or Selection(kind) for kind, by_name in groups.items()} for name in names
        }


def summarize(rows: Iterable[Row], *, scope: str, memory: Memory | None = None) -> Snapshot:
    """Add up the blocks of one or more processes; ``scope`` says whose."""
    blocks = Blocks(rows)
    faults = blocks.of(catalog.RECORDER_FAULT).by("reason")
    counted = {reason: _whole(faults[reason].number("genai_recorder_faults_total")) for reason in sorted(faults)}
    dependencies = blocks.of(catalog.DEPENDENCY).by("dependency")
    return Snapshot(
        scope=scope,
        time=time.time(),
        memory=memory or Memory(),
        llm=_llm(blocks),
        workflows=_workflows(blocks),
        operations=_stages(blocks, catalog.OPERATION),
        models=_models(blocks),
        tools=_stages(blocks, catalog.TOOL),
        retrievals=_stages(blocks, catalog.RETRIEVAL),
        caches=_caches(blocks),
        quality=_quality(blocks),
        tenants=_tenants(blocks),
        dependencies={name: dependencies[name].number("genai_dependency_up") > 0 for name in sorted(dependencies)},
        faults={reason: number for reason, number in counted.items() if number},
    )


def _llm(blocks: Blocks) -> Totals:
    calls, cost = blocks.of(catalog.LLM_CALL), blocks.of(catalog.LLM_COST)
    return Totals(
        calls=_whole(calls.number("genai_llm_calls_total")),
        failures=_failures(calls, "genai_llm_calls_total"),
        in_flight=_whole(blocks.of(catalog.LLM_IN_FLIGHT).number("genai_llm_calls_in_flight")),
        input_tokens=_whole(calls.number("genai_llm_input_tokens_total")),
        output_tokens=_whole(calls.number("genai_llm_output_tokens_total")),
        cost_usd=cost.number("genai_llm_cost_usd_total"),
        saved_usd=cost.number("genai_llm_cost_saved_usd_total"),
        unpriced=_whole(blocks.of(catalog.LLM_UNPRICED).number("genai_llm_unpriced_calls_total")),
    )


def _workflows(blocks: Blocks) -> dict[str, Workflow]:
    kinds = (catalog.WORKFLOW, catalog.WORKFLOW_IN_FLIGHT, catalog.FIRST_CONTENT)
    found = {}
    for mode, own in blocks.grouped("mode", kinds=kinds).items():
        ended, duration = own[catalog.WORKFLOW], "genai_workflow_duration_seconds"
        found[mode] = Workflow(
            failures=_runs(ended, duration, "error"),
            from_cache=_runs(ended, duration, "cached"),
            in_flight=_whole(own[catalog.WORKFLOW_IN_FLIGHT].number("genai_workflow_in_flight")),
            seconds=ended.histogram(duration),
            first_content_seconds=own[catalog.FIRST_CONTENT].histogram("genai_workflow_time_to_first_content_seconds"),
        )
    return found


def _stages(blocks: Blocks, kind: BlockKind) -> dict[str, Stage]:
    """Operations, tools and retrievals: their first label is their name."""
    results = blocks.of(catalog.RETRIEVAL_RESULT).by("source") if kind is catalog.RETRIEVAL else {}
    duration = kind.metrics[0].name
    by_name = blocks.of(kind).by(kind.labels[0])
    return {
        name: Stage(
            failures=_runs(by_name[name], duration, "error"),
            seconds=by_name[name].histogram(duration),
            results=results[name].histogram("genai_retrieval_results") if name in results else None,
        )
        for name in sorted(by_name)
    }


def _models(blocks: Blocks) -> dict[str, Model]:
    kinds = (catalog.LLM_CALL, catalog.LLM_STREAM, catalog.LLM_COST, catalog.LLM_UNPRICED, catalog.LLM_ESTIMATED)
    found = {}
    for name, own in blocks.grouped("provider", "model", kinds=kinds).items():
        calls, cost = own[catalog.LLM_CALL], own[catalog.LLM_COST]
        found[name] = Model(
            calls=_whole(calls.number("genai_llm_calls_total")),
            failures=_failures(calls, "genai_llm_calls_total"),
            input_tokens=_whole(calls.number("genai_llm_input_tokens_total")),
            cached_input_tokens=_whole(calls.number("genai_llm_cache_read_input_tokens_total")),
            output_tokens=_whole(calls.number("genai_llm_output_tokens_total")),
            cost_usd=cost.number("genai_llm_cost_usd_total"),
            saved_usd=cost.number("genai_llm_cost_saved_usd_total"),
            unpriced=_whole(own[catalog.LLM_UNPRICED].number("genai_llm_unpriced_calls_total")),
            estimated=_whole(own[catalog.LLM_ESTIMATED].number("genai_llm_estimated_usage_calls_total")),
            seconds=calls.histogram("genai_llm_call_duration_seconds"),
            first_token_seconds=own[catalog.LLM_STREAM].histogram("genai_llm_time_to_first_token_seconds"),
        )
    return found


def _caches(blocks: Blocks) -> dict[str, Cache]:
    entries = (catalog.CACHE_ENTRIES, catalog.CACHE_ENTRIES_SHARED)
    sizes = (catalog.CACHE_BYTES, catalog.CACHE_BYTES_SHARED)
    kinds = (catalog.CACHE_LOOKUPS, catalog.CACHE_LOOKUP_DURATION, catalog.CACHE, *entries, *sizes)
    known = {kind: blocks.of(kind).by("cache") for kind in (*entries, *sizes)}
    found = {}
    for name, own in blocks.grouped("cache", kinds=kinds).items():
        lookups, changes = own[catalog.CACHE_LOOKUPS], own[catalog.CACHE]
        hits = _whole(lookups.number("genai_cache_lookups_total", "hit"))
        misses = _whole(lookups.number("genai_cache_lookups_total", "miss"))
        found[name] = Cache(
            hits=hits,
            misses=misses,
            hit_rate=hits / (hits + misses) if hits + misses else None,
            writes=_whole(changes.number("genai_cache_writes_total")),
            evictions=_whole(changes.number("genai_cache_evictions_total")),
            entries=_told(name, known, entries, "genai_cache_entries"),
            bytes=_told(name, known, sizes, "genai_cache_bytes"),
            lookup_seconds=own[catalog.CACHE_LOOKUP_DURATION].histogram("genai_cache_lookup_duration_seconds"),
        )
    return found


def _told(
    name: str, known: Mapping[BlockKind, Mapping[str, Selection]], kinds: Sequence[BlockKind], metric: str
) -> int | None:
    """Return a gauge of a cache, whichever of the kinds has it."""
    values = [known[kind][name].number(metric) for kind in kinds if name in known[kind]]
    return _whole(sum(values)) if values else None


def _quality(blocks: Blocks) -> dict[str, Quality]:
    by_evaluator = blocks.of(catalog.QUALITY).by("evaluator")
    return {
        name: Quality(
            below_threshold=_whole(by_evaluator[name].number("genai_quality_below_threshold_total")),
            scores=by_evaluator[name].histogram("genai_quality_score"),
        )
        for name in sorted(by_evaluator)
    }


def _tenants(blocks: Blocks) -> dict[str, Tenant]:
    found = {}
    for name, own in blocks.grouped("tenant", kinds=(catalog.TENANT_REQUESTS, catalog.TENANT)).items():
        paid = own[catalog.TENANT]
        found[name] = Tenant(
            calls=_whole(own[catalog.TENANT_REQUESTS].number("genai_tenant_requests_total")),
            failures=_whole(paid.number("genai_tenant_errors_total")),
            input_tokens=_whole(paid.number("genai_tenant_tokens_total", "input")),
            output_tokens=_whole(paid.number("genai_tenant_tokens_total", "output")),
            cost_usd=paid.number("genai_tenant_cost_usd_total"),
            saved_usd=paid.number("genai_tenant_cost_saved_usd_total"),
        )
    return found


def _failures(calls: Selection, counter: str) -> int:
    failed = calls.by("outcome").get("error")
    return 0 if failed is None else _whole(failed.number(counter))


def _runs(selection: Selection, histogram: str, outcome: str) -> int:
    """How many runs ended with an outcome."""
    ended = selection.by("outcome").get(outcome)
    return 0 if ended is None else ended.histogram(histogram).count


def _whole(number: float) -> int:
    return round(number)
