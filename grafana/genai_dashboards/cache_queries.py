"""PromQL of the dashboard "Cache". A cache is one of that name in one service."""

from genai_dashboards.performance_queries import Count
from genai_dashboards.queries import (
    CALL_DURATION,
    CALLS,
    COST_SAVED,
    INPUT_TOKENS,
    STEP,
    aggregated,
    latest,
    quantile,
    quotient,
    rate,
    ratio,
    recorded,
    selector,
    total,
)
from genai_metrics import catalog
from genai_metrics.catalog import MetricSpec

LOOKUPS = catalog.CACHE_LOOKUPS.metrics[0]
CACHE = 'cache=~"$cache"'
"""Matcher of the variable that is on this dashboard alone."""
EACH = ("service", "cache")
"""Labels that name a cache."""
AGES = catalog.AGE_SECONDS
"""Bounds of the buckets of ages, in seconds."""

_LOOKUP_SECONDS = catalog.CACHE_LOOKUP_DURATION.metrics[0]
_WRITES, _EVICTIONS, _INVALIDATIONS, _AGE, _LIFETIME = catalog.CACHE.metrics
_ENTRIES, _CAPACITY, _BYTES = (
    kind.metrics[0] for kind in (catalog.CACHE_ENTRIES, catalog.CACHE_CAPACITY, catalog.CACHE_BYTES)
)
_PROMPT_CACHE_TOKENS = catalog.LLM_CALL.metrics[4]
_CALLS = recorded("instance_service_mode_outcome", CALLS)
_SAVED = recorded("instance_service_mode_by", COST_SAVED)


def lookups(count: Count, *by: str, result: str = "") -> str:
    """Lookups by labels; ``result``: only hits or only misses."""
    return count(LOOKUPS, *by, where=[CACHE, *([f'result="{result}"'] if result else [])])


def hit_ratio(count: Count, *by: str) -> str:
    """Share of lookups that hit; absent without lookups."""
    return ratio(lookups(count, *by, result="hit"), lookups(count, *by))


def hit_ratio_last_week() -> str:
    """Share of lookups that hit a week before, over 15 minutes and all modes."""
    recorded_ratio = selector("service_cache:genai_cache_hits_per_lookup:ratio_rate15m", CACHE)
    return aggregated("avg", EACH, f"{recorded_ratio} offset 1w")


def operations() -> dict[str, str]:
    """Each thing that is done with caches, per second."""
    return {
        "hit": lookups(rate, result="hit"),
        "miss": lookups(rate, result="miss"),
        "write": rate(_WRITES, where=[CACHE]),
        "eviction": rate(_EVICTIONS, where=[CACHE]),
        "invalidation": rate(_INVALIDATIONS, where=[CACHE]),
    }


def lookup_latency(level: float) -> str:
    """Quantile of the duration of lookups by result; durations know no mode."""
    return quantile(level, _LOOKUP_SECONDS, "result", where=[CACHE])


def entries() -> str:
    """Entries of each cache."""
    return latest(_ENTRIES, *EACH, where=[CACHE])


def capacity() -> str:
    """Entries that each cache can hold."""
    return latest(_CAPACITY, *EACH, where=[CACHE])


def fill() -> str:
    """Entries by capacity; absent for caches that have no limit or do not tell it."""
    return latest("service_cache:genai_cache_entries_per_capacity:ratio", *EACH, where=[CACHE])


def memory() -> str:
    """Bytes of each cache."""
    return latest(_BYTES, *EACH, where=[CACHE])


def evictions_by_reason() -> str:
    """Entries a second that left, by reason."""
    return rate(_EVICTIONS, "reason", where=[CACHE])


def evictions_for_room() -> str:
    """Entries a second that each cache pushed out to make room, as the alert sees it."""
    return latest("service_cache:genai_cache_capacity_evictions:rate5m", *EACH, where=[CACHE])


def evicted(*by: str) -> str:
    """Entries pushed out to make room in the time range; 0 while caches are only asked."""
    gone = total(_EVICTIONS, *by, where=[CACHE, 'reason="capacity"'])
    return f"{gone} or 0 * {lookups(total, *by)}"


def written() -> str:
    """Entries written in the time range, for each cache."""
    return total(_WRITES, *EACH, where=[CACHE])


def invalidations() -> str:
    """Times that each cache was cleared, in each step: once, so not over a window that is longer."""
    return total(_INVALIDATIONS, *EACH, where=[CACHE], window=STEP)


def ages() -> str:
    """Hits in the time range by the bucket of the entry's age; cumulative, as Prometheus has them."""
    return total(_AGE, "le", where=[CACHE], suffix="_bucket")


def mean_age(count: Count) -> str:
    """Mean age of entries when they are hit, for each cache."""
    return _mean(_AGE, count)


def mean_lifetime(count: Count) -> str:
    """Mean age of entries when they leave, for each cache; absent while none leaves."""
    return _mean(_LIFETIME, count)


def _mean(metric: MetricSpec, count: Count) -> str:
    observed, number = (count(metric, *EACH, where=[CACHE], suffix=suffix) for suffix in ("_sum", "_count"))
    return quotient(observed, number)


def prompt_cache_ratio(count: Count, *by: str) -> str:
    """Share of input tokens that providers read from their prompt caches."""
    read, all_input = (recorded("instance_service_mode", metric) for metric in (_PROMPT_CACHE_TOKENS, INPUT_TOKENS))
    return quotient(count(read, *by), count(all_input, *by))


def money_saved(count: Count, *by: str) -> str:
    """Dollars saved by both kinds of caches, in the time range or per second."""
    return count(_SAVED, *by)


def time_saved(count: Count) -> str:
    """Seconds that cached answers saved: what a successful call of their mode took on average, less what they took."""
    of, cached, succeeded = ("service", "mode"), ('outcome="cached"',), ('outcome="success"',)
    seconds, calls = (recorded("instance_service_mode_outcome", CALL_DURATION, part) for part in ("_sum", "_count"))
    answers = count(_CALLS, *of, where=cached)
    usual = quotient(count(seconds, *of, where=succeeded), count(calls, *of, where=succeeded))
    took = f"({count(seconds, *of, where=cached)} or 0 * {answers})"
    return f"sum({answers} * ({usual}) - {took}) or 0 * {count(_CALLS)}"
