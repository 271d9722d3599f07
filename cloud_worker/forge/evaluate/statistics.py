"""Statistics of judged exercises: intervals, paired tests and ranking. Pure; randomness comes as a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

RESAMPLES: Final = 10_000
_Z95: Final = 1.959963984540054


def wilson(right: int, total: int, z: float = _Z95) -> tuple[float, float]:
    """Wilson's score interval of a share, 0..1 (Wilson, 1927); (0, 1) without any item."""
    if not total:
        return 0.0, 1.0
    share, square = right / total, z * z / total
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def paired_bootstrap(
    first: Sequence[bool], second: Sequence[bool], seed: int, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % interval of (share right of `first` - of `second`), items drawn in pairs (Efron, 1979).

    An item's difference is -1, 0 or 1, so drawing items is drawing three counts. Raises ValueError without items.
    """
    if len(first) != len(second) or not first:
        raise ValueError(
            f"paired_bootstrap: {len(first)} and {len(second)} items; expected as many of each, at least 1"
        )
    differences = np.asarray(first, int) - np.asarray(second, int)
    shares = [float((differences == value).mean()) for value in (-1, 0, 1)]
    counts = np.random.default_rng(seed).multinomial(len(differences), shares, size=resamples)
    drawn = (counts[:, 2] - counts[:, 0]) / len(differences)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> float:
    """Two-sided exact p-value for both being right equally often (McNemar, 1947): binomial over where they differ."""
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    total, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(total, count) for count in range(fewer + 1))
    return min(1.0, 2 * tail / 2**total) if total else 1.0


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """Probability that a positive item scores above a negative one, ties half (Mann & Whitney, 1947).

    nan when all items are of one kind.
    """
    values, flags = np.asarray(scores, float), np.asarray(positive, bool)
    positives, negatives = int(flags.sum()), int((~flags).sum())
    if not positives or not negatives:
        return math.nan
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    return float((ranks[flags].sum() - positives * (positives + 1) / 2) / (positives * negatives))
