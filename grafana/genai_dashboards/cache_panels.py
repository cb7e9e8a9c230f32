"""Panels of the dashboard "Cache" about the application's caches, one function each."""

import re

from grafana_foundation_sdk.builders import bargauge, gauge, piechart, stat, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from genai_dashboards import cache_queries as queries
from genai_dashboards import links, style
from genai_dashboards.cache_queries import CACHE, EACH
from genai_dashboards.judgement import judged, threshold_lines
from genai_dashboards.limits import dashed
from genai_dashboards.panels import bars, coloured, dial, graph, number, pie, stacked
from genai_dashboards.queries import rate, total
from genai_dashboards.tables import Column, Rows, table_of
from genai_dashboards.targets import at_the_end, buckets_at_the_end, over_time

_NO_LOOKUPS = "no cache lookups in this time range (track_cache)"
_NO_SIZES = "no cache has told its size (track_cache(...).size)"
_NO_EVICTIONS = "no entries have left a cache in this time range"
_NAME = "{{service}} {{cache}}"


def hit_rate() -> gauge.Panel:
    """Whether the caches answer."""
    value = queries.hit_ratio(total)
    return dial(
        "Hit rate",
        "Share of the time range's lookups that hit, over all selected caches; coloured by the thresholds of alerts.",
        _NO_LOOKUPS,
    ).with_target(at_the_end(judged(value, "cache_hit_ratio", "below", CACHE), "{{state}}"))


def lookups() -> stat.Panel:
    """How much the caches are asked."""
    return number(
        "Lookups", "Lookups in the time range, of all selected caches.", style.COUNT, _NO_LOOKUPS
    ).with_target(at_the_end(queries.lookups(total), "lookups"))


def evicted() -> stat.Panel:
    """Whether caches are too small."""
    return number(
        "Evicted for want of room",
        "Entries that were pushed out in the time range because a cache was full: they might have hit later.",
        style.COUNT,
        _NO_LOOKUPS,
    ).with_target(at_the_end(queries.evicted(), "evicted"))


def hit_rate_over_time() -> timeseries.Panel:
    """Hit rate of each cache against its thresholds and last week."""
    panel = graph(
        "Hit rate over time",
        "Share of lookups that hit. GenAILowCacheHitRate fires below the warning line, GenAICacheHitRateCollapsed "
        "below the critical one and at less than half of last week's; both look at 15 minutes and all modes.",
        style.SHARE,
        _NO_LOOKUPS,
    )
    return (
        dashed(panel, "last week", style.IDLE)
        .max(1)
        .with_target(over_time(queries.hit_ratio(rate, *EACH), _NAME, "A"))
        .with_target(over_time(queries.hit_ratio_last_week(), f"{_NAME} last week", "B"))
        .with_target(threshold_lines("cache_hit_ratio", "below", "T", CACHE))
    )


def hits_and_misses() -> piechart.Panel:
    """Hits to misses."""
    return pie(
        "Hits and misses", "Lookups in the time range by result, of all selected caches.", style.COUNT, _NO_LOOKUPS
    ).with_target(at_the_end(queries.lookups(total, "result"), "{{result}}"))


def caches() -> table.Panel:
    """Each cache on one line."""
    return table_of(
        "Caches",
        "Of the time range; entries and memory are those at its end. Mean age: of entries when they are hit. Click a "
        "cache to see it alone.",
        Rows(
            {"service": "Service", "cache": "Cache"},
            {"Cache": links.on_row("cache", service="Service", cache="Cache")},
        ),
        Column("Hit rate", queries.hit_ratio(total, *EACH), style.SHARE, 1, is_bar=True),
        Column("Lookups", queries.lookups(total, *EACH), style.COUNT, 0),
        Column("Entries", queries.entries(), style.COUNT),
        Column("Full", queries.fill(), style.SHARE, 0),
        Column("Memory", queries.memory(), style.BYTES),
        Column("Written", queries.written(), style.COUNT, 0),
        Column("Evicted", queries.evicted(*EACH), style.COUNT, 0),
        Column("Mean age", queries.mean_age(total), style.SECONDS),
        sort="Lookups",
        no_value=_NO_LOOKUPS,
    )


def modes() -> table.Panel:
    """Each cache in each mode."""
    labels = ("mode", "cache")
    return table_of(
        "Caches by mode",
        "Lookups of the time range. Click a mode to see it alone.",
        Rows({"mode": "Mode", "cache": "Cache"}, {"Mode": links.on_row("cache", mode="Mode", cache="Cache")}),
        Column("Hit rate", queries.hit_ratio(total, *labels), style.SHARE, 1, is_bar=True),
        Column("Hits", queries.lookups(total, *labels, result="hit"), style.COUNT, 0),
        Column("Misses", queries.lookups(total, *labels, result="miss"), style.COUNT, 0),
        sort="Hits",
        no_value=_NO_LOOKUPS,
    )


