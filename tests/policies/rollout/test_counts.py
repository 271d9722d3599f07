"""Counts: bins of durations, totals that only grow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rollout import Counts, Measures, RolloutError, Share, Spread
from policies.rollout.counts import LAST_BIN, bin_of, end_of


@given(st.floats(min_value=0.0, allow_nan=False, allow_infinity=False))
@settings(max_examples=60, deadline=None)
def test_a_bin_holds_its_duration(seconds: float) -> None:
    bin_ = bin_of(seconds)
    assert 0 <= bin_ <= LAST_BIN
    assert bin_ == LAST_BIN or seconds <= end_of(bin_) * (1 + 1e-9)
    assert bin_ == 0 or seconds > end_of(bin_ - 1) * (1 - 1e-9)


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_no_duration(seconds: float) -> None:
    with pytest.raises(RolloutError, match="no duration"):
        bin_of(seconds)


@pytest.mark.parametrize("pair", [(-1, 2), (3, 2), (0, 2**60)])
def test_no_share(pair: tuple[int, int]) -> None:
    with pytest.raises(RolloutError, match="no share"):
        Share(*pair)


@pytest.mark.parametrize("bins", [{-1: 1}, {LAST_BIN + 1: 1}, {0: -1}])
def test_no_spread(bins: dict[int, int]) -> None:
    with pytest.raises(RolloutError, match="cannot hold"):
        Spread(bins)


@given(st.lists(st.floats(0.0005, 100.0), min_size=1, max_size=40), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
@settings(max_examples=60, deadline=None)
def test_a_quantile_is_within_a_bin_of_the_exact_one(durations_s: list[float], quantile: float) -> None:
    rank = math.ceil(quantile * len(durations_s) - 1e-9)
    exact = sorted(durations_s)[max(rank, 1) - 1]
    spread = Spread.of(durations_s)
    assert spread.total == len(durations_s)
    assert spread.quantile_s(quantile) == pytest.approx(end_of(bin_of(exact)))


def test_longer_counts_what_lies_beyond() -> None:
    longer = Spread({0: 5, 10: 3, LAST_BIN: 2}).longer()
    assert len(longer) == LAST_BIN + 1
    assert (longer[0], longer[9], longer[10], longer[LAST_BIN - 1], longer[LAST_BIN]) == (5, 5, 2, 2, 0)


@pytest.mark.parametrize(
    ("earlier", "later", "grown"),
    [
        (Share(1, 2), Share(1, 2), True),
        (Share(1, 2), Share(2, 3), True),
        (Share(1, 2), Share(0, 3), False),
        (Share(1, 2), Share(2, 2), False),  # a miss has become a hit
        (Share(1, 2), None, False),
        (Spread({3: 1}), Spread({3: 1, 4: 1}), True),
        (Spread({3: 2}), Spread({3: 1, 4: 1}), False),
    ],
)
def test_totals_only_grow(earlier: Share | Spread, later: Share | Spread | None, grown: bool) -> None:
    def measures(one: Share | Spread | None) -> Measures:
        counts = Counts({"errors": one}) if isinstance(one, Share) else Counts()
        counts = Counts({}, {"total": one}) if isinstance(one, Spread) else counts
        return Measures(old=counts)

    assert measures(later).holds(measures(earlier)) is grown
