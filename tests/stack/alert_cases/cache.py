"""Alerts on caches."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog

_LOOKUPS = catalog.CACHE_LOOKUPS.metrics[0]
_ENTRIES = catalog.CACHE_ENTRIES.metrics[0]
_CAPACITY = catalog.CACHE_CAPACITY.metrics[0]
_EVICTIONS = next(metric for metric in catalog.CACHE.metrics if metric.split)


def _firing(description: str) -> tuple[Firing, ...]:
    return (Firing({"service": "chat", "cache": "answers"}, description, "/d/genai-cache?var-service=chat"),)


def _lookups(hits: str, misses: str, cache: str = "answers") -> dict[str, str]:
    return {
        series(_LOOKUPS, cache=cache, result="hit"): hits,
        series(_LOOKUPS, cache=cache, result="miss"): misses,
    }


def _filled(entries: str, capacity: str = "100x80") -> dict[str, str]:
    return {series(_ENTRIES, cache="answers"): entries, series(_CAPACITY, cache="answers"): capacity}


def _evictions(reason: str, values: str) -> dict[str, str]:
    evicted = {series(_EVICTIONS, cache="answers", reason=reason): values}
    return evicted | {series(catalog.CACHE.metrics[0], cache="answers"): values}


_LOW = (
    Case(
        "GenAILowCacheHitRate",
        "fires",
        _lookups("0+3x80", "0+7x80") | _lookups("0+8x80", "0+2x80", "embeddings"),
        before="16m",
        at="16m45s",
        firing=_firing(
            "30% of the lookups in cache answers of service chat hit over the last 15 minutes (threshold: 40%)."
        ),
    ),
    Case("GenAILowCacheHitRate", "quiet", _lookups("0+41x200", "0+59x200"), at="45m"),
    # Cleared at 30m, and warm again 12 minutes later.
    Case(
        "GenAILowCacheHitRate",
        "quiet",
        _lookups("0+7x120 840+1x48 888+8x100", "0+3x120 360+9x48 792+2x100"),
        at="52m",
        note="while a cleared cache fills again",
    ),
    # 48 lookups in 15 minutes.
    Case("GenAILowCacheHitRate", "low_traffic", _lookups("0x200", "0+0.8x200"), at="45m"),
    Case("GenAILowCacheHitRate", "absent", {}, at="45m"),
    Case("GenAILowCacheHitRate", "absent", _lookups("0+3x80", "0+7x80"), at="60m", note="after the end"),
    Case("GenAILowCacheHitRate", "reset", _lookups("0+5x80 0+5x80", "0+5x80 0+5x80"), at="35m"),
)

# A week is 2016 steps of 5 minutes.
_COLLAPSED = (
    Case(
        "GenAICacheHitRateCollapsed",
        "fires",
        _lookups("0+1x80", "0+9x80"),
        before="16m",
        at="16m45s",
        firing=_firing("Only 10% of the lookups in cache answers of service chat hit over the last 15 minutes."),
        note="below a fifth",
    ),
    Case(
        "GenAICacheHitRateCollapsed",
        "fires",
        _lookups("0+800x2016 1612800+300x40", "0+200x2016 403200+700x40"),
        before="10090m",
        at="10140m",
        firing=_firing(
            "Only 30% of the lookups in cache answers of service chat hit over the last 15 minutes "
            "(same hour last week: 80%)."
        ),
        interval="5m",
        note="against last week",
    ),
    Case(
        "GenAICacheHitRateCollapsed",
        "quiet",
        _lookups("0+800x2016 1612800+450x40", "0+200x2016 403200+550x40"),
        at="10140m",
        interval="5m",
    ),
    Case("GenAICacheHitRateCollapsed", "low_traffic", _lookups("0x200", "0+0.8x200"), at="45m"),
    Case("GenAICacheHitRateCollapsed", "absent", {}, at="45m"),
    Case("GenAICacheHitRateCollapsed", "reset", _lookups("0+3x80 0+3x80", "0+7x80 0+7x80"), at="35m"),
)

_FULL = (
    Case(
        "GenAICacheNearCapacity",
        "fires",
        _filled("97x80"),
        before="9m45s",
        at="10m",
        firing=_firing("Cache answers of service chat is 97% full (threshold: 95%)."),
    ),
    Case("GenAICacheNearCapacity", "quiet", _filled("95x80"), at="20m"),
    Case("GenAICacheNearCapacity", "low_traffic", _filled("0x80"), at="20m"),
    Case("GenAICacheNearCapacity", "absent", _filled("97x80", "_x80"), at="20m", note="without a known capacity"),
    Case("GenAICacheNearCapacity", "absent", {}, at="20m"),
    Case("GenAICacheNearCapacity", "reset", _filled("97x35 0x45"), at="12m"),
)

_EVICTING = (
    Case(
        "GenAIHighCacheEvictionRate",
        "fires",
        _evictions("capacity", "0+180x80") | _evictions("expired", "0+900x80"),
        before="14m",
        at="15m",
        firing=_firing("Cache answers of service chat evicts 12 entries per second for want of room (threshold: 10)."),
    ),
    Case("GenAIHighCacheEvictionRate", "quiet", _evictions("capacity", "0+140x80"), at="20m"),
    Case("GenAIHighCacheEvictionRate", "quiet", _evictions("expired", "0+900x80"), at="20m", note="as entries expire"),
    Case("GenAIHighCacheEvictionRate", "low_traffic", _evictions("capacity", "0+1x80"), at="20m"),
    Case("GenAIHighCacheEvictionRate", "absent", {}, at="20m"),
    Case("GenAIHighCacheEvictionRate", "reset", _evictions("capacity", "0+140x40 0+140x40"), at="20m"),
)

CASES = (*_LOW, *_COLLAPSED, *_FULL, *_EVICTING)
