"""What the panels of cost and cache show of known series: sums, shares, budgets, limits."""

from pathlib import Path

from figures import ALL, MINUTES, Values, call, counter, gauge, judge

SERIES = dict(
    (
        # A minute: a call that costs three cents and takes two seconds, and a cached one that saves a cent.
        call("genai_llm_calls_total", 1, outcome="success"),
        call("genai_llm_calls_total", 1, outcome="cached"),
        call("genai_llm_call_duration_seconds_sum", 2, outcome="success"),
        call("genai_llm_call_duration_seconds_count", 1, outcome="success"),
        call("genai_llm_call_duration_seconds_sum", 0.5, outcome="cached"),
        call("genai_llm_call_duration_seconds_count", 1, outcome="cached"),
        call("genai_llm_cost_usd_total", 0.01, outcome="success", part="input"),
        call("genai_llm_cost_usd_total", 0.02, outcome="success", part="output"),
        call("genai_llm_cost_saved_usd_total", 0.01, outcome="cached", by="response_cache"),
        call("genai_llm_input_tokens_total", 1000, outcome="success"),
        call("genai_llm_cache_read_input_tokens_total", 250, outcome="success"),
        counter("genai_workflow_duration_seconds_count", 1, mode="1", outcome="success", cache="miss"),
        # Calls without a price, and a service that spends little.
        call("genai_llm_calls_total", 1, model="new", outcome="success"),
        counter("genai_llm_unpriced_calls_total", 1, provider="p", model="new"),
        call("genai_llm_calls_total", 1, service="search", mode="2", outcome="success"),
        call("genai_llm_cost_usd_total", 0.001, service="search", mode="2", outcome="success", part="output"),
        counter("genai_tenant_cost_usd_total", 0.02, tenant="acme"),
        counter("genai_tenant_cost_usd_total", 0.01, tenant="other"),
        gauge('genai:budget:daily_usd{tenant="acme"}', 25),
        counter("genai_cache_lookups_total", 3, cache="answers", mode="1", result="hit"),
        counter("genai_cache_lookups_total", 5, cache="answers", mode="1", result="miss"),
        counter("genai_cache_entry_lifetime_seconds_sum", 600, cache="answers"),
        counter("genai_cache_entry_lifetime_seconds_count", 2, cache="answers"),
    )
)

EXPECTED: dict[tuple[str, str, str], Values] = {
    ("cost", "Cost", "A"): {ALL: 1.86},
    ("cost", "Saved", "A"): {ALL: 0.6},
    ("cost", "Saved, in percent", "A"): {ALL: 0.6 / 2.46},
    # One workflow a minute in one service, one call in the other.
    ("cost", "Cost per request", "A"): {ALL: 0.0155},
    ("cost", "LLM calls", "A"): {ALL: 240},
    ("cost", "Unpriced calls", "A"): {ALL: 60},
    # Midnight was seven hours ago, and seventeen hours are left of the day.
    ("cost", "Budgets at the present pace", "A"): {'{service="shop"}': 0.432, '{service="search"}': 0.0144},
    ("cost", "Cost by mode", "B"): {'{mode="1"}': 1.8 / 1.86, '{mode="2"}': 0.06 / 1.86},
    # Of the model without a price the cost is unknown, not 0.
    ("cost", "Cost by model, in figures", "A"): {'{provider="p",model="m"}': 1.86},
    ("cost", "Cost by model, in figures", "D"): {'{provider="p",model="new"}': 60},
    ("cost", "Most expensive tenants", "B"): {'{tenant="acme"}': 2 / 3, '{tenant="other"}': 1 / 3},
    ("cost", "Most expensive tenants", "G"): {'{tenant="acme"}': 25 - 0.02 * MINUTES},
    ("cost", "Cost per hour by tenant", "A"): {'{tenant="acme"}': 1.2, '{tenant="other"}': 0.6},
    # Twice the usual $1.80 an hour; $1 more than the usual six cents.
    ("cost", "Cost per hour against usual", "B"): {'{service="shop"}': 3.6, '{service="search"}': 1.06},
    ("cost", "LLM calls cached against not", "B"): {ALL: 3 / 60},
    ("cost", "Saved, in percent of the cost without caches", "A"): {'{by="response_cache"}': 0.01 / 0.041},
    ("cost", "Cost per request by mode", "A"): {'{mode="1"}': 0.03, '{mode="2"}': 0.001},
    # Below the warning threshold of 40 %.
    ("cache", "Hit rate", "A"): {'{state="warning"}': 0.375},
    ("cache", "Lookups", "A"): {ALL: 480},
    ("cache", "Evicted for want of room", "A"): {ALL: 0},
    ("cache", "Caches by mode", "A"): {'{mode="1",cache="answers"}': 0.375},
    ("cache", "Input read from prompt caches", "A"): {ALL: 0.25},
    ("cache", "Money saved per hour", "A"): {'{by="response_cache"}': 0.6},
    # Each of 60 cached answers took half a second instead of two.
    ("cache", "Time saved", "A"): {ALL: 90},
    ("cache", "Time saved per hour", "A"): {ALL: 90},
    ("cache", "Average entry lifetime", "A"): {'{service="shop",cache="answers"}': 300},
}


def test_panels_show_the_right_numbers(tmp_path: Path) -> None:
    """The query of each panel named, over the last hour of seven, gives exactly the values and labels above."""
    judge(SERIES, EXPECTED, tmp_path)
