"""Panels of the dashboard "Cost" about the time range, one function each; budgets are in ``cost_budget_panels``."""

from grafana_foundation_sdk.builders import piechart, stat, table, timeseries

from genai_dashboards import cost_queries as queries
from genai_dashboards import links, style
from genai_dashboards.limits import stepped
from genai_dashboards.panels import graph, number, pie, stacked
from genai_dashboards.queries import rate, total
from genai_dashboards.tables import Column, Rows, table_of
from genai_dashboards.targets import at_the_end, over_time

NO_COST = "no priced LLM calls in this time range"
PRICED = "Calls whose price is unknown are not in it."
_NO_TENANTS = "no calls of tenants in this time range: they are counted once the application names them"
_DECIMALS = 4
"""Of sums in tables: what a tenant costs may be less than a cent."""


def dollars(title: str, description: str, query: str) -> stat.Panel:
    """A sum of money at the end of the time range, with as many decimals as it needs."""
    return number(title, description, style.DOLLARS, NO_COST).min(0).with_target(at_the_end(query, "cost"))


def spent() -> stat.Panel:
    """Spend in the time range."""
    return dollars("Cost", f"Cost of the LLM calls in the time range. {PRICED}", queries.spent())


def saved() -> stat.Panel:
    """Savings in the time range."""
    return dollars(
        "Saved",
        "What the calls in the time range would have cost more without response caches and providers' prompt caches.",
        queries.saved(),
    )


def saved_share() -> stat.Panel:
    """Savings as a share of what everything would have cost."""
    return (
        number("Saved, in percent", "Saved by the cost without caches, in the time range.", style.SHARE, NO_COST)
        .min(0)
        .max(1)
        .decimals(1)
        .with_target(at_the_end(queries.saved_share(), "saved"))
    )


def cost_per_request() -> stat.Panel:
    """Spend by request."""
    return dollars(
        "Cost per request",
        "Cost in the time range by workflows (of services that record none: by LLM calls); cached answers included.",
        queries.cost_per_request(total),
    ).decimals(style.MICRODOLLARS)


def calls() -> stat.Panel:
    """Calls in the time range."""
    return number(
        "LLM calls", "LLM calls in the time range, cached answers and failures included.", style.COUNT, style.NO_CALLS
    ).with_target(at_the_end(queries.calls(), "calls"))


def unpriced() -> stat.Panel:
    """Calls that are missing from the cost."""
    panel = number(
        "Unpriced calls",
        "Calls in the time range whose price is unknown: all sums of money are too low by them. 0 is good.",
        style.COUNT,
        style.NO_CALLS,
    )
    return stepped(panel, style.GOOD, red=1e-9).with_target(at_the_end(queries.unpriced(), "unpriced"))


def by_part() -> piechart.Panel:
    """Cost by part of the bill."""
    return pie(
        "Cost by part",
        "What the cost of the time range consists of. unattributed: totals that the application gave, which cannot be "
        "split.",
        style.DOLLARS,
        NO_COST,
    ).with_target(at_the_end(queries.by_part(), "{{part}}"))


def by_model() -> piechart.Panel:
    """Cost by model."""
    return pie(
        "Cost by model", f"Which models the cost of the time range went to. {PRICED}", style.DOLLARS, NO_COST
    ).with_target(at_the_end(queries.by_model(), "{{model}}"))


def hourly_by_model() -> timeseries.Panel:
    """Cost over time by model."""
    return stacked(
        "Cost per hour by model", f"Dollars per hour at the rate of each point. {PRICED}", style.DOLLARS, NO_COST
    ).with_target(over_time(queries.hourly_by_model(), "{{model}}"))


def modes() -> table.Panel:
    """What each mode costs."""
    return table_of(
        "Cost by mode",
        "Of the time range. Requests are workflows; of services that record none, LLM calls. Click a mode to see it "
        "alone.",
        Rows({"mode": "Mode"}, {"Mode": links.on_row("cost", mode="Mode")}),
        Column("Cost", queries.of_mode("cost"), style.DOLLARS, _DECIMALS),
        Column("Share", queries.of_mode("share"), style.SHARE, 1, is_bar=True),
        Column("Requests", queries.of_mode("requests"), style.COUNT, 0),
        Column("Cost/request", queries.of_mode("per_request"), style.DOLLARS, style.MICRODOLLARS),
        Column("LLM calls", queries.of_mode("calls"), style.COUNT, 0),
        Column("Saved", queries.of_mode("saved"), style.DOLLARS, _DECIMALS),
        sort="Cost",
        no_value=style.NO_CALLS,
    )


def models() -> table.Panel:
    """What each model costs."""
    return table_of(
        "Cost by model, in figures",
        "Of the time range. The cost of unpriced calls is missing; tokens of estimated calls were not told by the "
        "provider (both counts are of all modes).",
        Rows({"provider": "Provider", "model": "Model"}),
        Column("Cost", queries.of_model("cost"), style.DOLLARS, _DECIMALS),
        Column("LLM calls", queries.of_model("calls"), style.COUNT, 0),
        Column("Cost/call", queries.of_model("per_call"), style.DOLLARS, style.MICRODOLLARS),
        Column("Unpriced", queries.of_model("unpriced"), style.COUNT, 0),
        Column("Estimated", queries.of_model("estimated"), style.COUNT, 0),
        sort="Cost",
        no_value=style.NO_CALLS,
    )


