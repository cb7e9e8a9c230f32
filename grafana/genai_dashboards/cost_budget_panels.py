"""Panels of the dashboard "Cost" about days, months, budgets and alerts, one function each.

They show what is recorded for whole services, because budgets are theirs.
"""

from grafana_foundation_sdk.builders import bargauge, stat, timeseries

from genai_dashboards import cost_queries as queries
from genai_dashboards import style
from genai_dashboards.cost_panels import NO_COST, PRICED, dollars
from genai_dashboards.limits import dashed, stepped
from genai_dashboards.panels import bars, graph
from genai_dashboards.targets import at_the_end, over_time

_WHOLE = "Of the selected services in all modes."


def spent_today() -> stat.Panel:
    """Spend since midnight UTC."""
    return dollars("Spent today", f"Cost since midnight UTC. {_WHOLE} {PRICED}", queries.of_services("today"))


def estimated_day() -> stat.Panel:
    """Spend of the day if the rest goes like the last hour."""
    return dollars(
        "Estimated for today",
        f"Spent today, and the rest of the day (UTC) at the rate of the last hour. {_WHOLE}",
        queries.of_services("projected_day"),
    )


def month_to_date() -> stat.Panel:
    """Spend since the first of the month."""
    return dollars(
        "Month to date",
        f"Cost since the first of the month (UTC). {_WHOLE} {PRICED}",
        queries.of_services("month_to_date"),
    )


def estimated_month() -> stat.Panel:
    """Spend of the month if the rest goes like the last day."""
    return dollars(
        "Estimated for the month",
        f"Month to date, and the rest of the month at the rate of the last 24 hours. {_WHOLE}",
        queries.of_services("projected_month"),
    )


def budgets() -> bargauge.Panel:
    """How much of its budgets each service will have used."""
    panel = bars(
        "Budgets at the present pace",
        "Estimated cost of the day and of the month as a share of each service's budget; "
        "orange from 80 %, red from 100 %.",
        style.SHARE,
        NO_COST,
    )
    return (
        stepped(panel, style.GOOD, orange=0.8, red=1)
        .decimals(0)
        .with_target(at_the_end(queries.share_of_budget("projected_day", "budget_daily_usd"), "{{service}} today", "A"))
        .with_target(
            at_the_end(queries.share_of_budget("projected_month", "budget_monthly_usd"), "{{service}} month", "B")
        )
    )


def daily_cost() -> timeseries.Panel:
    """Estimated cost of the day against budget and alert."""
    panel = graph(
        "Estimated daily cost",
        "Cost of the day (UTC) if it goes on like in the last hour, and of the last 24 hours. "
        "GenAIDailyBudgetProjected fires when the estimate stays above the budget, GenAIHighDailyCost when the 24 "
        "hours stay above the alert line.",
        style.DOLLARS,
        NO_COST,
    )
    panel = dashed(dashed(panel, "daily budget", style.DEGRADED), "alert on 24 hours", style.BAD)
    return (
        panel.with_target(over_time(queries.of_services("projected_day", "service"), "{{service}} estimated", "A"))
        .with_target(over_time(queries.of_services("increase1d", "service"), "{{service}} last 24 hours", "B"))
        .with_target(over_time(queries.limit("budget_daily_usd"), "{{service}} daily budget", "C"))
        .with_target(over_time(queries.limit("cost_daily_usd"), "{{service}} alert on 24 hours", "D"))
    )


def trend() -> timeseries.Panel:
    """Daily cost now and a week before."""
    return (
        graph(
            "Cost of 24 hours against last week",
            "Cost of the 24 hours before each point, now and a week before. The second line begins once there is data "
            f"of a week. {_WHOLE}",
            style.DOLLARS,
            NO_COST,
        )
        .with_target(over_time(queries.of_services("increase1d"), "this week", "A"))
        .with_target(over_time(queries.last_week("increase1d"), "last week", "B"))
    )


def month() -> timeseries.Panel:
    """The month against its budget."""
    panel = graph(
        "Month to date and estimate",
        "Cost since the first of the month (UTC), and what the month will cost at the rate of the last 24 hours.",
        style.DOLLARS,
        NO_COST,
    )
    return (
        dashed(panel, "monthly budget", style.DEGRADED)
        .with_target(over_time(queries.of_services("month_to_date", "service"), "{{service}} to date", "A"))
        .with_target(over_time(queries.of_services("projected_month", "service"), "{{service}} estimated", "B"))
        .with_target(over_time(queries.limit("budget_monthly_usd"), "{{service}} monthly budget", "C"))
    )


def last_hour() -> timeseries.Panel:
    """The last hour against its alert."""
    panel = graph(
        "Cost of the last hour",
        "Cost of the hour before each point; GenAIHighHourlyCost fires when it stays above the line.",
        style.DOLLARS,
        NO_COST,
    )
    return (
        dashed(panel, "alert", style.BAD)
        .with_target(over_time(queries.of_services("increase1h", "service"), "{{service}}", "A"))
        .with_target(over_time(queries.limit("cost_hourly_usd"), "{{service}} alert", "B"))
    )


def spike() -> timeseries.Panel:
    """The present rate against the usual one."""
    panel = graph(
        "Cost per hour against usual",
        "Dollars per hour at the rate of the last 10 minutes. The line follows the 6 hours before: GenAICostSpike "
        "fires when the rate stays above it.",
        style.DOLLARS,
        NO_COST,
    )
    return (
        dashed(panel, "alert", style.BAD)
        .with_target(over_time(queries.hourly("rate10m"), "{{service}}", "A"))
        .with_target(over_time(queries.spike_limit(), "{{service}} alert", "B"))
    )
