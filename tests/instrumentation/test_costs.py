"""Tests of where a call's cost comes from."""

from typing import TYPE_CHECKING, Any

import pytest

from genai_metrics import runtime, track_llm_call
from genai_metrics.pricing import Price, PriceResolver

if TYPE_CHECKING:
    from conftest import Metrics

COST = "genai_llm_cost_usd_total"
SAVED = "genai_llm_cost_saved_usd_total"
UNPRICED = "genai_llm_unpriced_calls_total"


def usd(expected: float) -> object:
    """Dollars equal to 1e-12."""
    return pytest.approx(expected, rel=0, abs=1e-12)


class TestCost:
    """Sources of cost and their order."""

    SOURCES: tuple[tuple[dict[str, Any], float], ...] = (
        ({"cost_usd": 7.0, "cost_per_1k_input": 5.0, "cost_per_1k_output": 5.0}, 7.0),
        ({"cost_per_1k_input": 5.0, "cost_per_1k_output": 6.0}, 11.0),
        ({}, 0.09),  # the price file's
    )

    @pytest.mark.parametrize(("arguments", "expected"), SOURCES)
    def test_order(self, metrics: "Metrics", arguments: dict[str, Any], expected: float) -> None:
        """The whole cost goes before rates, rates before the price file."""
        for calls in (1, 2):
            track_llm_call(model="gpt-4", input_tokens=1000, output_tokens=1000, tenant="a", **arguments)
            assert metrics.value(COST) == usd(expected * calls)
            assert metrics.value("genai_tenant_cost_usd_total") == usd(expected * calls)
        assert metrics.value(UNPRICED) == 0

    def test_price_file_goes_before_genai_prices(self, metrics: "Metrics") -> None:
        """genai-prices knows gpt-4o; a price file that has it wins, one that has not leaves it to genai-prices."""
        track_llm_call(model="gpt-4o", provider="openai", input_tokens=1_000_000)
        from_table = metrics.value(COST)
        assert from_table > 0
        metrics.price_file.write_text("prices: [{model: gpt-4o, input_per_1m_usd: 1234, output_per_1m_usd: 0}]")
        metrics.configure()
        track_llm_call(model="gpt-4o", provider="openai", input_tokens=1_000_000)
        assert metrics.value(COST) - from_table == pytest.approx(1234)

    def test_cost_usd_is_unattributed(self, metrics: "Metrics") -> None:
        """A total that the caller gives cannot be split into parts."""
        track_llm_call(model="gpt-4", input_tokens=1000, cost_usd=0.25)
        assert metrics.value(COST, part="unattributed") == 0.25
        assert metrics.value(COST) == 0.25

    def test_parts_are_disjoint(self, metrics: "Metrics") -> None:
        """Each kind of token is charged once, at its own rate, and the prompt cache saves the difference."""
        for calls in (1, 2):
            track_llm_call(
                model="full",
                input_tokens=10_000,
                cached_input_tokens=4_000,
                cache_write_tokens=1_000,
                output_tokens=2_000,
                reasoning_tokens=500,
                tenant="a",
            )
            parts = {part: metrics.value(COST, part=part) for part in ("input", "cache_read", "cache_write", "output")}
            assert parts == {
                "input": usd((5_000 * 10e-6 + 0.01) * calls),
                "cache_read": usd(4_000 * 1e-6 * calls),
                "cache_write": usd(1_000 * 12.5e-6 * calls),
                "output": usd((1_500 * 40e-6 + 500 * 50e-6) * calls),
            }
            assert metrics.value(SAVED, by="prompt_cache") == usd(4_000 * 9e-6 * calls)
            assert metrics.value("genai_tenant_cost_usd_total") == usd(sum(parts.values()))
            assert metrics.value("genai_tenant_cost_saved_usd_total") == usd(4_000 * 9e-6 * calls)

    @pytest.mark.parametrize(
        "arguments", [{}, {"cost_usd": 0.06}, {"cost_per_1k_input": 0.03, "cost_per_1k_output": 0.06}]
    )
    def test_cached_answer_costs_nothing(self, metrics: "Metrics", arguments: dict[str, Any]) -> None:
        """What a cached answer would have cost is saved, whatever the source of the price."""
        for calls in (1, 2):
            track_llm_call(model="gpt-4", input_tokens=1000, output_tokens=500, cached=True, tenant="a", **arguments)
            assert metrics.value(COST) == 0
            assert metrics.value(SAVED, by="response_cache") == usd(0.06 * calls)
            assert metrics.value("genai_tenant_cost_usd_total") == 0
            assert metrics.value("genai_tenant_cost_saved_usd_total") == usd(0.06 * calls)

    def test_unknown_model_is_unpriced_not_free(self, metrics: "Metrics") -> None:
        """No cost series appears, and each call with tokens counts; cached and empty calls do not."""
        for _ in range(3):
            track_llm_call(model="nobody-sells-this", provider="acme", input_tokens=10)
        track_llm_call(model="nobody-sells-this", provider="acme")
        track_llm_call(model="nobody-sells-this", provider="acme", input_tokens=10, cached=True)
        assert metrics.value(UNPRICED, model="nobody-sells-this", provider="acme") == 3
        assert not [b for b in runtime.recorder().blocks() if b.kind.name == "llm_cost"]

    @pytest.mark.parametrize(("tokens", "expected"), [(1000, 1e-6), (1001, 10e-6), (999.5, 1e-6)])
    def test_tiers(self, metrics: "Metrics", tokens: float, expected: float) -> None:
        """A call with more input tokens than a tier's start is priced by it wholly."""
        for calls in (1, 2):
            track_llm_call(model="tiered", input_tokens=tokens)
            assert metrics.value(COST, part="input") == usd(tokens * expected * calls)

    def test_without_pricing(self, metrics: "Metrics") -> None:
        """``pricing=False`` looks nothing up and calls nothing unpriced; what a call says itself counts."""
        metrics.configure(pricing=False)
        for _ in range(2):
            track_llm_call(model="gpt-4", input_tokens=1000)
        assert metrics.value(COST) == metrics.value(UNPRICED) == 0
        track_llm_call(model="gpt-4", input_tokens=1000, cost_usd=1.0)
        assert metrics.value(COST) == 1.0


