"""Prices agree with genai-prices for every model that it knows, and hold until they expire."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from hypothesis import given
from hypothesis import strategies as st

from genai_metrics.pricing import Price, PriceResolver

NOWS = tuple(
    datetime(*when, tzinfo=UTC).timestamp()
    for when in ((2024, 6, 1, 3, 0), (2026, 8, 17, 17, 0), (2026, 11, 20, 12, 30), (2027, 6, 1, 23, 59))
)

# input, cache read, cache write, output, reasoning
Tokens = tuple[int, int, int, int, int]
SMALL: tuple[Tokens, ...] = (
    (0, 0, 0, 0, 0),
    (1_000, 0, 0, 500, 0),
    (1_000, 300, 200, 500, 120),
    (777, 777, 0, 9, 9),
    (1_001, 0, 1_001, 0, 0),
)


def cost(price: Price, tokens: Tokens) -> float:
    """Cost of a call in US dollars, as DESIGN defines it."""
    total, read, write, output, reasoning = tokens
    rates = price.for_input(total)
    return (
        (total - read - write) * rates.input
        + read * rates.cache_read
        + write * rates.cache_write
        + (output - reasoning) * rates.output
        + reasoning * rates.reasoning
        + rates.request
    )


def expected_cost(tokens: Tokens, model: str, provider: str | None, now: float) -> float:
    """The same from genai-prices."""
    total, read, write, output, reasoning = tokens
    usage = genai_prices.Usage(
        input_tokens=total,
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=output,
        output_reasoning_tokens=reasoning,
    )
    at = datetime.fromtimestamp(now, UTC)
    found = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
    return float(found.total_price)


@pytest.fixture
def faults() -> list[tuple[str, str]]:
    """Faults that a resolver told."""
    return []


@pytest.fixture
def resolver(faults: list[tuple[str, str]]) -> PriceResolver:
    """A resolver without price file."""
    return PriceResolver(on_fault=lambda reason, message: faults.append((reason, message)))


@pytest.fixture
def renamed() -> Iterator[list[tuple[Provider, ModelInfo, str]]]:
    """All models of genai-prices, each under a name of its own: none hides behind another's pattern."""
    models: list[tuple[Provider, ModelInfo, str]] = []
    providers = []
    for provider in get_snapshot().providers:
        own = []
        for index, model in enumerate(provider.models):
            name = f"model-{index}"
            own.append(replace(model, match=ClauseEquals(equals=name)))
            models.append((provider, own[-1], name))
        providers.append(replace(provider, models=own, fallback_model_providers=None))
    set_custom_snapshot(DataSnapshot(providers=providers, from_auto_update=False))
    yield models
    set_custom_snapshot(None)


