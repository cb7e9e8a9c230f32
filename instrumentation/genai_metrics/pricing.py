"""Price resolution: (provider, model) to a price, from the user's price file, then from genai-prices' data.

Nothing here asks the network. genai-prices and PyYAML are imported when they are first needed, never before.
"""

import importlib.util
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import TYPE_CHECKING

from genai_metrics.pricefile import Price, PriceFile, PriceFileError, canonical_provider, load_price_file

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, Provider, TieredPrices

__all__ = ["Price", "PriceResolver", "warm_up"]

_logger = logging.getLogger(__name__)

_PER_MILLION = 1e6
_PER_THOUSAND = 1e3

# Names of Amazon Bedrock: a vendor, a dot and a model, with or without a region in front, or a resource name.
_BEDROCK_MODEL = re.compile(
    r"(?:[a-z-]+\.)?(?:ai21|amazon|anthropic|cohere|deepseek|meta|minimax|mistral|moonshotai?|nvidia|openai|"
    r"qwen|writer)\.[a-z]|arn:aws[a-z-]*:bedrock:"
)
# "google/gemma-3-27b-it" names an open model that many serve, not the free offer of Google's own API.
_OPEN_MODEL_ORGANISATIONS = frozenset({"google", "meta"})
# genai-prices has an empty table for free models (":free", "Gemma 3 (free)"), but also for some whose price it
# does not know.
_FREE = re.compile(r"\bfree\b", re.IGNORECASE)
_NO_PROVIDER = frozenset({"", "unknown", "litellm"})
# Before genai-prices existed: the files of a reproducible build claim to be from 1970 or 1980.
_FIRST_RELEASE = datetime(2025, 7, 1, tzinfo=UTC).timestamp()


def _log_fault(reason: str, message: str) -> None:
    _logger.warning("genai_metrics: %s (%s)", message, reason)


class PriceResolver:
    """Finds prices: first in the price file, if one is given, then in the data of the installed genai-prices.

    The price file is read once, here. A file that cannot be used, missing genai-prices and failures inside it
    are each told once to ``on_fault(reason, message)`` (reasons ``price_file`` and ``price_data``), possibly
    before the constructor returns; resolution goes on with what is left. Nothing raises. Threads may share a
    resolver.
    """

    def __init__(self, price_file: Path | None = None, *, on_fault: Callable[[str, str], None] = _log_fault) -> None:
        self._on_fault = on_fault
        self._told: set[str] = set()
        self._file: PriceFile | None = None
        if price_file is not None:
            try:
                self._file = load_price_file(price_file)
            except PriceFileError as error:
                self._fault("price_file", str(error))
            except Exception as error:
                self._fault("price_file", f"{price_file}: {error!r}; prices of this file are not used")

    def resolve(self, provider: str | None, model: str, now: float | None = None) -> Price | None:
        """Price of ``model`` at ``provider`` at the time ``now`` (as ``time.time()``; None: the present).

        None means that the price is unknown, which is never the same as free. With a provider that
        genai-prices knows, only that provider's list counts. Provider None, "unknown" or empty: by the
        model's name alone. The first call imports genai-prices (about 0.3 s, unless ``warm_up`` ran); a call
        takes up to a millisecond, so callers keep the answer until its ``expires_at``.
        """
        try:
            price = self._file.find(provider, model) if self._file is not None else None
        except Exception as error:
            self._fault("price_file", f"{error!r} while looking for {model!r}")
            price = None
        if price is not None:
            return price
        try:
            return _from_genai_prices(provider, model, time.time() if now is None else now)
        except ModuleNotFoundError as error:
            remedy = 'run: pip install "genai-exporter[prices]", or list your models in a price file'
            self._fault("price_data", f"genai-prices cannot be imported ({error}); {remedy}")
        except Exception as error:
            self._fault("price_data", f"genai-prices failed for {model!r}: {error!r}; put it in a price file")
        return None

    def data_age_seconds(self, now: float | None = None) -> float | None:
        """Seconds since the installed genai-prices data was unpacked; None when it is not known.

        The source is the modification time of ``genai_prices/data.py``. The release does not carry its date,
        so this is the least age that the prices can have: a release that was old when installed is older.
        Imports nothing.
        """
        try:
            spec = importlib.util.find_spec("genai_prices")
            if spec is None or spec.origin is None:
                return None
            unpacked = Path(spec.origin).with_name("data.py").stat().st_mtime
        except (ImportError, OSError, ValueError):
            return None
        if unpacked < _FIRST_RELEASE:
            return None
        return max(0.0, (time.time() if now is None else now) - unpacked)

    def _fault(self, reason: str, message: str) -> None:
        if reason in self._told:
            return
        self._told.add(reason)
        try:
            self._on_fault(reason, message)
        except Exception:
            _logger.debug("the fault handler failed", exc_info=True)