class Prices:
    """Stands for the resolver: what it answers, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: Price | None = None
        self.asked: list[tuple[str | None, str]] = []
        monkeypatch.setattr(PriceResolver, "resolve", self.resolve)

    def resolve(self, provider: str | None, model: str) -> Price | None:
        """Answer as told."""
        self.asked.append((provider, model))
        return self.answer


class TestPriceLookups:
    """When a price is looked up."""

    def test_expired_price_is_looked_up_again(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """A price holds until it expires, then the next one; one that is gone makes calls unpriced."""
        now = 1000.0
        monkeypatch.setattr("time.time", lambda: now)
        prices = Prices(monkeypatch)
        for rate, start in ((1.0, 1000.0), (2.0, 2000.0)):
            prices.answer, now = Price(rate, rate, rate, rate, rate, expires_at=start + 1000), start
            for _ in range(3):
                track_llm_call(model="m", input_tokens=1)
        assert metrics.value(COST) == 3 * 1.0 + 3 * 2.0
        assert len(prices.asked) == 2
        prices.answer, now = None, 3000.0
        for _ in range(3):
            track_llm_call(model="m", input_tokens=1)
        assert metrics.value(COST) == 9.0
        assert metrics.value(UNPRICED, model="m") == 3

    def test_one_look_up_for_all_calls_of_a_model(self, metrics: "Metrics", monkeypatch: pytest.MonkeyPatch) -> None:
        """Failed calls and models beyond the cap ask no more often than others: looking up is slow."""
        metrics.configure(label_caps={"model": 1})
        prices = Prices(monkeypatch)
        for _ in range(3):
            for model in ("first", "second"):
                track_llm_call(model=model, input_tokens=1)
                track_llm_call(model=model, input_tokens=1, error_type="429")
        assert prices.asked == [(None, "first"), (None, "second")]

    def test_model_beyond_the_cap_has_its_own_price(self, metrics: "Metrics") -> None:
        """``__other__`` is a label, not a model."""
        metrics.configure(label_caps={"model": 1})
        track_llm_call(model="first")
        track_llm_call(model="gpt-4", input_tokens=1000)
        assert metrics.value(COST, model="__other__") == usd(0.03)