@contextmanager
def only(model: ModelInfo) -> Iterator[None]:
    """Let genai-prices know nothing but ``model``, of a provider ``p``."""
    provider = Provider(id="p", name="P", api_pattern="p", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
    try:
        yield
    finally:
        set_custom_snapshot(None)


class TestAgainstGenaiPrices:
    """The arithmetic of ``Price`` is that of ``genai_prices.calc_price``."""

    def test_every_model_costs_the_same(
        self,
        resolver: PriceResolver,
        renamed: list[tuple[Provider, ModelInfo, str]],
        faults: list[tuple[str, str]],
    ) -> None:
        """Every model, at several times, below and above every tier, with cached and reasoning tokens."""
        checked = tiered = reasoning = requests = 0
        for provider, model, name in renamed:
            for now in NOWS if isinstance(model.prices, list) else NOWS[:1]:
                price = resolver.resolve(provider.id, name, now)
                if price is None:
                    continue
                usages = list(SMALL)
                for start, _ in price.tiers:
                    for total in (start, start + 1):
                        usages.append((total, total // 3, total // 5, 900, 300))
                for tokens in usages:
                    expected = expected_cost(tokens, name, provider.id, now)
                    assert cost(price, tokens) == pytest.approx(expected, rel=1e-12, abs=0), (
                        provider.id,
                        model.id,
                        tokens,
                        now,
                    )
                tiered += bool(price.tiers)
                reasoning += price.reasoning != price.output
                requests += price.request > 0
            checked += 1
        assert checked == len(renamed) >= 2_000
        assert min(tiered, reasoning, requests) > 0
        assert faults == []

    def test_models_without_a_token_price_are_unknown_unless_they_are_free(
        self, resolver: PriceResolver, renamed: list[tuple[Provider, ModelInfo, str]]
    ) -> None:
        """None exactly where no table prices tokens; zeros only where genai-prices calls the model free."""
        free = unknown = 0
        for provider, model, name in renamed:
            price = resolver.resolve(provider.id, name, NOWS[2])
            table = model.get_prices(datetime.fromtimestamp(NOWS[2], UTC))
            if table.input_mtok is not None or table.output_mtok is not None:
                assert price is not None, model.id
                continue
            if price is None:
                unknown += 1
            else:
                free += 1
                assert [value for value in vars(table).values() if value is not None] == []
                assert "free" in f"{model.id} {model.name} {model.price_comments}".lower()
                assert price == Price(0.0, 0.0, 0.0, 0.0, 0.0, source="genai-prices")
        assert free > 100
        assert unknown > 20

    def test_a_price_holds_until_it_expires(
        self, resolver: PriceResolver, renamed: list[tuple[Provider, ModelInfo, str]]
    ) -> None:
        """Up to ``expires_at`` genai-prices uses the same table; where it has dates ahead, there is an expiry."""
        expiring = 0
        for provider, model, name in renamed:
            if isinstance(model.prices, ModelPrice):
                price = resolver.resolve(provider.id, name, NOWS[0])
                assert price is None or price.expires_at is None
                continue
            for now in NOWS:
                price = resolver.resolve(provider.id, name, now)
                if price is None:
                    continue
                here = model.get_prices(datetime.fromtimestamp(now, UTC))
                end = price.expires_at if price.expires_at is not None else now + 30 * 365 * 86_400
                assert end > now
                expiring += price.expires_at is not None
                for moment in (now + (end - now) / 2, end - 0.001):
                    assert model.get_prices(datetime.fromtimestamp(moment, UTC)) is here
        assert expiring > 100


class TestTiers:
    """A tier prices the whole call, and begins above its start."""

    def test_a_key_without_tiers_keeps_its_price(self, resolver: PriceResolver) -> None:
        """Starts that differ by key are all honoured."""
        table = ModelPrice(
            input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(200, Decimal(4)), Tier(100, Decimal(2))]),
            output_mtok=TieredPrices(base=Decimal(10), tiers=[Tier(150, Decimal(20))]),
            cache_read_mtok=Decimal("0.5"),
            requests_kcount=Decimal(5),
        )
        with only(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=table)):
            price = resolver.resolve("p", "m")
            assert price is not None
            assert [start for start, _ in price.tiers] == [100, 150, 200]
            for total in (0, 100, 101, 150, 151, 200, 201, 10_000):
                tokens = (total, total // 2, total // 4, 70, 0)
                expected = expected_cost(tokens, "m", "p", NOWS[0])
                assert cost(price, tokens) == pytest.approx(expected, rel=1e-12)

    def test_the_start_itself_is_below_the_tier(self) -> None:
        """``for_input`` compares with greater than, as providers do."""
        tier = Price(2.0, 2.0, 2.0, 2.0, 2.0)
        price = Price(1.0, 1.0, 1.0, 1.0, 1.0, tiers=((100, tier),))
        assert price.for_input(100) is price
        assert price.for_input(101) is tier


times = st.times(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=5))]))
constraints = st.one_of(
    st.builds(StartDateConstraint, st.dates(date(2026, 11, 1), date(2026, 11, 30))),
    st.builds(TimeOfDateConstraint, times, times),
)
moments = st.datetimes(datetime(2026, 11, 5), datetime(2026, 11, 25), timezones=st.just(UTC))


class TestExpiry:
    """``expires_at`` is the next instant at which a constraint changes."""

    @given(chosen=st.lists(constraints, min_size=1, max_size=4), at=moments)
    def test_the_table_is_constant_until_the_price_expires(
        self, chosen: list[StartDateConstraint | TimeOfDateConstraint], at: datetime
    ) -> None:
        """Any mix of dates and times of day, with offsets and over midnight."""
        now = at.timestamp()
        rows = [ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(0)))]
        rows += [
            ConditionalPrice(constraint, prices=ModelPrice(input_mtok=Decimal(number)))
            for number, constraint in enumerate(chosen, start=1)
        ]
        model = ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=rows)
        with only(model):
            price = PriceResolver().resolve("p", "m", now)
        assert price is not None
        end = price.expires_at if price.expires_at is not None else now + 60 * 86_400
        assert now < end
        here = model.get_prices(datetime.fromtimestamp(now, UTC))
        assert isinstance(here.input_mtok, Decimal)
        assert float(here.input_mtok) / 1e6 == price.input
        for part in range(200):
            moment = now + max(0.0, end - now - 0.0005) * part / 199
            assert model.get_prices(datetime.fromtimestamp(moment, UTC)) is here

    def test_off_peak_hours(self, resolver: PriceResolver) -> None:
        """A price by night expires in the morning, and the price by day in the evening."""
        hours = TimeOfDateConstraint(time(22, 0), time(6, 0))
        rows = [
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2))),
            ConditionalPrice(hours, prices=ModelPrice(input_mtok=Decimal(1))),
        ]
        with only(ModelInfo(id="m", match=ClauseEquals(equals="m"), prices=rows)):
            night = resolver.resolve("p", "m", datetime(2026, 11, 20, 23, 0, tzinfo=UTC).timestamp())
            assert night is not None
            assert night.input == 1e-6
            assert night.expires_at == datetime(2026, 11, 21, 6, 0, tzinfo=UTC).timestamp()
            day = resolver.resolve("p", "m", night.expires_at)
            assert day is not None
            assert day.input == 2e-6
            assert day.expires_at == datetime(2026, 11, 21, 22, 0, tzinfo=UTC).timestamp()
