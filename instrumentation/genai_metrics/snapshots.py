"""What local statistics look like; see ``summaries`` for where they come from. Imports ``distributions``."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from genai_metrics.distributions import Distribution


@dataclass(frozen=True, slots=True)
class Stage:
    """Runs of one operation, tool or retrieval source; ``failures`` are among ``seconds.count``.

    ``results``: of retrievals, how many there were each time.
    """

    failures: int
    seconds: Distribution
    results: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Workflow:
    """Workflows of one mode: ended ones by outcome, and those not yet ended."""

    failures: int
    from_cache: int
    in_flight: int
    seconds: Distribution
    first_content_seconds: Distribution


@dataclass(frozen=True, slots=True)
class Model:
    """Calls of one model at one provider; tokens billed; US dollars.

    ``unpriced``: calls at an unknown price, missing from ``cost_usd``. ``estimated``: calls whose tokens are estimates.
    """

    calls: int
    failures: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float
    saved_usd: float
    unpriced: int
    estimated: int
    seconds: Distribution
    first_token_seconds: Distribution


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache. ``hit_rate``: 0 to 1, ``None`` without lookups; ``entries``, ``bytes``: ``None`` when not told."""

    hits: int
    misses: int
    hit_rate: float | None
    writes: int
    evictions: int
    entries: int | None
    bytes: int | None
    lookup_seconds: Distribution


@dataclass(frozen=True, slots=True)
class Quality:
    """Scores (0 to 1) that one evaluator gave in all modes, and how many were below their threshold."""

    below_threshold: int
    scores: Distribution


@dataclass(frozen=True, slots=True)
class Tenant:
    """LLM calls of one tenant; tokens billed; US dollars."""

    calls: int
    failures: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    saved_usd: float


@dataclass(frozen=True, slots=True)
class Totals:
    """All LLM calls together."""

    calls: int = 0
    failures: int = 0
    in_flight: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    unpriced: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of resident memory now and at its highest; ``None`` where the system does not say."""

    resident_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything counted so far. ``scope`` says by whom, ``time`` (Unix seconds) when it was read.

    ``workflows`` by mode, ``operations``, ``tools`` and ``caches`` by name, ``retrievals`` by source, ``models`` by
    ``provider/model``, ``quality`` by evaluator, ``tenants`` by name; ``dependencies``: whether each could be used;
    ``faults``: by reason, what the instrumentation could not record as given.
    """

    scope: str
    time: float
    memory: Memory = field(default_factory=Memory)
    llm: Totals = field(default_factory=Totals)
    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    operations: Mapping[str, Stage] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)
    tools: Mapping[str, Stage] = field(default_factory=dict)
    retrievals: Mapping[str, Stage] = field(default_factory=dict)
    caches: Mapping[str, Cache] = field(default_factory=dict)
    quality: Mapping[str, Quality] = field(default_factory=dict)
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    dependencies: Mapping[str, bool] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
