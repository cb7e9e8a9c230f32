"""Metrics of what workflows use: caches, connection pools, queues, dependencies."""

from genai_metrics.catalog.model import BlockKind, MetricSpec

# In-process caches answer within microseconds, remote ones within milliseconds.
LOOKUP_SECONDS = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
# From seconds to weeks.
AGE_SECONDS = (1.0, 10.0, 60.0, 300.0, 900.0, 3600.0, 10800.0, 43200.0, 86400.0, 259200.0, 604800.0, 2592000.0)

CACHE_LOOKUPS = BlockKind(
    "cache_lookups",
    (
        MetricSpec(
            "genai_cache_lookups_total",
            "counter",
            "Lookups of a cache, by result.",
            ("cache", "mode"),
            split=("result", ("hit", "miss")),
        ),
    ),
)

CACHE_LOOKUP_DURATION = BlockKind(
    "cache_lookup_duration",
    (
        MetricSpec(
            "genai_cache_lookup_duration_seconds",
            "histogram",
            "Duration of cache lookups, by result.",
            ("cache", "result"),
            buckets=LOOKUP_SECONDS,
        ),
    ),
)

CACHE = BlockKind(
    "cache",
    (
        MetricSpec("genai_cache_writes_total", "counter", "Entries written to a cache.", ("cache",)),
        MetricSpec(
            "genai_cache_evictions_total",
            "counter",
            "Entries that left a cache, by reason.",
            ("cache",),
            split=("reason", ("capacity", "expired", "explicit")),
        ),
        MetricSpec("genai_cache_invalidations_total", "counter", "Times that a cache was cleared.", ("cache",)),
        MetricSpec(
            "genai_cache_entry_age_seconds",
            "histogram",
            "Age of entries when they were hit.",
            ("cache",),
            buckets=AGE_SECONDS,
        ),
        MetricSpec(
            "genai_cache_entry_lifetime_seconds",
            "histogram",
            "Age of entries when they left the cache.",
            ("cache",),
            buckets=AGE_SECONDS,
        ),
    ),
)


def _gauge(kind: str, name: str, help_text: str, label: str) -> tuple[BlockKind, BlockKind]:
    """Return two kinds of one gauge: of things that each process has for itself, added up, and of shared ones.

    Of a shared thing (a Redis cache, say) each process tells the whole; the last word counts.
    """
    metrics = (MetricSpec(name, "gauge", help_text, (label,)),)
    return BlockKind(kind, metrics, merge="live_sum"), BlockKind(f"{kind}_shared", metrics, merge="live_latest")


CACHE_ENTRIES, CACHE_ENTRIES_SHARED = _gauge("cache_entries", "genai_cache_entries", "Entries in a cache.", "cache")
CACHE_CAPACITY, CACHE_CAPACITY_SHARED = _gauge(
    "cache_capacity", "genai_cache_capacity_entries", "Entries that a cache can hold.", "cache"
)
CACHE_BYTES, CACHE_BYTES_SHARED = _gauge("cache_bytes", "genai_cache_bytes", "Size of a cache in bytes.", "cache")
QUEUE_LENGTH, QUEUE_LENGTH_SHARED = _gauge("queue_length", "genai_queue_length", "Items that wait in a queue.", "queue")

POOL_CONNECTIONS = BlockKind(
    "pool_connections",
    (
        MetricSpec(
            "genai_pool_connections",
            "gauge",
            "Connections of a pool, by state.",
            ("pool",),
            split=("state", ("active", "idle")),
        ),
    ),
    merge="live_sum",
)

POOL_SIZE = BlockKind(
    "pool_size",
    (MetricSpec("genai_pool_size", "gauge", "Connections that a pool may have at most.", ("pool",)),),
    merge="live_sum",
)

# Each process has a pool of its own, and who waits for a connection cannot use one of another process: the largest
# share counts. The sums above hide one process without connections among others that are idle.
POOL_IN_USE = BlockKind(
    "pool_in_use",
    (
        MetricSpec(
            "genai_pool_in_use_ratio",
            "gauge",
            "Connections in use divided by how many there may be, in the process where that is most.",
            ("pool",),
        ),
    ),
    merge="live_max",
)

DEPENDENCY = BlockKind(
    "dependency",
    (
        MetricSpec(
            "genai_dependency_up",
            "gauge",
            "1 if the application could last use a dependency, else 0.",
            ("dependency",),
        ),
    ),
    merge="live_latest",
)

RESOURCE_KINDS = (
    CACHE_LOOKUPS,
    CACHE_LOOKUP_DURATION,
    CACHE,
    CACHE_ENTRIES,
    CACHE_ENTRIES_SHARED,
    CACHE_CAPACITY,
    CACHE_CAPACITY_SHARED,
    CACHE_BYTES,
    CACHE_BYTES_SHARED,
    POOL_CONNECTIONS,
    POOL_SIZE,
    POOL_IN_USE,
    QUEUE_LENGTH,
    QUEUE_LENGTH_SHARED,
    DEPENDENCY,
)
"""Kinds of one gauge stand side by side: their blocks make one family."""
