"""From the counters' refusals to errors that say which limit, how far, and when to come back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from control_plane.usage.charges import date_of
from control_plane.usage.counters import Rate, Refused
from edgewise.wire.errors import (
    BudgetExceededError,
    ConcurrencyLimitError,
    LimitsUnavailableError,
    NotFoundError,
    RateLimitedError,
    RateState,
    RequestOverLimitError,
)

BUSY_RETRY_S = 1.0
_WHOSE = ("of this key", "of this key's tenant")
_WORDS = {
    "requests_per_minute": "requests per minute",
    "tokens_per_minute": "tokens per minute",
    "tokens_per_day": "tokens per day",
    "tokens_per_month": "tokens per month",
    "tokens_total": "tokens in total",
    "cost_per_day": "cost per day (micro-units)",
    "cost_per_month": "cost per month (micro-units)",
    "cost_total": "cost in total (micro-units)",
}


class KeyNotFoundError(NotFoundError):
    """There is no such API key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"There is no key {key_id[:40]}", remedy="list the keys: `edgewise keys list` or /admin/v1/keys"
        )


def refusal(refused: Refused, *, tokens: int, cost: int) -> RateLimitedError:
    """The error of a request that would take `tokens` and `cost` at worst."""
    whose, words = _WHOSE[refused.scope], _WORDS.get(refused.what, refused.what)
    where, rate = f"limit {refused.what} {whose}", rate_state(refused.rates)
    if refused.kind == "budget":
        return _over_budget(refused, whose, words, cost if refused.what.startswith("cost") else tokens, where, rate)
    if refused.kind == "busy":
        return ConcurrencyLimitError(
            f"{refused.limit} answers {whose} run already, as many as may run at the same time",
            where=where,
            remedy="wait until one of them has ended",
            retry_after_s=BUSY_RETRY_S,
            rate=rate,
        )
    if refused.kind == "large":
        return RequestOverLimitError(
            f"This request alone takes up to {tokens} tokens, and the limit {whose} is {refused.limit} {words}",
            where=where,
            remedy="shorten the messages, ask for a smaller max_tokens, or have the limit raised",
            rate=rate,
        )
    wait_s = (refused.wait_ms or 0) / 1000
    return RateLimitedError(
        f"The limit {whose} of {refused.limit} {words} is reached",
        where=where,
        remedy=f"try again in {wait_s:g} s",
        retry_after_s=wait_s,
        rate=rate,
    )


def _over_budget(
    refused: Refused, whose: str, words: str, asked: int, where: str, rate: RateState | None
) -> BudgetExceededError:
    taken = f"{refused.spent} are spent and {refused.reserved} reserved by answers that run"
    return BudgetExceededError(
        f"The budget {whose} of {refused.limit} {words} has no room for {asked} more: {taken}",
        where=where,
        remedy=_remedy(refused),
        rate=rate,
    )


def _remedy(refused: Refused) -> str:
    today = date_of(refused.day)
    if refused.what.endswith("_day"):
        return f"ask for a smaller max_tokens, wait for {today + timedelta(days=1)} (UTC), or have the budget raised"
    if refused.what.endswith("_month"):
        return f"ask for a smaller max_tokens, wait for {_next_month(today)} (UTC), or have the budget raised"
    return "ask for a smaller max_tokens, or have the budget raised"


def _next_month(today: date) -> date:
    return (today.replace(day=1) + timedelta(days=32)).replace(day=1)


def rate_state(rates: Sequence[Rate]) -> RateState | None:
    """The tighter one of key and tenant for requests and for tokens; None where no minute is limited."""
    requests = [(rate.requests_limit - rate.requests, rate) for rate in rates if rate.requests_limit is not None]
    tokens = [(rate.tokens_limit - rate.tokens, rate) for rate in rates if rate.tokens_limit is not None]
    state = RateState()
    if requests:
        left, rate = min(requests, key=lambda pair: pair[0])
        state = RateState(rate.requests_limit, max(0, left), rate.reset_ms / 1000)
    if tokens:
        left, rate = min(tokens, key=lambda pair: pair[0])
        state = RateState(
            state.limit_requests,
            state.remaining_requests,
            state.reset_requests_s,
            rate.tokens_limit,
            max(0, left),
            rate.reset_ms / 1000,
        )
    return state if requests or tokens else None


def not_judged(why: str, retry_after_s: float) -> LimitsUnavailableError:
    """The error while limits cannot be checked: a budget is never skipped."""
    return LimitsUnavailableError(
        f"The budget of this key cannot be checked now: {why}",
        remedy="try again in a moment",
        retry_after_s=retry_after_s,
    )
