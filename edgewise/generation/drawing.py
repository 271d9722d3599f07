"""`sampling.next_token`, found without sorting, weighing and hashing a whole vocabulary: the same id, to the bit.

The tokens near the best one are looked at exactly; the rest only through bounds that are proven, in passes of float32.
Where a bound does not decide, and for odd logits, vocabularies and temperatures, the definition itself is asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgewise.generation.fixed_point import EXP2_OUT_BITS, Ints
from edgewise.generation.grammar import Allowed
from edgewise.generation.noise import Noise
from edgewise.generation.penalties import Floats, Tally, touched_scores
from edgewise.generation.sampling import kept_ids, mass_target, next_token, weight_floor, weights
from edgewise.generation.state import GenerationState, Sampling

NEAR: Final = 256
"""Tokens that are looked at exactly, or a few more."""
FOLDS: Final = 64
"""A vocabulary is folded so often for the maxima that tell where the near tokens end."""
SMALL_VOCABULARY: Final = 1024
"""Below it the definition is as quick."""
PLAIN_SCORES: Final = 1e30
PLAIN_TEMPERATURES: Final = (1e-3, 1e3)
"""Within these no step in float32 overflows."""
OUTSIDE: Final = np.float32(-2 * PLAIN_SCORES)
"""Stands for the score of a token that is not allowed: below all others, so that it weighs nothing and never wins."""
LARGEST_ROUGH: Final = 512.0
"""Temperatures from zero beyond which float32 tells the best score too coarsely for MASS_ERROR: it rounds by 2^-25."""
MASS_ERROR: Final = 2.0**-15
"""Four times what a sum of float32 weights can be off by, relatively: up to 30 nats below the best token the exponent
is off by at most 3 x 30 x 2^-24, the exponential by 4 x 2^-23, the (pairwise) sum by 30 x 2^-24, and a weight in fixed
point by 2^-23 of itself."""
MASS_ERROR_EACH: Final = 2
"""Units of 2^-40 that a weight may be off by absolutely: it is rounded down, and 0 from 2^-41 on."""
_BLOCK: Final = 65536
"""Scores that are weighed at a time, so that the scratch stays in a core's own cache."""

Rough = NDArray[np.float32]


class _UndecidedError(Exception):
    """The bounds leave it open; never leaves this module."""


@dataclass(frozen=True, slots=True)
class _Scores:
    """Scores in float32, and exactly where they are asked for: no float32 is on the wrong side of another."""

    rough: Rough
    touched: Ints
    changed: Floats

    def exact(self, ids: Ints) -> Floats:
        """Scores of ascending `ids`, as the definition has them."""
        scores = self.rough[ids].astype(np.float64)
        if len(self.touched):
            _, here, there = np.intersect1d(ids, self.touched, assume_unique=True, return_indices=True)
            scores[here] = self.changed[there]
        return scores


@dataclass(frozen=True, slots=True)
class _Near:
    """Ascending ids of the best tokens and their gaps, all below `limit`; no other token's gap is below it."""

    ids: Ints
    gaps: Floats
    best: float
    limit: float


def draw(logits: Rough, state: GenerationState, allowed: Allowed | None = None, tally: Tally | None = None) -> int:
    """`next_token(logits, state, allowed)`: the same id, the same LogitsError. `tally` as in `touched_scores`."""
    token = drawn_by_bounds(logits, state, allowed=allowed, tally=tally)
    return next_token(logits, state, allowed) if token is None else token


def drawn_by_bounds(
    logits: Rough,
    state: GenerationState,
    near: int = NEAR,
    allowed: Allowed | None = None,
    tally: Tally | None = None,
) -> int | None:
    """`next_token(logits, state, allowed)`, or None where the bounds do not decide; about `near` tokens are read
    exactly."""
    temperature = state.sampling.temperature
    if logits.dtype != np.float32 or logits.ndim != 1 or len(logits) < SMALL_VOCABULARY:
        return None
    scores, lowest = _scores_of(logits, state, tally), -PLAIN_SCORES
    if allowed is not None:
        if not _worth_bounds(scores.rough, allowed):
            return None
        scores, lowest = _only(scores, allowed), float(OUTSIDE)
    maxima = _folded_maxima(scores.rough) if temperature else scores.rough
    largest = maxima.max()
    if not (scores.rough.min() >= lowest and largest <= PLAIN_SCORES):  # NaN is neither
        return None
    if temperature == 0:
        return _greedy(scores, largest)
    if not PLAIN_TEMPERATURES[0] <= temperature <= PLAIN_TEMPERATURES[1]:
        return None
    try:
        return _drawn(scores, maxima, state, near)
    except _UndecidedError:
        return None


