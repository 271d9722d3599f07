"""Sets of characters against Python's own sets."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.regex.ranges import ANYTHING, LAST, NOTHING, contains, disjoint, folded, negated, union

pairs = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])), max_size=6)


def points(of: list[tuple[int, int]]) -> set[int]:
    return {point for low, high in of for point in range(low, high + 1)}


@given(pairs, pairs)
def test_as_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    one, other = union(left), union(right)
    assert points(list(one)) == points(left)
    assert all(high + 1 < low for (_, high), (low, _) in pairwise(one))
    assert [contains(one, point) for point in range(50)] == [point in points(left) for point in range(50)]
    assert [contains(negated(one), point) for point in range(50)] == [point not in points(left) for point in range(50)]
    assert disjoint(one, other) == points(left).isdisjoint(points(right))
    assert negated(negated(one)) == one


def test_the_edges() -> None:
    assert negated(NOTHING) == ANYTHING
    assert negated(ANYTHING) == NOTHING
    assert contains(ANYTHING, LAST)
    assert negated(((0, 0), (LAST, LAST))) == ((1, LAST - 1),)


@pytest.mark.parametrize(
    ("chars", "all_cases"),
    [
        ("k", "Kk\u212a"),
        ("S", "Ssſ"),
        ("σ", "Σσς"),
        ("ß", "ßẞ"),
        ("ı", "ı"),
        ("İ", "İ"),
        ("µ", "µΜμ"),
        ("1", "1"),
        ("ǆ", "Ǆǅǆ"),
    ],
)
def test_folded(chars: str, all_cases: str) -> None:
    assert folded(union((ord(c), ord(c)) for c in chars)) == union((ord(c), ord(c)) for c in all_cases)


def test_a_large_set_folds_like_its_parts() -> None:
    large = ((0x41, 0x3FF),)
    parts = [folded(((point, point),)) for point in range(0x41, 0x400)]
    assert folded(large) == union(pair for part in parts for pair in part)
