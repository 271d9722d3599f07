"""Sets of characters as sorted, disjoint ranges of code points, both ends included. Nothing here knows of patterns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import chain
from typing import Final

Ranges = tuple[tuple[int, int], ...]

LAST: Final = 0x10FFFF
NOTHING: Final[Ranges] = ()
ANYTHING: Final[Ranges] = ((0, LAST),)

_CASED: Final = (range(0x3000), range(0xA000, 0xAC00), range(0xFB00, 0xFF60), range(0x10400, 0x1F000))
_FEW: Final = 64


def union(pairs: Iterable[tuple[int, int]]) -> Ranges:
    """The set of all these ranges, which may come in any order and overlap."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def negated(ranges: Ranges) -> Ranges:
    """All other characters."""
    lows = [0, *(high + 1 for _, high in ranges)]
    highs = [*(low - 1 for low, _ in ranges), LAST]
    return tuple((low, high) for low, high in zip(lows, highs, strict=True) if low <= high)


def contains(ranges: Ranges, point: int) -> bool:
    """Whether a code point is in the set."""
    at = bisect_right(ranges, (point, LAST)) - 1
    return at >= 0 and point <= ranges[at][1]


def disjoint(left: Ranges, right: Ranges) -> bool:
    """Whether no character is in both sets."""
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i][1] < right[j][0]:
            i += 1
        elif right[j][1] < left[i][0]:
            j += 1
        else:
            return False
    return True


@lru_cache(maxsize=64)
def folded(ranges: Ranges) -> Ranges:
    """The set with all characters that differ from one of its own by case only (simple case folding of Unicode)."""
    orbits = _orbits()
    if sum(high - low + 1 for low, high in ranges) <= _FEW:
        points = [point for low, high in ranges for point in range(low, high + 1) if point in orbits]
    else:
        points = [point for point in orbits if contains(ranges, point)]
    return union(chain(ranges, ((other, other) for point in points for other in orbits[point])))


@cache
def _orbits() -> dict[int, list[int]]:
    """For every character with a case, all that fold to the same: k, K and the Kelvin sign."""
    by_fold: dict[str, list[int]] = {}
    for point in chain.from_iterable(_CASED):
        by_fold.setdefault(_fold(chr(point)), []).append(point)
    return {point: orbit for orbit in by_fold.values() if len(orbit) > 1 for point in orbit}


def _fold(char: str) -> str:
    """The simple case folding; where Python knows only a folding to several characters, the lower case stands in."""
    fold = char.casefold()
    if len(fold) == 1:
        return fold
    lower = char.lower()
    return lower if len(lower) == 1 else char
