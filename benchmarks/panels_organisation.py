"""The series of an organisation that runs many services: what its exporters expose, by the catalogue.

20 services on two hosts each, an exporter a host. A service has 4 modes, 6 models of 3 providers, 50 tenants of the
organisation's 200, caches, tools, agents; every fourth pair of hosts has GPUs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from benchmarks.panels_blocks import Labels
from genai_metrics import catalog
from genai_metrics.catalog import GPU_METRICS, HOST_METRICS, SERVICE_LABEL, MetricSpec

Choices = Sequence[Mapping[str, str]]
"""Values of labels that go together; of several such the product is taken."""

HOSTS_PER_SERVICE = 2
SERVICES = 20
"""With these there are more than 200 000 series."""

_TENANTS, _TENANTS_OF_A_SERVICE = 200, 50


def _each(label: str, *values: str) -> Choices:
    return [{label: value} for value in values]


def _numbered(label: str, count: int) -> Choices:
    return _each(label, *(f"{label}-{number}" for number in range(count)))


_MODES = _each("mode", "1", "2", "3", "4")
_MODELS: Choices = [
    {"provider": provider, "model": f"{provider}-{number}"}
    for provider, count in (("anthropic", 2), ("openai", 3), ("vllm", 1))
    for number in range(count)
]
_OUTCOMES = _each("outcome", "success", "error")
_ERRORS = _each("error_type", "429", "500", "TimeoutError", "ValueError")
_CACHES = _each("cache", "answers", "embeddings", "retrievals")
_DEVICES: Choices = [{"uuid": f"GPU-{i}", "index": str(i), "name": "NVIDIA H100 80GB HBM3"} for i in range(4)]

_KINDS: dict[str, Sequence[Choices]] = {
    "llm_call": (_MODES, _MODELS, _each("operation", "chat"), _each("outcome", "success", "error", "cached")),
    "llm_stream": (_MODES, _MODELS, _each("operation", "chat"), _each("outcome", "success")),
    "llm_error": (_MODES, _MODELS, _ERRORS),
    "llm_retry": (_MODES, _MODELS, _each("operation", "chat"), _each("reason", "429", "500", "timeout")),
    "llm_fallback": ([{"from_model": "openai-0", "to_model": "anthropic-0"}], _each("reason", "429", "500")),
    "workflow": (
        _MODES,
        [
            {"outcome": "success", "cache": "miss"},
            {"outcome": "cached", "cache": "hit"},
            {"outcome": "error", "cache": "miss"},
        ],
    ),
    "workflow_error": (_MODES, _ERRORS),
    "operation": (_numbered("operation", 10), _OUTCOMES),
    "operation_memory": (_numbered("operation", 10),),
    "degradation": (_MODES, _each("reason", "fallback_model", "no_context", "partial")),
    "warning": (_MODES, _numbered("kind", 4)),
    "cache_lookup_duration": (_CACHES, _each("result", "hit", "miss")),
}
_KINDS["llm_cost"] = _KINDS["llm_call"]
_LABELS: dict[str, Choices] = {
    "mode": _MODES,
    "outcome": _OUTCOMES,
    "cache": _CACHES,
    "agent": _numbered("agent", 6),
    "tool": _numbered("tool", 8),
    "source": _numbered("source", 4),
    "evaluator": _each("evaluator", "judge", "rules"),
    "pool": _numbered("pool", 3),
    "queue": _numbered("queue", 3),
    "dependency": _numbered("dependency", 5),
    "label": _each("label", "tenant", "model"),
    "reason": _each("reason", "bad_number", "inconsistent_tokens"),
    # The machine and the exporter.
    "device": _each("device", "nvme0n1", "nvme1n1"),
    "mountpoint": _each("mountpoint", "/", "/var"),
    "collector": _each("collector", "applications", "host", "gpu"),
    "state": _each("state", "live", "dead", "rejected", "partial", "folded"),
    "version": _each("version", "0.1.0"),
    "python": _each("python", "3.12"),
    "mig": _each("mig", ""),
    "profile": _each("profile", ""),
    "process": _each("process", "vllm"),
    "pid": _each("pid", "4711"),
    "fan": _each("fan", "0"),
}
# Shared caches and queues are the same families.
_OF_APPLICATIONS = [kind for kind in catalog.BLOCK_KINDS if not kind.name.endswith("_shared")]


@dataclass(frozen=True)
class Series:
    """One series as Prometheus stores it; ``rank`` is the place of its bucket among those of its histogram, 0 to 1."""

    labels: Labels
    rank: float = 1.0

    @property
    def name(self) -> str:
        """Name of the series."""
        return dict(self.labels)["__name__"]


def exporters(services: int = SERVICES) -> Iterator[tuple[str, str]]:
    """Yield service and host of each exporter."""
    for number in range(services):
        for host in range(HOSTS_PER_SERVICE):
            yield f"service-{number:02}", f"host-{number:02}-{host}:9105"


def organisation(services: int = SERVICES) -> Iterator[Series]:
    """Yield every series that Prometheus scrapes there, in no particular order."""
    for number, (service, host) in enumerate(exporters(services)):
        target = {"job": "genai-exporter", "instance": host}
        of_service = {**target, SERVICE_LABEL: service}
        for kind in _OF_APPLICATIONS:
            for metric in kind.metrics:
                yield from series(metric, _choices(kind.name, metric.labels, service), of_service)
        for metric in (*HOST_METRICS, *(GPU_METRICS if number % 8 < HOSTS_PER_SERVICE else ())):
            yield from series(metric, _choices("", metric.labels, service), target)
        for metric in catalog.EXPORTER_METRICS:
            named = SERVICE_LABEL in metric.labels
            labels = tuple(label for label in metric.labels if label != SERVICE_LABEL)
            yield from series(metric, _choices("exporter", labels, service), of_service if named else target)
        for name in ("up", "scrape_duration_seconds", "scrape_samples_scraped"):
            yield Series(_sorted({"__name__": name, **target}))
    for address in range(5):
        yield Series(_sorted({"__name__": "probe_success", "job": "blackbox", "instance": f"address-{address}"}))


def series(metric: MetricSpec, choices: Sequence[Choices], more: Mapping[str, str]) -> Iterator[Series]:
    """Yield the series of a metric for each product of label values, as the exporter writes them."""
    split: Choices = _each(metric.split[0], *metric.split[1]) if metric.split else [{}]
    for chosen in product(*choices, split):
        labels = dict(more)
        for part in chosen:
            labels.update(part)
        if metric.type != "histogram":
            yield Series(_sorted({"__name__": metric.name, **labels}))
            continue
        bounds = [*map(str, metric.buckets), "+Inf"]
        for place, bound in enumerate(bounds, 1):
            bucket = {"__name__": f"{metric.name}_bucket", **labels, "le": bound}
            yield Series(_sorted(bucket), place / len(bounds))
        for suffix in ("_count", "_sum"):
            yield Series(_sorted({"__name__": metric.name + suffix, **labels}))


def _choices(kind: str, labels: Sequence[str], service: str) -> Sequence[Choices]:
    if kind in _KINDS:
        return _KINDS[kind]
    if {"uuid", "index", "name"} <= set(labels):
        return [_DEVICES, *(_LABELS[label] for label in labels if label not in _DEVICES[0])]
    if {"provider", "model"} <= set(labels) or "model" in labels:
        return [_MODELS if "provider" in labels else [{"model": each["model"]} for each in _MODELS]] + [
            _LABELS[label] for label in labels if label not in ("provider", "model")
        ]
    return [_tenants(service) if label == "tenant" else _LABELS[label] for label in labels]


def _tenants(service: str) -> Choices:
    first = int(service[-2:]) * 7
    return _each("tenant", *(f"tenant-{(first + i) % _TENANTS:03}" for i in range(_TENANTS_OF_A_SERVICE)))


def _sorted(labels: Mapping[str, str]) -> Labels:
    # Prometheus keeps no label without a value.
    return tuple(sorted((name, value) for name, value in labels.items() if value))
