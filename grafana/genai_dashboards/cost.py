"""The dashboard "Cost": are we within budget, what costs most, what is saved. Panels are in ``cost_*panels``."""

from grafana_foundation_sdk.models import dashboard as models

from genai_dashboards import cost_budget_panels as budgets
from genai_dashboards import cost_panels as panels
from genai_dashboards import queries, variables
from genai_dashboards.cost_queries import TENANT_COST
from genai_dashboards.frame import board
from genai_dashboards.layout import Heading, line, place


def build() -> models.Dashboard:
    """The whole dashboard: budgets on top, then where the money goes, what is saved, what is used."""
    tenants = variables.several("tenant", "Tenant", queries.label_values(TENANT_COST, "tenant", queries.SERVICE))
    return place(
        board(
            "cost",
            "Spend of the selected services against budgets, by part, model, mode and tenant; savings and usage.",
            refresh="1m",
            alerts="cost",
            more=(tenants,),
            time="now-24h",
        ),
        line(
            4,
            budgets.spent_today(),
            budgets.estimated_day(),
            budgets.month_to_date(),
            budgets.estimated_month(),
            budgets.budgets(),
            widths=(4, 4, 4, 4, 8),
        ),
        line(
            4,
            panels.spent(),
            panels.saved(),
            panels.saved_share(),
            panels.cost_per_request(),
            panels.calls(),
            panels.unpriced(),
        ),
        line(9, budgets.daily_cost(), budgets.trend()),
        Heading("Where the money goes"),
        line(8, panels.by_part(), panels.by_model(), panels.hourly_by_model(), widths=(6, 6, 12)),
        line(8, panels.modes(), panels.models()),
        Heading("Who spends it"),
        line(10, panels.tenants(), panels.hourly_by_tenant(), widths=(16, 8)),
        Heading("Budgets and alerts"),
        line(8, budgets.month(), budgets.last_hour(), budgets.spike()),
        Heading("What is saved"),
        line(8, panels.cached_calls(), panels.hourly_saved(), panels.saved_share_over_time()),
        Heading("What is used"),
        line(8, panels.tokens(), panels.cost_per_request_over_time()),
        line(8, panels.tool_calls(), panels.retrievals()),
    ).build()