def _scores_of(logits: Rough, state: GenerationState, tally: Tally | None) -> _Scores:
    touched, changed = touched_scores(logits, state, tally)
    if len(touched):
        logits = logits.copy()
        with np.errstate(over="ignore"):
            logits[touched] = changed
    return _Scores(logits, touched, changed)


def _worth_bounds(rough: Rough, allowed: Allowed) -> bool:
    """Whether many are allowed, and every score is plain, also of those that are not."""
    many = np.count_nonzero(allowed) >= SMALL_VOCABULARY
    return bool(many and rough.min() >= -PLAIN_SCORES and rough.max() <= PLAIN_SCORES)


def _only(scores: _Scores, allowed: Allowed) -> _Scores:
    """The scores of the tokens that are allowed; those of all others are OUTSIDE."""
    inside = allowed[scores.touched]
    return _Scores(np.where(allowed, scores.rough, OUTSIDE), scores.touched[inside], scores.changed[inside])


def _folded_maxima(scores: Rough) -> Rough:
    """The largest of each class of ids; what is left at the end has classes of its own."""
    whole = len(scores) // FOLDS * FOLDS
    maxima: Rough = np.concatenate((scores[:whole].reshape(FOLDS, -1).max(axis=0), scores[whole:]))
    return maxima


def _greedy(scores: _Scores, largest: np.float32) -> int:
    if not len(scores.touched):
        return int(scores.rough.argmax())
    ids = np.flatnonzero(scores.rough == largest)
    return int(ids[scores.exact(ids).argmax()])


