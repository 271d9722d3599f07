"""Statistics against naive counts and known values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.forge.evaluate.statistics import auroc, mcnemar, paired_bootstrap, wilson

FEW = settings(max_examples=60, deadline=None, derandomize=True)
ITEMS = st.lists(st.tuples(st.integers(-3, 3).map(float), st.booleans()), min_size=1, max_size=30)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(0, 0, 0.0, 1.0), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (95, 100, 0.8882, 0.9785)],
)
def test_wilson(right: int, total: int, low: float, high: float) -> None:
    assert wilson(right, total) == pytest.approx((low, high), abs=1e-4)


@FEW
@given(st.integers(0, 50), st.integers(1, 50))
def test_wilson_holds_the_share(right: int, more: int) -> None:
    low, high = wilson(right, right + more)
    assert 0 <= low <= right / (right + more) <= high <= 1


@FEW
@given(ITEMS)
def test_auroc_is_the_naive_count(items: list[tuple[float, bool]]) -> None:
    positives, negatives = ([score for score, flag in items if flag == wanted] for wanted in (True, False))
    found = auroc([score for score, _ in items], [flag for _, flag in items])
    if not positives or not negatives:
        assert math.isnan(found)
        return
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    assert found == pytest.approx(wins / len(positives) / len(negatives))


def test_auroc_of_perfect_and_reversed_scores() -> None:
    assert auroc([1, 2, 3, 4], [False, False, True, True]) == 1.0
    assert auroc([4, 3, 2, 1], [False, False, True, True]) == 0.0


@FEW
@given(PAIRS)
def test_the_bootstrap_is_repeatable_and_holds_the_difference(pairs: list[tuple[bool, bool]]) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    low, high = paired_bootstrap(first, second, 3, 500)
    assert (low, high) == paired_bootstrap(first, second, 3, 500)
    assert -1 <= low <= high <= 1
    assert low - 1e-9 <= (sum(first) - sum(second)) / len(pairs) <= high + 1e-9 or len(pairs) < 10


def test_the_bootstrap_of_a_known_spread() -> None:
    first = [True] * 30 + [False] * 70
    low, high = paired_bootstrap(first, [False] * 100, 1)
    assert (low, high) == pytest.approx((0.21, 0.39), abs=0.015)


def test_the_bootstrap_needs_pairs() -> None:
    with pytest.raises(ValueError, match="1 and 0 items"):
        paired_bootstrap([True], [], 1)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.03857421875), (3, 3, 1.0)]
)
def test_mcnemar(only_first: int, only_second: int, p: float) -> None:
    first = [True] * only_first + [False] * only_second + [True, False]
    second = [False] * only_first + [True] * only_second + [True, False]
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)
