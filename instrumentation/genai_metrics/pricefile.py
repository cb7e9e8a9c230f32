"""The price of a model, and the user's own price list: a YAML file.

Imports the standard library and ``yamlfile``; PyYAML is loaded only when a file is read.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from genai_metrics.yamlfile import read
from genai_metrics.yamlvalues import Section, YamlError

_PER_MILLION = 1e6
# A typing error of six digits must not become a bill: the dearest list price known is below $1 000 per
# million.
_HIGHEST_USD = 1e6

_RATE_KEYS = (
    "input_per_1m_usd",
    "output_per_1m_usd",
    "cache_read_per_1m_usd",
    "cache_write_per_1m_usd",
    "reasoning_per_1m_usd",
    "request_usd",
)
_ENTRY_KEYS = ("model", "provider", *_RATE_KEYS, "tiers")
_TIER_KEYS = ("above_input_tokens", *_RATE_KEYS)
# Of keys that name another unit (LiteLLM: input_cost_per_token), the unit and what its price is multiplied by.
_MILLION = re.compile(r"1_?m|million|mtok|1_?000_?000")
_OTHER_UNITS = (
    (re.compile(r"1_?k|1_?000|thousand|ktok"), "thousand tokens", 1_000),
    (re.compile(r"per_?(?:1_)?tok|token_(?:cost|price|usd)"), "token", 1_000_000),
)

# OpenTelemetry's gen_ai.provider.name and older gen_ai.system, LiteLLM's. Some of them
# genai-prices would take for another provider: it finds "openai" in "azure.ai.openai".
PROVIDER_SPELLINGS = {
    "aws.bedrock": "aws",
    "aws_bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "cohere_chat": "cohere",
    "fireworks_ai": "fireworks",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "mistral_ai": "mistral",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "text-completion-openai": "openai",
    "together_ai": "together",
    "x_ai": "x-ai",
    "xai": "x-ai",
}
"""Spellings of providers in use, in lower case, and the name that genai-prices has."""


class PriceFileError(ValueError):
    """A price file that cannot be used; the text names file, line and key, and says what to do."""


def canonical_provider(name: str) -> str:
    """Name that genai-prices uses for the provider called ``name``; other names come back in lower case."""
    lower = name.strip().lower()
    if lower.startswith("azure"):  # azure.ai.openai, azure.ai.inference, azure_openai, azure_ai, azure-openai
        return "azure"
    return PROVIDER_SPELLINGS.get(lower, lower)


@dataclass(frozen=True, slots=True)
class Price:
    """What one model charges: US dollars per token (not per thousand or million); immutable.

    ``input`` is for input tokens that are neither read from nor written to the provider's prompt cache;
    ``reasoning`` for the output tokens spent on reasoning, ``output`` for the others; ``request`` is per
    call. ``tiers`` are (start, price) with ascending starts: a call with more than ``start`` input tokens,
    cached ones included, is priced wholly by that tier. ``expires_at`` is the ``time.time()`` from which the
    price must be resolved again, because its table changes by date or time of day; None when it never does.
    """

    input: float
    cache_read: float
    cache_write: float
    output: float
    reasoning: float
    request: float = 0.0
    tiers: "tuple[tuple[int, Price], ...]" = ()
    expires_at: float | None = None
    source: Literal["file", "genai-prices"] = "file"
    rates: tuple[float, float, float, float, float, float, float] = field(init=False, repr=False, compare=False)
    """The six prices in the order of the fields and what a token read from the cache saves.

    One object, so that a thousand series of a model share it.
    """

    def __post_init__(self) -> None:
        """Gather the rates."""
        saved = max(self.input - self.cache_read, 0.0)
        rates = (self.input, self.cache_read, self.cache_write, self.output, self.reasoning, self.request, saved)
        object.__setattr__(self, "rates", rates)

    def for_input(self, input_tokens: float) -> "Price":
        """Price, a tier or this one, for a call with ``input_tokens`` input tokens, cached ones included."""
        for start, price in reversed(self.tiers):
            if input_tokens > start:
                return price
        return self


@dataclass(frozen=True)
class Entry:
    """One item of a price file: whom it prices and the price. ``model`` and ``provider`` are lower case."""

    model: str
    provider: str | None
    price: Price

    def matches(self, provider: str | None, model: str) -> bool:
        """Whether the entry holds for ``model`` of ``provider``; upper and lower case are equal."""
        if self.provider is not None:
            if provider is None:
                return False
            # An entry for "google" holds for "gcp.vertex_ai", but one for "gcp.vertex_ai" not for
            # "gcp.gemini".
            if self.provider not in (provider.strip().lower(), canonical_provider(provider)):
                return False
        # Only * is special: model names contain [ and ? rarely, and then they mean themselves.
        pattern = self.model.replace("[", "[[]").replace("?", "[?]")
        return fnmatchcase(model.strip().lower(), pattern)


@dataclass(frozen=True)
class PriceFile:
    """A price file that has been read; immutable, safe to share between threads."""

    path: Path
    entries: tuple[Entry, ...]

    def find(self, provider: str | None, model: str) -> Price | None:
        """Price of the first entry that matches, or None; ``provider`` None matches entries without one."""
        for entry in self.entries:
            if entry.matches(provider, model):
                return entry.price
        return None


def load_price_file(path: Path) -> PriceFile:
    """Read the price file at ``path``.

    Raises ``PriceFileError`` for everything that is wrong with it: missing, unreadable, not YAML, an unknown,
    missing or repeated key, a price that is negative, not a number or above a million dollars.
    """
    try:
        root = read(path)
        root.check_keys(("prices",))
        if not root.has("prices"):
            raise root.error("missing key 'prices'; add a list of prices under it")
        return PriceFile(path, tuple(_entry(section) for section in root.sections("prices")))
    except YamlError as error:
        raise PriceFileError(str(error)) from error


def _entry(section: Section) -> Entry:
    _check_keys(section, _ENTRY_KEYS)
    model = section.text("model").strip().lower()
    provider = section.text("provider", None)
    # A forgotten output price would be a price of 0: whoever means 0 writes it.
    own = _rates(section, required=("input_per_1m_usd", "output_per_1m_usd"))
    tiers: dict[int, Price] = {}
    for tier in section.sections("tiers"):
        _check_keys(tier, _TIER_KEYS)
        start = tier.integer("above_input_tokens", minimum=0)
        if start in tiers:
            raise tier.error(f"a tier above {start} input tokens is given twice; remove one", "above_input_tokens")
        rates = _rates(tier)
        if not rates:
            raise tier.error(f"{tier.key} has no price; add one or more of {', '.join(_RATE_KEYS)}")
        tiers[start] = _price({**own, **rates})
    ascending = tuple((start, tiers[start]) for start in sorted(tiers))
    return Entry(model, provider and provider.strip().lower(), _price(own, ascending))


def _check_keys(section: Section, allowed: Collection[str]) -> None:
    """Refuse unknown keys; a name for a price is suggested with its unit, or the number behind it would be wrong."""
    for key in section.keys():  # noqa: SIM118
        name = key.lower()
        # The longer names first: an input token may be one that is read from the cache.
        meant = next((rate for rate in reversed(_RATE_KEYS[:5]) if rate.removesuffix("_per_1m_usd") in name), None)
        if key in allowed or meant is None or name.startswith("above"):
            continue
        remedy = f"did you mean {meant!r}, US dollars per million tokens?"
        for pattern, unit, factor in _OTHER_UNITS:
            if pattern.search(name) and not _MILLION.search(name):
                remedy = f"prices are per million tokens: multiply a price per {unit} by {factor} and write {meant}"
                break
        raise section.error(f"unknown key {key!r} in {section.key}; {remedy}", key)
    section.check_keys(allowed)


def _rates(section: Section, required: tuple[str, ...] = ()) -> dict[str, float]:
    """Prices that the section gives, as written, by key; absent keys that are not required are left out."""
    rates = {}
    for key in _RATE_KEYS:
        if key in required or section.has(key):
            rates[key] = section.number(key, minimum=0.0, maximum=_HIGHEST_USD)
    return rates


def _price(rates: Mapping[str, float], tiers: tuple[tuple[int, Price], ...] = ()) -> Price:
    plain_input = rates["input_per_1m_usd"]
    output = rates["output_per_1m_usd"]
    return Price(
        input=plain_input / _PER_MILLION,
        cache_read=rates.get("cache_read_per_1m_usd", plain_input) / _PER_MILLION,
        cache_write=rates.get("cache_write_per_1m_usd", plain_input) / _PER_MILLION,
        output=output / _PER_MILLION,
        reasoning=rates.get("reasoning_per_1m_usd", output) / _PER_MILLION,
        request=rates.get("request_usd", 0.0),
        tiers=tiers,
    )
