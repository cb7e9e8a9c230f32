"""The dashboard "Cache": do the caches answer, are they large enough, what are they worth. Panels: ``cache_panels``."""

from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import cache_panels as panels
from genai_dashboards import cache_worth_panels as worth
from genai_dashboards import queries, variables
from genai_dashboards.cache_queries import LOOKUPS
from genai_dashboards.frame import board
from genai_dashboards.layout import Heading, line, place


def build() -> models.Dashboard:
    """The whole dashboard: whether caches answer on top, then each cache, its size and age, and its worth."""
    caches = variables.several("cache", "Cache", queries.label_values(LOOKUPS, "cache", queries.SERVICE))
    return place(
        board(
            "cache",
            "Hit rates, sizes, ages and worth of the caches of the selected services, and of providers' prompt caches.",
            refresh="30s",
            alerts="cache",
            more=(caches,),
            time="now-6h",
        ),
        line(
            5,
            panels.hit_rate(),
            panels.lookups(),
            panels.evicted(),
            worth.prompt_cache(),
            worth.money(),
            worth.time(),
        ),
        line(9, panels.hit_rate_over_time(), panels.hits_and_misses(), widths=(16, 8)),
        Heading("Which cache, which mode"),
        line(8, panels.caches(), panels.modes(), widths=(14, 10)),
        Heading("What they do"),
        line(8, panels.operations(), panels.lookup_latency()),
        Heading("Are they large enough"),
        line(8, panels.entries(), panels.fill(), panels.memory()),
        line(8, panels.evictions_by_reason(), panels.evictions_for_room(), panels.invalidations()),
        Heading("How long entries serve"),
        line(9, panels.ages(), panels.lifetime()),
        Heading("What caching is worth"),
        line(8, worth.prompt_cache_over_time(), worth.money_over_time(), worth.time_over_time()),
    ).build()
