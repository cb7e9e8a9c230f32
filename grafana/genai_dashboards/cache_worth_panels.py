"""Panels of the dashboard "Cache" about what caching is worth: prompt caches, money, time; one function each."""

from grafana_foundation_sdk.builders import gauge, stat, timeseries

from genai_dashboards import cache_queries as queries
from genai_dashboards import style
from genai_dashboards.panels import dial, graph, number, stacked
from genai_dashboards.queries import rate, total
from genai_dashboards.targets import at_the_end, over_time

_NO_INPUT = "no input tokens in this time range"
_NO_COST = "no priced LLM calls in this time range"
_TIME = (
    "An estimate: what a call that a provider answered took on average, of the same service and mode, for each answer "
    "of the response cache, less what those took."
)


def prompt_cache() -> gauge.Panel:
    """Whether providers' prompt caches are used."""
    return dial(
        "Input read from prompt caches",
        "Share of the time range's input tokens that providers read from their prompt caches, at a lower price.",
        _NO_INPUT,
    ).with_target(at_the_end(queries.prompt_cache_ratio(total), "read"))


def money() -> stat.Panel:
    """Dollars that caches saved."""
    return number(
        "Money saved",
        "What the calls in the time range would have cost more without response caches and prompt caches.",
        style.DOLLARS,
        _NO_COST,
    ).with_target(at_the_end(queries.money_saved(total), "saved"))


def time() -> stat.Panel:
    """Time that response caches saved."""
    return number(
        "Time saved",
        f"Waiting that the response cache spared users in the time range. {_TIME}",
        style.SECONDS,
        style.NO_CALLS,
    ).with_target(at_the_end(queries.time_saved(total), "saved"))


def prompt_cache_over_time() -> timeseries.Panel:
    """Use of providers' prompt caches by mode."""
    return (
        graph(
            "Input read from prompt caches, by mode",
            "Share of input tokens that providers read from their prompt caches, by mode: it falls when prompts no "
            "longer begin alike.",
            style.SHARE,
            _NO_INPUT,
        )
        .max(1)
        .with_target(over_time(queries.prompt_cache_ratio(rate, "mode"), "{{mode}}"))
    )


def money_over_time() -> timeseries.Panel:
    """Dollars an hour that caches save."""
    return stacked(
        "Money saved per hour",
        "Dollars per hour that the application's response caches and providers' prompt caches save.",
        style.DOLLARS,
        _NO_COST,
    ).with_target(over_time(f"{queries.money_saved(rate, 'by')} * 3600", "{{by}}"))


def time_over_time() -> timeseries.Panel:
    """Seconds an hour that response caches save."""
    return graph(
        "Time saved per hour",
        f"Waiting that the response cache spares users, per hour. {_TIME}",
        style.SECONDS,
        style.NO_CALLS,
    ).with_target(over_time(f"({queries.time_saved(rate)}) * 3600", "saved"))