def operations() -> timeseries.Panel:
    """What is done with the caches."""
    panel = graph(
        "Operations",
        "Lookups by result, writes, evictions and invalidations per second, of all selected caches.",
        style.PER_SECOND,
        _NO_LOOKUPS,
    )
    for letter, (name, expression) in zip("ABCDE", queries.operations().items(), strict=True):
        panel.with_target(over_time(expression, name, letter))
    return panel


def lookup_latency() -> timeseries.Panel:
    """What a lookup costs in time."""
    panel = graph(
        "Lookup latency, hit against miss",
        "Half, and 95 %, of the lookups took less than this; a miss adds it to the time of the call that follows.",
        style.SECONDS,
        "no lookups with a duration in this time range",
    )
    for letter, level in (("A", 0.5), ("B", 0.95)):
        panel.with_target(over_time(queries.lookup_latency(level), f"p{level * 100:.0f} {{{{result}}}}", letter))
    colours = {"hit": style.CACHED, "miss": style.DEGRADED}
    return coloured(
        panel,
        {f"p95 {name}": colour for name, colour in colours.items()}
        | {f"p50 {name}": f"light-{colour}" for name, colour in colours.items()},
    )


def entries() -> timeseries.Panel:
    """Entries against capacity."""
    panel = graph("Entries", "Entries of each cache, and how many it can hold.", style.COUNT, _NO_SIZES)
    return (
        dashed(panel, "capacity", style.DEGRADED)
        .with_target(over_time(queries.entries(), _NAME, "A"))
        .with_target(over_time(queries.capacity(), f"{_NAME} capacity", "B"))
    )


def fill() -> timeseries.Panel:
    """How full each cache is."""
    return (
        graph(
            "Fill",
            "Entries by capacity, of caches that tell a capacity. GenAICacheNearCapacity fires above the line.",
            style.SHARE,
            _NO_SIZES,
        )
        .max(1)
        .with_target(over_time(queries.fill(), _NAME, "A"))
        .with_target(threshold_lines("cache_fill_ratio", "above", "T", CACHE))
    )


def memory() -> timeseries.Panel:
    """Bytes of each cache."""
    return stacked(
        "Memory", "Bytes of each cache, of caches that tell them.", style.BYTES, "no cache has told its bytes"
    ).with_target(over_time(queries.memory(), _NAME))


def evictions_by_reason() -> timeseries.Panel:
    """Why entries leave."""
    panel = stacked(
        "Evictions by reason",
        "Entries per second that left: for want of room (capacity), too old (expired), or removed (explicit).",
        style.PER_SECOND,
        _NO_EVICTIONS,
    ).with_target(over_time(queries.evictions_by_reason(), "{{reason}}"))
    return coloured(panel, {"capacity": style.DEGRADED})


def evictions_for_room() -> timeseries.Panel:
    """Evictions that an alert watches."""
    return (
        graph(
            "Evictions for want of room",
            "Entries per second that a full cache pushed out, over 5 minutes. GenAIHighCacheEvictionRate fires above "
            "the line.",
            style.PER_SECOND,
            _NO_EVICTIONS,
        )
        .with_target(over_time(queries.evictions_for_room(), _NAME, "A"))
        .with_target(threshold_lines("cache_evictions_per_second", "above", "T", CACHE))
    )


def invalidations() -> timeseries.Panel:
    """When caches were cleared."""
    return (
        graph(
            "Invalidations",
            "Times that a cache was cleared: hit rates fall after it until the cache has filled again.",
            style.COUNT,
            "no cache operations in this time range",
        )
        .draw_style(common.GraphDrawStyle.BARS)
        .with_target(over_time(queries.invalidations(), _NAME))
    )


def ages() -> bargauge.Panel:
    """How old entries are when they are of use."""
    panel = bars(
        "Age of entries when hit",
        "Hits in the time range by the age of the entry. If none hits beyond some age, entries may expire at that age.",
        style.COUNT,
        "no hits with an age in this time range",
    ).decimals(0)
    for bound in queries.AGES:
        # Prometheus writes 60 as 60.0 and 2592000 as 2.592e+06; older versions and other writers do not.
        spellings = "|".join(re.escape(text) for text in sorted({f"{bound:g}", f"{bound:.0f}", f"{bound:.1f}"}))
        _call(panel, f"/^({spellings})$/", f"up to {_words(bound)}")
    _call(panel, r"/^\+Inf$/", "older")
    return panel.with_target(buckets_at_the_end(queries.ages()))


def _call(panel: bargauge.Panel, pattern: str, name: str) -> None:
    """Show the series whose name matches under another one."""
    panel.override_by_regexp(pattern, [DynamicConfigValue(id_val="displayName", value=name)])


def _words(seconds: float) -> str:
    """A whole number of the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def lifetime() -> timeseries.Panel:
    """How old entries become."""
    return (
        graph(
            "Average entry lifetime",
            "Mean age of the entries that left each cache. Near the age at which entries are hit, the cache is too "
            "small or expires too early.",
            style.SECONDS,
            _NO_EVICTIONS,
        )
        # Entries leave now and then: between two of these moments the line goes on.
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(True)
        .with_target(over_time(queries.mean_lifetime(rate), _NAME))
    )
