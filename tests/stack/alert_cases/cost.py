"""Alerts on cost. The first minute of each case is midnight UTC, the first of a month."""

from alert_cases import Case, Firing, series
from genai_metrics import catalog

_COST = catalog.LLM_COST.metrics[0]
_TENANT = next(metric for metric in catalog.TENANT.metrics if metric.name.endswith("_cost_usd_total"))
_UNPRICED = catalog.LLM_UNPRICED.metrics[0]


def _firing(description: str, **labels: str) -> tuple[Firing, ...]:
    return (Firing({"service": "chat", **labels}, description, "/d/genai-cost?var-service=chat"),)


def _cost(values: str, part: str = "input") -> dict[str, str]:
    return {series(_COST, part=part): values}


def _spent(tenant: str, values: str, service: str = "chat") -> dict[str, str]:
    return {series(_TENANT, tenant=tenant, service=service): values}


_DAILY = (
    # $6 an hour in two parts: $100 after 16 h 40 min.
    Case(
        "GenAIHighDailyCost",
        "fires",
        _cost("0+0.2x500") | _cost("0+0.3x500", "output"),
        before="17h30m",
        at="30h",
        firing=_firing("Service chat has spent $144.00 on LLM calls over the last 24 hours (threshold: $100.00)."),
        interval="5m",
    ),
    Case("GenAIHighDailyCost", "quiet", _cost("0+0.34x500"), at="30h", interval="5m"),
    Case("GenAIHighDailyCost", "low_traffic", _cost("0x500"), at="30h", interval="5m"),
    Case("GenAIHighDailyCost", "absent", {}, at="30h", interval="5m"),
    Case("GenAIHighDailyCost", "reset", _cost("0+0.34x200 0+0.34x200"), at="30h", interval="5m"),
)

_PROJECTED = (
    # $6 an hour: $144 at the end of any day.
    Case(
        "GenAIDailyBudgetProjected",
        "fires",
        _cost("0+0.1x800"),
        before="30m",
        at="10h",
        firing=_firing(
            "Service chat will have spent $144.00 by the end of the day (UTC) if it goes on like in the last hour "
            "(budget: $100.00)."
        ),
        interval="1m",
    ),
    Case("GenAIDailyBudgetProjected", "quiet", _cost("0+0.0683x800"), at="10h", interval="1m"),
    # $9 an hour until 06:00, then $1: $72 in all, though at 06:00 it looked like $216.
    Case("GenAIDailyBudgetProjected", "quiet", _cost("0+0.15x360 54+0.016x300"), at="8h", interval="1m", note="later"),
    # $144 on the first day, $3 an hour on the second.
    Case(
        "GenAIDailyBudgetProjected",
        "quiet",
        _cost("0+0.1x1440 144+0.05x240"),
        at="27h",
        interval="1m",
        note="on the day after a dear one",
    ),
    Case("GenAIDailyBudgetProjected", "low_traffic", _cost("0x800"), at="10h", interval="1m"),
    Case("GenAIDailyBudgetProjected", "absent", {}, at="10h", interval="1m"),
    Case("GenAIDailyBudgetProjected", "reset", _cost("0+0.065x300 0+0.065x400"), at="10h", interval="1m"),
)

_HOURLY = (
    Case(
        "GenAIHighHourlyCost",
        "fires",
        _cost("0+0.2x200"),
        before="60m",
        at="2h",
        firing=_firing("Service chat has spent $12.00 on LLM calls over the last hour (threshold: $10.00)."),
        interval="1m",
    ),
    Case("GenAIHighHourlyCost", "quiet", _cost("0+0.16x200"), at="2h", interval="1m"),
    Case("GenAIHighHourlyCost", "low_traffic", _cost("0x200"), at="2h", interval="1m"),
    Case("GenAIHighHourlyCost", "absent", {}, at="2h", interval="1m"),
    Case("GenAIHighHourlyCost", "reset", _cost("0+0.16x100 0+0.16x100"), at="2h", interval="1m"),
)

