"""PromQL of the dashboard "Cost". Days and months are those of UTC; see prometheus/rules/recording_cost.yml."""

from genai_dashboards import judgement
from genai_dashboards.performance_queries import Count, requests
from genai_dashboards.queries import (
    CALLS,
    COST,
    COST_SAVED,
    INPUT_TOKENS,
    OUTPUT_TOKENS,
    RANGE,
    aggregated,
    among,
    counted,
    largest,
    latest,
    quotient,
    rate,
    recorded,
    selector,
    total,
)
from genai_metrics import catalog

TENANT = 'tenant=~"$tenant"'
TENANT_COST, TENANT_SAVED = catalog.TENANT.metrics[1:3]

_CACHE_READ_TOKENS, _CACHE_WRITE_TOKENS, _REASONING_TOKENS = catalog.LLM_CALL.metrics[4:]
_TENANT_TOKENS, _TENANT_CALLS = catalog.TENANT.metrics[0], catalog.TENANT_REQUESTS.metrics[0]
_UNPRICED, _ESTIMATED = catalog.LLM_UNPRICED.metrics[0], catalog.LLM_ESTIMATED.metrics[0]
_CALLS_BY_OUTCOME = recorded("instance_service_mode_outcome", CALLS)
_CALLS_BY_MODEL = recorded("instance_service_mode_model", CALLS)
_COST_BY_PART = recorded("instance_service_mode_part", COST)
_COST_BY_MODEL = recorded("instance_service_mode_model", COST)
_SAVED = recorded("instance_service_mode_by", COST_SAVED)
_TENANT_DAY = "service_tenant:genai_tenant_cost_usd:increase1d"
_TENANT_BUDGET = "service_tenant:genai_budget_daily_usd:effective"

SHOWN_TENANTS = 25
"""Rows of the table of tenants, which may be a thousand."""
DRAWN_TENANTS = 8
"""Lines of the graph of tenants: more cannot be told apart."""


def of_services(window: str, *by: str) -> str:
    """Dollars as recorded for whole services, in all modes: ``today``, ``projected_day``, ``increase1d`` and so on."""
    return latest(f"service:genai_llm_cost_usd:{window}", *by)


def last_week(window: str) -> str:
    """Dollars of the selected services a week before, over the same window."""
    return f"sum({selector(f'service:genai_llm_cost_usd:{window}')} offset 1w)"


def share_of_budget(projected: str, budget: str) -> str:
    """Projected dollars by the budget they count against, for each service."""
    return quotient(of_services(projected, "service"), limit(budget))


def limit(kpi: str) -> str:
    """Dollars above which an alert fires or a budget is used up, for each service."""
    return aggregated("max", ("service",), judgement.effective(kpi, 'severity="warning"'))


def hourly(window: str) -> str:
    """Dollars an hour of each service, from the rate over the window."""
    return f"{of_services(window, 'service')} * 3600"


def spike_limit() -> str:
    """Dollars an hour above which GenAICostSpike fires: a multiple of the usual rate, and so much more besides."""
    usual = f"{selector('service:genai_llm_cost_usd:rate6h')} offset 10m * 3600"
    ratio, dollars = (
        judgement.effective(kpi, 'severity="critical"') for kpi in ("cost_spike_ratio", "cost_spike_usd_per_hour")
    )
    times = f"{usual} * on (service) group_left () {ratio}"
    more = f"{usual} + on (service) group_left () {dollars}"
    larger = f"({times} > on (service) ({more})) or on (service) ({more})"
    return aggregated("max", ("service",), larger)


def calls() -> str:
    """LLM calls in the time range."""
    return total(_CALLS_BY_OUTCOME)


def spent(*by: str) -> str:
    """Dollars in the time range; absent, not 0, where no price is known."""
    return total(_COST_BY_PART, *by)


def saved(*by: str) -> str:
    """Dollars that both kinds of caches saved in the time range; absent where no price is known."""
    return total(_SAVED, *by)


def saved_share() -> str:
    """Share of what the calls would have cost that caches saved."""
    return quotient(saved(), f"({spent()} + {saved()})")


def cost_per_request(count: Count, *by: str) -> str:
    """Dollars a request, requests that a cache answered included; absent without requests."""
    return quotient(count(_COST_BY_PART, *by), requests(count, *by))


def unpriced() -> str:
    """Calls in the time range whose price is unknown."""
    return f"{total(_UNPRICED)} or 0 * {calls()}"


