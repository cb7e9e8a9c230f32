"""What has been billed, by provider and model: exact, since everything that is sent goes through here.

Lives on the event loop; not for threads.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

Price = Callable[[str, str, "Usage"], Decimal | None]
"""What a usage costs at a provider's model in US dollars, ``None`` when the price is not known."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer: input includes what was read from and written to the cache, output includes reasoning."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


_FIELDS = tuple(Usage.__slots__)


@dataclass(slots=True)
class _Sum:
    """Tokens, and their cost where it is noted."""

    tokens: Counter[str] = field(default_factory=Counter)
    cost: Decimal = Decimal(0)
    unpriced: int = 0

    def add(self, usage: Usage, cost: Decimal | None) -> None:
        """Add one answer's."""
        for name in _FIELDS:
            self.tokens[name] += getattr(usage, name)
        if cost is None:
            self.unpriced += 1
        else:
            self.cost += cost

    def as_json(self, with_cost: bool) -> dict[str, Any]:
        """Return the sums by their names in the ledger."""
        sums: dict[str, Any] = {name: self.tokens[name] for name in _FIELDS}
        return sums | ({"cost_usd": float(self.cost), "unpriced": self.unpriced} if with_cost else {})


@dataclass(slots=True)
class _Account:
    """All requests for one model."""

    requests: int = 0
    succeeded: int = 0
    aborted: int = 0
    in_flight: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    billed: _Sum = field(default_factory=_Sum)
    of_aborted: _Sum = field(default_factory=_Sum)


class Bill:
    """One request under way; exactly one of its methods settles it, later ones change nothing."""

    def __init__(self, account: _Account, price: Callable[[Usage], Decimal | None]) -> None:
        self._account = account
        self._price = price
        self._open = True
        account.requests += 1
        account.in_flight += 1

    def succeeded(self, usage: Usage) -> None:
        """Bill a whole answer."""
        if self._settle():
            self._account.succeeded += 1
            self._account.billed.add(usage, self._price(usage))

    def aborted(self, usage: Usage) -> None:
        """Bill what was sent to a client that went away."""
        if self._settle():
            cost = self._price(usage)
            self._account.aborted += 1
            self._account.billed.add(usage, cost)
            self._account.of_aborted.add(usage, cost)

    def failed(self, error: str) -> None:
        """Bill nothing: the request was answered with that status, or ``closed`` without an answer."""
        if self._settle():
            self._account.errors[error] += 1

    def _settle(self) -> bool:
        was_open, self._open = self._open, False
        if was_open:
            self._account.in_flight -= 1
        return was_open


class Ledger:
    """The accounts of all models; costs are noted when there is a ``price``."""

    def __init__(self, price: Price | None = None) -> None:
        self._price = price
        self._accounts: dict[tuple[str, str], _Account] = {}

    def open(self, provider: str, model: str) -> Bill:
        """Begin the bill of a request that has come in."""
        account = self._accounts.setdefault((provider, model), _Account())
        price = self._price
        if price is None:
            return Bill(account, lambda usage: Decimal(0))
        return Bill(account, lambda usage: price(provider, model, usage))

    def clear(self) -> None:
        """Begin anew; requests under way are in no account then."""
        self._accounts.clear()

    def as_json(self) -> dict[str, Any]:
        """Return the accounts by ``provider/model``, sorted."""
        noted = self._price is not None
        return {
            "models": {
                f"{provider}/{model}": {
                    "requests": account.requests,
                    "succeeded": account.succeeded,
                    "errors": dict(sorted(account.errors.items())),
                    "aborted": account.aborted,
                    "in_flight": account.in_flight,
                    **account.billed.as_json(noted),
                    "aborted_tokens": account.of_aborted.as_json(noted),
                }
                for (provider, model), account in sorted(self._accounts.items())
            }
        }