_SPIKE = (
    # $1.20 an hour, from 7 h on $6.
    Case(
        "GenAICostSpike",
        "fires",
        _cost("0+0.02x420 8.4+0.1x60"),
        before="7h10m",
        at="7h16m",
        firing=_firing("Service chat spends $6.00 an hour on LLM calls, after $1.26 an hour over the 6 hours before."),
        interval="1m",
    ),
    # $6 an hour from the first minute on.
    Case("GenAICostSpike", "quiet", _cost("0+0.1x200"), at="1h", interval="1m", note="for a new service"),
    Case("GenAICostSpike", "quiet", _cost("0+0.02x420 8.4+0.036x60"), at="7h30m", interval="1m"),
    # Five times as much, but only $0.80 an hour more.
    Case("GenAICostSpike", "low_traffic", _cost("0+0.003x420 1.26+0.016x60"), at="7h30m", interval="1m"),
    Case("GenAICostSpike", "absent", {}, at="7h30m", interval="1m"),
    Case("GenAICostSpike", "reset", _cost("0+0.02x420 0+0.02x60"), at="7h30m", interval="1m"),
)

_BUDGETS = {
    'genai:budget:daily_usd{tenant="acme"}': "20x500",
    'genai:budget:daily_usd{tenant="b",service="x"}': "1x500",
}
_TENANTS = (
    Case(
        "GenAITenantBudgetExceeded",
        "fires",
        _BUDGETS | _spent("acme", "0+0.1x500") | _spent("other", "0+9x500") | _spent("b", "0+9x500"),
        before="16h40m",
        at="30h",
        firing=_firing(
            "Tenant acme has spent $28.80 in service chat over the last 24 hours, which is above its budget.",
            tenant="acme",
        ),
        interval="5m",
        note="for a tenant with a budget",
    ),
    Case(
        "GenAITenantBudgetExceeded",
        "fires",
        {**_BUDGETS, 'genai:budget:daily_usd{tenant="acme",service="chat"}': "25x500"}
        | _spent("acme", "0+0.1x500")
        | _spent("acme", "0+0.08x500", "search"),
        at="30h",
        firing=(
            *_firing(
                "Tenant acme has spent $28.80 in service chat over the last 24 hours, which is above its budget.",
                tenant="acme",
            ),
            Firing(
                {"service": "search", "tenant": "acme"},
                "Tenant acme has spent $23.04 in service search over the last 24 hours, which is above its budget.",
                "/d/genai-cost?var-service=search",
            ),
        ),
        interval="5m",
        note="with a budget of its own in one service",
    ),
    Case(
        "GenAITenantBudgetExceeded",
        "quiet",
        {**_BUDGETS, 'genai:budget:daily_usd{tenant="acme",service="chat"}': "30x500"} | _spent("acme", "0+0.1x500"),
        at="30h",
        interval="5m",
    ),
    Case("GenAITenantBudgetExceeded", "low_traffic", _BUDGETS | _spent("acme", "0x500"), at="30h", interval="5m"),
    Case("GenAITenantBudgetExceeded", "absent", _BUDGETS, at="30h", interval="5m"),
    Case("GenAITenantBudgetExceeded", "absent", _spent("acme", "0+9x500"), at="30h", interval="5m", note="without any"),
    Case(
        "GenAITenantBudgetExceeded",
        "reset",
        _BUDGETS | _spent("acme", "0+0.06x200 0+0.06x200"),
        at="30h",
        interval="5m",
    ),
)

_PRICES = (
    # One call, in the tenth minute.
    Case(
        "GenAIUnpricedCalls",
        "fires",
        {series(_UNPRICED, model="new-model"): "0x10 2x100", series(_UNPRICED): "0x111"},
        before="15m",
        at="16m",
        firing=_firing(
            "Service chat made 2 calls of p new-model over the last hour whose price is unknown, so their cost counts "
            "nowhere.",
            provider="p",
            model="new-model",
        ),
        interval="1m",
    ),
    Case("GenAIUnpricedCalls", "quiet", {series(_UNPRICED): "7x100"}, at="1h30m", interval="1m"),
    # An hour after the last one it is over.
    Case("GenAIUnpricedCalls", "low_traffic", {series(_UNPRICED): "0x10 1x100"}, at="1h20m", interval="1m"),
    Case("GenAIUnpricedCalls", "absent", {}, at="1h30m", interval="1m"),
    Case("GenAIUnpricedCalls", "reset", {series(_UNPRICED): "7x50 0x50"}, at="1h10m", interval="1m"),
)

CASES = (*_DAILY, *_PROJECTED, *_HOURLY, *_SPIKE, *_TENANTS, *_PRICES)