def _drawn(scores: _Scores, maxima: Rough, state: GenerationState, count: int) -> int:
    sampling = state.sampling
    has_top_k = 0 < sampling.top_k < len(scores.rough)
    count = min(count, len(maxima) // 2)
    near = _near(scores, maxima, sampling.temperature, max(count, sampling.top_k + 1) if has_top_k else count)
    noise = Noise(state.seed, state.choice, len(state.output_ids))
    if has_top_k:
        if len(near.ids) < sampling.top_k:
            raise _UndecidedError
        kept = kept_ids(near.gaps, sampling)
        return _winner(near, noise, np.arange(len(near.ids)) if kept is None else kept)
    top_p = _TopP(scores, near, sampling) if sampling.top_p < 1 else None
    floor = weight_floor(sampling.min_p)
    is_kept = weights(near.gaps) >= floor
    if top_p is not None and top_p.ends_near:
        is_kept &= top_p.near_kept()
    elif weights(np.array([near.limit]))[0] >= floor:
        return _winner_anywhere(scores, near, noise, state, top_p)
    return _winner(near, noise, np.flatnonzero(is_kept))


def _near(scores: _Scores, maxima: Rough, temperature: float, count: int) -> _Near:
    """At least about `count` of the best tokens.

    Their edge lies a little below the score that was found: different scores may have one gap after rounding, and a
    gap that an outsider may have as well belongs to the outside.
    """
    if count > len(maxima):
        raise _UndecidedError
    found, largest = np.partition(maxima, len(maxima) - count)[len(maxima) - count], maxima.max()
    edge = np.nextafter(np.float32(found - (largest - found) * np.float32(2**-24)), np.float32(-np.inf))
    ids = np.flatnonzero(scores.rough >= edge)
    exact = scores.exact(ids)
    best = float(exact.max())
    gaps = (best - exact) / temperature
    limit = (best - float(edge)) / temperature
    inside = gaps < limit
    if not inside.any():
        raise _UndecidedError
    return _Near(ids[inside], gaps[inside], best, limit)


def _winner(near: _Near, noise: Noise, kept: Ints) -> int:
    """The largest of score + noise among the `kept` (positions in `near`, ascending)."""
    ids = near.ids[kept]
    return int(ids[(noise.of(ids) - near.gaps[kept]).argmax()])


def _winner_anywhere(scores: _Scores, near: _Near, noise: Noise, state: GenerationState, top_p: _TopP | None) -> int:
    """The largest of score + noise among all tokens near, which the filters keep, and those far that they keep."""
    lifted = noise.of(near.ids) - near.gaps
    best = lifted.max()
    ids = noise.reaching(len(scores.rough), float(best) + near.limit)
    gaps = (near.best - scores.exact(ids)) / state.sampling.temperature
    rivals, winner = noise.of(ids) - gaps, near.ids[lifted.argmax()]
    may_win = (gaps >= near.limit) & ((rivals > best) | ((rivals == best) & (ids < winner)))
    if state.sampling.min_p > 0:
        may_win &= weights(gaps) >= weight_floor(state.sampling.min_p)
    ids, gaps, rivals = ids[may_win], gaps[may_win], rivals[may_win]
    for place in np.lexsort((ids, -rivals)):
        if top_p is None or top_p.keeps(int(ids[place]), float(gaps[place])):
            return int(ids[place])
    return int(winner)


class _TopP:
    """The shortest prefix, best first, whose mass reaches top_p of the whole, where the whole is known within bounds.

    Masses are whole numbers of 2^-40; those of near tokens are exact. Tokens after each other: by gap, then by id.
    """

    def __init__(self, scores: _Scores, near: _Near, sampling: Sampling) -> None:
        self._scores, self._near, self._temperature = scores, near, sampling.temperature
        self._mass = weights(near.gaps)
        self._near_mass = int(self._mass.sum())
        low, high = self._far_mass(np.float32(-np.inf))
        self._low = mass_target(self._near_mass + low, sampling.top_p)
        self._high = mass_target(self._near_mass + high, sampling.top_p)
        self.ends_near = self._near_mass >= self._high
        """The prefix ends among the near tokens; else it holds them all."""
        if not self.ends_near and self._near_mass >= self._low:
            raise _UndecidedError

    def near_kept(self) -> NDArray[np.bool_]:
        """Which of the near tokens are in the prefix."""
        order = np.argsort(self._near.gaps, kind="stable")
        shortest, longest = np.searchsorted(np.cumsum(self._mass[order]), (self._low, self._high))
        if shortest != longest:
            raise _UndecidedError
        kept = np.zeros(len(order), dtype=np.bool_)
        kept[order[: shortest + 1]] = True
        return kept

    def keeps(self, token: int, gap: float) -> bool:
        """Whether a far token is in the prefix: whether what comes before it does not reach the target."""
        score = self._near.best - gap * self._temperature
        slack = (self._near.best - score) * 2.0**-40 + abs(score) * 2.0**-40
        under = np.nextafter(np.float32(score - slack), np.float32(-np.inf))
        over = np.nextafter(np.float32(score + slack), np.float32(np.inf))
        rough = self._scores.rough
        equals = np.flatnonzero((rough >= under) & (rough <= over))  # or so nearly equal that rounding must tell
        gaps = (self._near.best - self._scores.exact(equals)) / self._temperature
        comes_before = (gaps >= self._near.limit) & ((gaps < gap) | ((gaps == gap) & (equals < token)))
        nearer = self._near_mass + int(weights(gaps[comes_before]).sum())
        low, high = self._far_mass(over)
        if nearer + high < self._low:
            return True
        if nearer + low >= self._high:
            return False
        raise _UndecidedError

    def _far_mass(self, over: np.float32) -> tuple[int, int]:
        """Between which the mass of the tokens that are not near lies, of those with float32 scores above `over`."""
        if abs(self._near.best) > LARGEST_ROUGH * self._temperature:
            raise _UndecidedError  # float32 holds such a best score too coarsely for the bounds below
        rough, touched, total = self._scores.rough, self._scores.touched, 0.0
        changed = np.exp((self._scores.changed - self._near.best) / self._temperature)
        scratch = np.empty(min(_BLOCK, len(rough)), dtype=np.float32)
        for start in range(0, len(rough), _BLOCK):
            block = rough[start : start + _BLOCK]
            far = np.subtract(block, np.float32(self._near.best), out=scratch[: len(block)])
            if self._temperature != 1:
                far *= np.float32(1 / self._temperature)
            np.exp(far, out=far)
            far[touched[_within(touched, start)] - start] = changed[_within(touched, start)]
            far[self._near.ids[_within(self._near.ids, start)] - start] = 0
            if over > -np.inf:
                far *= block > over
            total += float(far.sum())
        about, each = total * (1 << EXP2_OUT_BITS), MASS_ERROR_EACH * len(rough)
        return max(int(about * (1 - MASS_ERROR)) - each, 0), int(about * (1 + MASS_ERROR)) + each + 1


def _within(ids: Ints, start: int) -> slice:
    """Where those of ascending `ids` stand that lie in the block from `start` on."""
    first, last = np.searchsorted(ids, (start, start + _BLOCK))
    return slice(first, last)