def tenants() -> table.Panel:
    """Who costs most."""
    return table_of(
        "Most expensive tenants",
        f"The {queries.SHOWN_TENANTS} tenants that cost most in the time range, with their share of the cost of all. "
        "Of all modes, but for LLM calls. Budget left: of the last 24 hours, for tenants that thresholds.yml gives "
        "a budget.",
        Rows({"tenant": "Tenant"}, {"Tenant": links.on_row("cost", tenant="Tenant")}),
        Column("Cost", queries.of_tenant("cost"), style.DOLLARS, _DECIMALS),
        Column("Share", queries.of_tenant("share"), style.SHARE, 1, is_bar=True),
        Column("LLM calls", queries.of_tenant("calls"), style.COUNT, 0),
        Column("Tokens", queries.of_tenant("tokens"), style.COUNT),
        Column("Saved", queries.of_tenant("saved"), style.DOLLARS, _DECIMALS),
        Column("Last 24 hours", queries.of_tenant("day"), style.DOLLARS, _DECIMALS),
        Column("Budget left", queries.of_tenant("left"), style.DOLLARS, _DECIMALS),
        sort="Cost",
        no_value=_NO_TENANTS,
    )


def hourly_by_tenant() -> timeseries.Panel:
    """Cost over time of the most expensive tenants."""
    return stacked(
        "Cost per hour by tenant",
        f"Dollars per hour of the {queries.DRAWN_TENANTS} tenants that cost most in the time range, in all modes.",
        style.DOLLARS,
        _NO_TENANTS,
    ).with_target(over_time(queries.hourly_by_tenant(), "{{tenant}}"))


def cached_calls() -> timeseries.Panel:
    """Calls that a response cache answered, and the others."""
    return (
        stacked(
            "LLM calls cached against not",
            "LLM calls per second that a response cache answered, at no cost, and those sent to a provider.",
            style.REQUESTS_PER_SECOND,
            style.NO_CALLS,
        )
        .with_target(over_time(queries.calls_from("cache"), "cached", "A"))
        .with_target(over_time(queries.calls_from("provider"), "not cached", "B"))
    )


def hourly_saved() -> timeseries.Panel:
    """Savings over time."""
    return stacked(
        "Saved per hour",
        "Dollars per hour that response caches saved, and the providers' prompt caches by their lower price.",
        style.DOLLARS,
        NO_COST,
    ).with_target(over_time(queries.hourly_saved(), "{{by}}"))


def saved_share_over_time() -> timeseries.Panel:
    """Savings over time as a share of what everything would have cost."""
    return (
        stacked(
            "Saved, in percent of the cost without caches",
            "Which share of what the calls would have cost each kind of cache saved.",
            style.SHARE,
            NO_COST,
        )
        .max(1)
        .with_target(over_time(queries.saved_share_over_time(), "{{by}}"))
    )


def tokens() -> timeseries.Panel:
    """Billed tokens by kind."""
    panel = graph(
        "Tokens",
        "Billed tokens per second. Read from and written to the provider's prompt cache are part of the input, "
        "reasoning is part of the output.",
        style.TOKENS_PER_SECOND,
        style.NO_CALLS,
    )
    kinds = {
        "input": "input",
        "output": "output",
        "cached": "cached input",
        "cache_write": "input written to cache",
        "reasoning": "reasoning output",
    }
    for letter, (kind, legend) in zip("ABCDE", kinds.items(), strict=True):
        panel.with_target(over_time(queries.tokens(kind), legend, letter))
    return panel


def cost_per_request_over_time() -> timeseries.Panel:
    """Spend by request over time, by mode."""
    return (
        graph(
            "Cost per request by mode",
            "Cost by workflows (of services that record none: by LLM calls); cached answers included.",
            style.DOLLARS,
            NO_COST,
        )
        .decimals(style.MICRODOLLARS)
        .with_target(over_time(queries.cost_per_request(rate, "mode"), "{{mode}}"))
    )


def tool_calls() -> timeseries.Panel:
    """Tools that ran."""
    return stacked(
        "Tool executions",
        "Tool calls per minute by tool, over 5 minutes and in all modes.",
        style.PER_MINUTE,
        "no tool calls in this time range",
    ).with_target(over_time(queries.tool_calls(), "{{tool}}"))


def retrievals() -> timeseries.Panel:
    """Retrievals that ran."""
    return stacked(
        "Retrievals",
        "Retrievals per minute by source, over 5 minutes and in all modes.",
        style.PER_MINUTE,
        "no retrievals in this time range",
    ).with_target(over_time(queries.retrievals(), "{{source}}"))