def warm_up() -> None:
    """Import genai-prices and load its data (about 0.3 s), so that the first call need not; never raises.

    Does nothing where genai-prices is not installed: a resolver says so when it misses it.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot

        get_snapshot()
    except Exception:
        _logger.debug("genai-prices could not be loaded", exc_info=True)


def _from_genai_prices(provider: str | None, model: str, now: float) -> Price | None:
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import ModelPrice

    found = _find_model(get_snapshot().providers, provider, model.strip().lower())
    if found is None or not found.prices:
        return None
    at = datetime.fromtimestamp(now, UTC)
    expires_at = None if isinstance(found.prices, ModelPrice) else _next_change(found.prices, at)
    table = found.get_prices(at)
    if _is_empty(table):
        # Google gives some open models away on its Gemini API; the same models cost money on Vertex AI.
        free = _says_free(found) and "vertex" not in (provider or "").lower()
        return Price(0.0, 0.0, 0.0, 0.0, 0.0, expires_at=expires_at, source="genai-prices") if free else None
    return _price(table, expires_at)


def _find_model(providers: "list[Provider]", provider: str | None, model: str) -> "ModelInfo | None":
    # Not genai_prices.calc_price: it caches every name it is asked for, known or not, for ever.
    from genai_prices.data_snapshot import find_provider_by_id

    def known(name: str) -> "Provider | None":
        return find_provider_by_id(providers, canonical_provider(name))

    prefix, slash, rest = model.partition("/")
    if provider is not None and provider.strip().lower() not in _NO_PROVIDER:
        table = known(provider)
    elif _BEDROCK_MODEL.match(model):
        table = known("aws")
    elif slash and prefix not in _OPEN_MODEL_ORGANISATIONS and _has(providers, canonical_provider(prefix)):
        table = known(prefix)
    else:
        table = next((p for p in providers if p.model_match and p.model_match.is_match(model)), None)
    if table is None:
        return None
    names = [model]
    if slash:
        # "openai/gpt-4o" at OpenAI, and at Azure, which sells OpenAI's models
        named = known(prefix)
        if named is not None and named.id in (table.id, *(table.fallback_model_providers or ())):
            names.append(rest)
        # "models/gemini-2.5-pro", "projects/…/publishers/anthropic/models/claude-sonnet-4"
        if "models/" in model:
            names.append(model.rpartition("models/")[2])
    matches = (table.find_model(name, all_providers=providers) for name in names)
    return next((match for match in matches if match is not None), None)


def _has(providers: "list[Provider]", name: str) -> bool:
    return any(provider.id == name for provider in providers)


def _is_empty(table: "ModelPrice") -> bool:
    return all(value is None for value in vars(table).values())


def _says_free(model: "ModelInfo") -> bool:
    return any(_FREE.search(text) for text in (model.id, model.name or "", model.price_comments or ""))


def _price(table: "ModelPrice", expires_at: float | None) -> Price | None:
    """Price that the table comes to, or None when it has no price for tokens."""
    if table.input_mtok is None and table.output_mtok is None:
        return None  # sold by the hour, page or character, which tokens do not tell
    starts = sorted({tier.start for value in vars(table).values() for tier in getattr(value, "tiers", ())})
    tiers = tuple((start, _rates(table, start, (), expires_at)) for start in starts)
    return _rates(table, None, tiers, expires_at)


def _rates(
    table: "ModelPrice",
    start: int | None,
    tiers: tuple[tuple[int, Price], ...],
    expires_at: float | None,
) -> Price:
    """Rates for calls of more than ``start`` input tokens; ``start`` None: those below every tier."""

    from genai_prices.types import TieredPrices

    def rate(value: "Decimal | TieredPrices | None", otherwise: float, per: float = _PER_MILLION) -> float:
        if value is None:
            return otherwise
        if not isinstance(value, TieredPrices):
            return float(value) / per
        amount = value.base
        for tier in value.tiers:  # ascending: the last one that is reached counts
            if start is not None and start >= tier.start:
                amount = tier.price
        return float(amount) / per

    plain_input = rate(table.input_mtok, 0.0)
    output = rate(table.output_mtok, 0.0)
    return Price(
        input=plain_input,
        cache_read=rate(table.cache_read_mtok, plain_input),
        cache_write=rate(table.cache_write_mtok, plain_input),
        output=output,
        reasoning=rate(table.output_reasoning_mtok, output),
        request=rate(table.requests_kcount, 0.0, _PER_THOUSAND),
        tiers=tiers,
        expires_at=expires_at,
        source="genai-prices",
    )


def _next_change(prices: "Sequence[ConditionalPrice]", at: datetime) -> float | None:
    """First instant after ``at`` at which a constraint begins or ceases to hold; None if there is none."""
    moments = (moment for price in prices for moment in _changes(price, at.date()))
    return min((moment.timestamp() for moment in moments if moment > at), default=None)


def _changes(price: "ConditionalPrice", today: date) -> Iterator[datetime]:
    from genai_prices.types import StartDateConstraint

    if price.constraint is None:
        return
    if isinstance(price.constraint, StartDateConstraint):
        yield datetime.combine(price.constraint.start_date, time_of_day.min, UTC)
        return
    for edge in (price.constraint.start_time, price.constraint.end_time):
        # As genai-prices reads it: the offset of 1970, UTC when there is none.
        zoned = edge if edge.tzinfo is not None else edge.replace(tzinfo=UTC)
        utc = datetime.combine(date(1970, 1, 1), zoned).astimezone(UTC).timetz()
        yield datetime.combine(today, utc)
        yield datetime.combine(today + timedelta(days=1), utc)
