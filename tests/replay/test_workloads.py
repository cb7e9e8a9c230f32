"""Tests of replay.workloads: sums, expected cost and the spread over modes, on every workload there is."""

from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from replay.recorded import read_csv, read_mooncake
from replay.synthetic import generate
from replay.workloads import MODES, Request, Totals, expected_cost, totals

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CSV = DATA / "agentic-sessions" / "requests.csv.gz"
MOONCAKE = DATA / "mooncake-conversation" / "conversation_trace.jsonl.gz"

# Calls, failed calls, input, output and cache-read tokens over all models. The recorded ones were summed
# with awk from the files' own columns, so that they do not rest on the code under test.
SUMS = {
    "synthetic": Totals(20_000, 370, 2_011_862_723, 9_378_741, 1_868_021_888),
    "csv": Totals(31_505, 0, 4_351_418_078, 14_225_475, 4_176_123_712),
    "mooncake": Totals(12_031, 0, 144_793_823, 4_122_048, 54_098_411),
}
WORKLOADS = ["synthetic"] + ["csv"] * CSV.exists() + ["mooncake"] * MOONCAKE.exists()


@cache
def load(name: str) -> list[Request]:
    """The workload of that name."""
    if name == "csv":
        return read_csv(CSV)
    if name == "mooncake":
        return read_mooncake(MOONCAKE, model="moonshot-v1-128k", provider="moonshotai")
    return generate(20_000, seed=1)


class TestEveryWorkload:
    """What holds for each source of requests."""

    @pytest.mark.parametrize("name", WORKLOADS)
    def test_has_exactly_the_known_sums(self, name: str) -> None:
        """The sums over all models are those of the file itself, or of the seed."""
        by_model = totals(load(name)).values()
        fields = ("calls", "errors", "input_tokens", "output_tokens", "cache_read_tokens")
        assert SUMS[name] == Totals(*(sum(getattr(sums, field) for sums in by_model) for field in fields))

    @pytest.mark.parametrize("name", WORKLOADS)
    def test_is_in_order_of_time(self, name: str) -> None:
        """Workers rely on ascending times, none before the start."""
        times = [request.at for request in load(name)]
        assert times == sorted(times)
        assert times[0] >= 0.0

    @pytest.mark.parametrize("name", WORKLOADS)
    def test_reads_no_more_from_the_cache_than_it_sends(self, name: str) -> None:
        """Cache-read tokens are a part of the input, and the first token comes before the last."""
        for request in load(name):
            assert 0 <= request.cache_read_tokens <= request.input_tokens
            if request.duration is not None and request.time_to_first_token is not None:
                assert 0.0 <= request.time_to_first_token <= request.duration

    @pytest.mark.parametrize("name", WORKLOADS)
    def test_has_a_price_for_every_model(self, name: str) -> None:
        """Expected costs cover all models, and each is above zero."""
        requests = load(name)
        costs = expected_cost(requests)
        assert list(costs) == list(totals(requests))
        assert all(cost > 0 for cost in costs.values())


class TestTotals:
    """Sums by model."""

    def test_are_kept_apart_by_model_and_sorted(self) -> None:
        """Each model has its own sums, in order of the names."""
        requests = [
            Request("a", 0.0, "m2", "p", 10, 1, 4),
            Request("a", 1.0, "m1", "p", 20, 2, 0, error_type="429"),
            Request("b", 2.0, "m2", "p", 30, 3, 5),
        ]
        sums = totals(requests)
        assert list(sums) == ["m1", "m2"]
        assert Totals(1, 1, 20, 2, 0) == sums["m1"]
        assert Totals(2, 0, 40, 4, 9) == sums["m2"]


class TestExpectedCost:
    """Costs as genai-prices computes them."""

    def test_charges_cached_input_and_long_prompts_at_their_own_rates(self) -> None:
        """Claude Sonnet 4.5: $3, 0.30 and 15 a million tokens; $6, 0.60 and 22.50 above 200 000 of input."""
        short = Request("", 0.0, "claude-sonnet-4-5-20250929", "anthropic", 100_000, 1000, 50_000)
        long = Request("", 0.0, "claude-sonnet-4-5-20250929", "anthropic", 300_000, 1000, 50_000)
        assert {short.model: Decimal("0.18")} == expected_cost([short])
        assert {short.model: Decimal("0.18") + Decimal("1.5525")} == expected_cost([short, long])

    def test_knows_gemini_by_its_opentelemetry_name(self) -> None:
        """``gcp.gemini`` is what the price table calls google."""
        request = Request("", 0.0, "gemini-2.5-pro", "gcp.gemini", 100_000, 0, 0)
        assert expected_cost([request]) == {"gemini-2.5-pro": Decimal("0.125")}

    def test_leaves_out_models_without_a_price(self) -> None:
        """An unknown model is absent, not free."""
        assert expected_cost([Request("", 0.0, "no-such-model", "no-such-provider", 1000, 10, 0)]) == {}


class TestMode:
    """The mode that a session belongs to."""

    def test_spreads_sessions_over_all_modes_and_never_changes(self) -> None:
        """The mode depends on the session alone; 60 sessions reach every mode."""
        modes = {f"tenant-{i}": Request(f"tenant-{i}", 0.0, "m", "p", 1, 1, 0).mode for i in range(60)}
        assert set(MODES) == set(modes.values())
        assert modes["tenant-7"] == Request("tenant-7", 9.9, "other", "q", 5, 5, 5).mode
        assert modes["tenant-7"] == "3"  # crc32, not hash(): the same in every process
