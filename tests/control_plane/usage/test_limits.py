"""Prices: what an answer costs, and how long one may get for a cost. Pure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.usage.limits import FREE, Price, Prices
from edgewise.routing.tier import TierKind

PRICES = Prices(edge=Price(), cloud=Price(prompt_per_1k=1000, completion_per_1k=2000))
PER_1K = st.integers(0, 10**9)


@pytest.mark.parametrize(
    ("kinds", "prompt_tokens", "cost", "pays_for"),
    [
        (("cloud",), 10, 30, 10),
        (("cloud",), 10, 31, 10),
        (("cloud",), 10, 32, 11),
        (("cloud",), 10, 10, 0),
        (("cloud",), 10, 9, 0),
        (("cloud",), 0, 0, 0),
        (("edge",), 10, 0, None),
        (("edge", "cloud"), 10, 30, 10),
        ((), 10, 0, None),
    ],
)
def test_what_a_cost_pays_for(kinds: tuple[TierKind, ...], prompt_tokens: int, cost: int, pays_for: int | None) -> None:
    assert PRICES.pays_for(kinds, prompt_tokens, cost) == pays_for
    assert FREE.pays_for(kinds, prompt_tokens, cost) is None


@given(PER_1K, PER_1K, st.integers(0, 10**6), st.integers(0, 10**15))
def test_one_more_token_would_cost_too_much(prompt: int, completion: int, prompt_tokens: int, cost: int) -> None:
    price = Price(prompt, completion)
    most = price.pays_for(prompt_tokens, cost)
    if most is None:
        assert completion == 0 and price.cost(prompt_tokens, 10**9) <= cost
    else:
        assert most == 0 or price.cost(prompt_tokens, most) <= cost
        assert price.cost(prompt_tokens, most + 1) > cost