def by_part() -> str:
    """Dollars in the time range by part of the bill."""
    return f"{total(_COST_BY_PART, 'part')} > 0"


def by_model() -> str:
    """Dollars in the time range by model."""
    return f"{total(_COST_BY_MODEL, 'model')} > 0"


def hourly_by_model() -> str:
    """Dollars an hour by model."""
    return f"{rate(_COST_BY_MODEL, 'model')} * 3600"


def of_mode(column: str) -> str:
    """A column of the table of modes."""
    return {
        "requests": requests(total, "mode"),
        "calls": total(_CALLS_BY_OUTCOME, "mode"),
        "cost": spent("mode"),
        "share": _of_all(spent("mode"), spent()),
        "per_request": cost_per_request(total, "mode"),
        "saved": saved("mode"),
    }[column]


def of_model(column: str) -> str:
    """A column of the table of models; calls without price and with estimated tokens know no mode."""
    labels = ("provider", "model")
    calls = total(_CALLS_BY_MODEL, *labels)
    spent = total(_COST_BY_MODEL, *labels)
    return {
        "calls": calls,
        "cost": spent,
        "per_call": quotient(spent, calls),
        "unpriced": among(total(_UNPRICED, *labels), calls, *labels),
        "estimated": among(total(_ESTIMATED, *labels), calls, *labels),
    }[column]


def of_tenant(column: str) -> str:
    """A column of the table of tenants: those that cost most, of all modes but for calls."""
    spent = total(TENANT_COST, "tenant", where=[TENANT])
    everybody = total(TENANT_COST)
    day = selector(_TENANT_DAY, TENANT)
    left = f"{selector(_TENANT_BUDGET, TENANT)} - on (service, tenant) {day}"
    chosen = largest(SHOWN_TENANTS, spent)
    expression = {
        "calls": total(_TENANT_CALLS, "tenant", where=[TENANT]),
        "tokens": total(_TENANT_TOKENS, "tenant", where=[TENANT]),
        "cost": spent,
        "share": _of_all(spent, everybody),
        "saved": total(TENANT_SAVED, "tenant", where=[TENANT]),
        "day": aggregated("sum", ("tenant",), day),
        "left": aggregated("min", ("tenant",), left),
    }[column]
    return among(expression, chosen, "tenant")


def hourly_by_tenant() -> str:
    """Dollars an hour of the tenants that cost most over the whole time range."""
    whole = f"increase({counted(TENANT_COST, TENANT, window=RANGE)} @ end())"
    chosen = largest(DRAWN_TENANTS, aggregated("sum", ("tenant",), whole))
    return f"({among(rate(TENANT_COST, 'tenant', where=[TENANT]), chosen, 'tenant')}) * 3600"


def calls_from(where: str) -> str:
    """LLM calls a second that the ``cache`` or the ``provider`` answered."""
    matcher = {"cache": 'outcome="cached"', "provider": 'outcome!="cached"'}[where]
    return f"{rate(_CALLS_BY_OUTCOME, where=[matcher])} or 0 * {rate(_CALLS_BY_OUTCOME)}"


def hourly_saved() -> str:
    """Dollars an hour saved, by the kind of cache."""
    return f"{rate(_SAVED, 'by')} * 3600"


def saved_share_over_time() -> str:
    """Share of what the calls would have cost that each kind of cache saved."""
    return _of_all(rate(_SAVED, "by"), f"{rate(_COST_BY_PART)} + {rate(_SAVED)}")


def tokens(kind: str) -> str:
    """Tokens a second: ``input`` and ``output`` as billed, the others are part of these."""
    metric = {
        "input": INPUT_TOKENS,
        "output": OUTPUT_TOKENS,
        "cached": _CACHE_READ_TOKENS,
        "cache_write": _CACHE_WRITE_TOKENS,
        "reasoning": _REASONING_TOKENS,
    }[kind]
    return rate(recorded("instance_service_mode", metric))


def tool_calls() -> str:
    """Tool calls a minute by tool; tools know no mode."""
    return f"{latest('service_tool:genai_tool_calls:rate5m', 'tool')} * 60"


def retrievals() -> str:
    """Retrievals a minute by source; sources know no mode."""
    return f"{latest('service_source:genai_retrievals:rate5m', 'source')} * 60"


def _of_all(parts: str, whole: str) -> str:
    """Share of each part in a whole without labels; absent while the whole is 0."""
    return f"{parts} / on () group_left () ({whole} > 0)"
