"""Evidence that may be looked at after every answer: e-processes for shares, from counts alone.

Values are natural logarithms. An e-process starts at 1 and, where the hypothesis holds, reaches 1/α at any time with
probability at most α (Ville, 1939): a breach called then is a false alarm with probability at most α.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

# Theory: Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
# Science 38 (2023). Assumed: given all events before it, each one hits with at most the probability in question; events
# of one key that fail together weaken that, so count each key's first where it matters.

_TILTS: Final = tuple(0.05 * 1.5**step for step in range(14))
"""Bets from a slight excess (odds 5 % higher) to a gross one (odds 17,000 times higher)."""


def log_above(hits: int, of: int, limit: float) -> float:
    """Evidence against "each of these events hits with a probability of at most `limit`".

    The mean over bets λ of exp(λ·hits) / (1 + limit·(exp λ - 1))^of. Each is a supermartingale, because E exp(λX) is at
    most 1 + limit·(exp λ - 1) for X in [0, 1] (Hoeffding, 1963) and equals it for a coin: then this is the likelihood
    ratio of Wald (1945), mixed as by Robbins (1970). A mean of e-processes is one. One hit refutes a limit of 0.
    """
    if limit <= 0.0:
        return math.inf if hits else 0.0
    return log_mean([tilt * hits - of * math.log1p(limit * math.expm1(tilt)) for tilt in _TILTS], len(_TILTS))


def log_below(hits: int, of: int, limit: float) -> float:
    """Evidence against "each of these events hits with a probability of at least `limit`"."""
    return log_above(of - hits, of, 1.0 - limit)


def log_split(pairs: Iterable[tuple[float, float]], count: int) -> float:
    """Evidence against a hypothesis on two groups that implies, for each of `count` cuts, one claim or the other.

    pairs: the evidence against either claim, for the cuts where both have some; a cut left out counts as none. Where
    the hypothesis holds, one claim of each cut is true: the smaller evidence stays below that claim's e-process, and so
    does the mean over the cuts below the mean of those. The groups may depend on each other, as in shadow.
    """
    return log_mean([min(pair) for pair in pairs], count)


def log_mean(logs: Sequence[float], count: int) -> float:
    """log of the sum of exp(logs) divided by `count`; minus infinity for nothing."""
    top = max(logs, default=-math.inf)
    if math.isinf(top):
        return top
    return top + math.log(math.fsum(math.exp(log - top) for log in logs)) - math.log(count)
