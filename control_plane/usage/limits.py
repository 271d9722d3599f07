"""What may be limited, and what tokens cost. Pure: no storage, no clock. Costs are whole micro-units of a currency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from edgewise.routing.tier import TierKind

NUMBER_MAX = 10**15
"""Far below 2^53, up to which the counters' server calculates exactly."""

TENANT_MAX_CHARS = 64
ScopeKind = Literal["key", "tenant"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The limits of one key or one tenant; None is no limit. Days and months are those of UTC.

    Tokens are prompt and completion together; `concurrent` counts answers that run; costs are micro-units.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    tokens_total: int | None = None
    cost_per_day: int | None = None
    cost_per_month: int | None = None
    cost_total: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return self != NO_LIMITS

    @property
    def budgeted(self) -> bool:
        """Whether a budget is among them: one that outlasts the minute."""
        return any(getattr(self, name) is not None for name in BUDGETS)


NO_LIMITS = Limits()
FIELDS = Limits.__struct_fields__
RATES = ("requests_per_minute", "tokens_per_minute")
BUDGETS = FIELDS[3:]
WINDOWS = ("dt", "mt", "at", "dx", "mx", "ax")
"""The counters' short names of BUDGETS, in the same order: day, month, all; t for tokens, x for cost."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Micro-units for 1000 tokens."""

    prompt_per_1k: int = 0
    completion_per_1k: int = 0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Micro-units, rounded up: no answer is free because it is short."""
        return -(-(prompt_tokens * self.prompt_per_1k + completion_tokens * self.completion_per_1k) // 1000)

    def pays_for(self, prompt_tokens: int, cost: int) -> int | None:
        """The most completion tokens that cost no more than `cost` with their prompt, at least 0; None: any number."""
        left = 1000 * cost - prompt_tokens * self.prompt_per_1k
        if left < 0:
            return 0
        return left // self.completion_per_1k if self.completion_per_1k else None


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What each kind of tier costs; nothing until it is configured."""

    edge: Price = Price()
    cloud: Price = Price()

    def cost(self, kind: str, prompt_tokens: int, completion_tokens: int) -> int:
        """What an answer of this kind of tier costs; nothing where no tier spoke."""
        price = self._by_kind.get(kind)
        return price.cost(prompt_tokens, completion_tokens) if price else 0

    def worst(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What it may cost at most, whoever speaks."""
        kinds: tuple[TierKind, ...] = ("edge", "cloud")
        return max(self.cost(kind, prompt_tokens, completion_tokens) for kind in kinds)

    def pays_for(self, kinds: Iterable[TierKind], prompt_tokens: int, cost: int) -> int | None:
        """The most completion tokens that cost no more than `cost`, whichever of these kinds speaks; None: any."""
        bounds = (self._by_kind[kind].pays_for(prompt_tokens, cost) for kind in kinds)
        return min((bound for bound in bounds if bound is not None), default=None)

    @property
    def _by_kind(self) -> Mapping[str, Price]:
        return {"edge": self.edge, "cloud": self.cloud}


FREE = Prices()


def parse_prices(text: str) -> Prices:
    """Prices from JSON. Raises ValueError."""
    try:
        prices = msgspec.json.decode(text, type=Prices)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if not prices_fit(prices):
        raise ValueError("prices must be whole numbers from 0 to 10^9")
    return prices


def prices_fit(prices: Prices) -> bool:
    """Whether every price is a number that the counters can carry."""
    numbers = (number for price in (prices.edge, prices.cloud) for number in msgspec.structs.astuple(price))
    return all(0 <= number <= 10**9 for number in numbers)


def scope_name(kind: ScopeKind, name: str) -> str:
    """How a key or a tenant is called in the counters and in SQL."""
    return f"{kind}:{name}"
