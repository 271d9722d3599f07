"""The next token as a pure function of (logits, state): penalties, temperature, filters, Gumbel noise, largest wins.

Everything that decides is either a correctly rounded float64 operation or whole-number arithmetic, so no order of
summation and no libm can change a token (docs/adr/0003-integer-sampling.md). This is the definition:
penalties are penalties.py, the noise noise.py; drawing.py finds the same token faster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgewise.generation.fixed_point import EXP2_IN_BITS, EXP2_OUT_BITS, Ints, exp2_fixed, log2_e_fixed
from edgewise.generation.noise import Noise
from edgewise.generation.penalties import touched_scores
from edgewise.generation.state import GenerationState, Sampling
from edgewise.wire.errors import BadRequestError, TierError

Floats = NDArray[np.float64]

EXPONENT_SCALE = log2_e_fixed(EXP2_IN_BITS + 26) / (1 << 26)
"""Nats to a base-2 exponent with 24 fraction bits; exact in float64."""
LARGEST_GAP = 64.0
"""Nats below the best token beyond which a weight is 0 anyway."""
NEAR_GAP = 8.0
"""Nats below the best token within which noise is computed at once: beyond, few tokens get enough of it to win."""
MASS_GAPS = (2.0, 4.0, 8.0, 16.0)
"""Nats below the best token within which the top-p prefix is looked for, narrowest first."""


class LogitsError(TierError):
    """A model produced logits that no token can be drawn from (NaN, infinity, wrong shape)."""

    number, code = 1410, "bad_logits"


def check_sampling(sampling: Sampling, vocab_size: int) -> None:
    """Refuse values that no draw can be made with. Raises BadRequestError."""
    problems = [
        (0 <= sampling.temperature < math.inf, "temperature", "a number of at least 0"),
        (0 < sampling.top_p <= 1, "top_p", "a number in (0, 1]"),
        (sampling.top_k >= 0, "top_k", "0 (off) or more"),
        (0 <= sampling.min_p <= 1, "min_p", "a number in [0, 1]"),
        (math.isfinite(sampling.frequency_penalty), "frequency_penalty", "a finite number"),
        (math.isfinite(sampling.presence_penalty), "presence_penalty", "a finite number"),
        (0.01 <= sampling.repetition_penalty <= 100, "repetition_penalty", "a number from 0.01 to 100"),
        (all(map(math.isfinite, sampling.logit_bias.values())), "logit_bias", "finite numbers"),
        (all(0 <= i < vocab_size for i in sampling.logit_bias), "logit_bias", f"token ids below {vocab_size}"),
    ]
    for fine, name, expected in problems:
        if not fine:
            raise BadRequestError(f"{name} is out of range", where=name, expected=expected)


def next_token(logits: NDArray[np.float32], state: GenerationState, allowed: NDArray[np.bool_] | None = None) -> int:
    """The id that follows `state.output_ids`, from the model's `logits` (float32[V]) for that position.

    Tokens that are not `allowed` [V] are out of it before anything else is: no filter counts them. Temperature 0 takes
    the largest score, ties to the lowest id. Otherwise the order is temperature, top_k, top_p, min_p (each on what the
    one before left, best first, ties to the lowest id), then the largest of score + noise. The sampling fields are
    taken as checked (`check_sampling`). Raises LogitsError; never returns a token for logits that are not finite.
    """
    scores = adjusted_scores(logits, state)
    tokens = np.arange(len(scores)) if allowed is None else np.flatnonzero(allowed)
    if allowed is not None:
        scores = scores[tokens]
    best = scores.max(initial=-math.inf)
    if not math.isfinite(best):
        raise bad_logits(logits.shape)
    if state.sampling.temperature == 0:
        return int(tokens[scores.argmax()])
    with np.errstate(over="ignore"):
        gaps = (best - scores) / state.sampling.temperature
    kept = kept_ids(gaps, state.sampling)
    noise = Noise(state.seed, state.choice, len(state.output_ids))
    return _largest(gaps, noise, tokens) if kept is None else _largest(gaps[kept], noise, tokens[kept])


def _largest(gaps: Floats, noise: Noise, ids: Ints) -> int:
    """The first of the ascending `ids` [n] with the largest noise - gap, of their `gaps` [n].

    Noise is computed of the near tokens first; a far one is looked at only if its noise may lift it above them.
    """
    is_near = gaps <= NEAR_GAP
    near, far, far_gaps = ids[is_near], ids[~is_near], gaps[~is_near]
    lifted = noise.of(near) - gaps[is_near]
    best = lifted.max()
    reaches = noise.may_reach(far, float(best) + NEAR_GAP)
    may_win = far[reaches]
    rivals = noise.of(may_win) - far_gaps[reaches]
    if len(rivals) == 0 or rivals.max() < best:
        return int(near[lifted.argmax()])
    order = np.argsort(candidates := np.concatenate((near, may_win)))
    return int(candidates[order][np.concatenate((lifted, rivals))[order].argmax()])


def bad_logits(shape: Sequence[int]) -> LogitsError:
    """The error for logits of this shape."""
    return LogitsError(
        "The model's logits cannot be sampled",
        where=f"logits of shape {tuple(shape)}",
        expected="one finite number for each token of the vocabulary",
        remedy="check the model's files; try another tier",
    )


def adjusted_scores(logits: NDArray[np.float32], state: GenerationState) -> Floats:
    """Logits in float64 after penalties and the client's bias.

    Raises LogitsError when one of `logits` is not finite or their shape is not [V].
    """
    if logits.ndim != 1 or not np.isfinite(logits).all():
        raise bad_logits(logits.shape)
    scores = logits.astype(np.float64)
    ids, changed = touched_scores(logits, state)
    scores[ids] = changed
    return scores


def kept_ids(gaps: Floats, sampling: Sampling) -> Ints | None:
    """Ascending ids that the filters leave, or None for all; `gaps` are nats below the best token after temperature."""
    ids: Ints | None = None
    if 0 < sampling.top_k < len(gaps):
        ids = _top_k(gaps, sampling.top_k)
    if sampling.top_p < 1:
        ids = _top_p(gaps, ids, sampling.top_p)
    if sampling.min_p > 0:
        ids = _min_p(gaps, ids, sampling.min_p)
    return ids


def weights(gaps: Floats) -> Ints:
    """exp(-gap) with 40 fraction bits: the unnormalised probability of each token, 2^40 for the best one."""
    return exp2_fixed((np.minimum(gaps, LARGEST_GAP) * EXPONENT_SCALE).astype(np.int64))


def mass_target(total: int, top_p: float) -> int:
    """The least whole mass that is at least `top_p` of `total`, without rounding."""
    numerator, denominator = top_p.as_integer_ratio()
    return -(-total * numerator // denominator)


def weight_floor(min_p: float) -> int:
    """The least weight that is at least `min_p` of the best token's."""
    return mass_target(1 << EXP2_OUT_BITS, min_p)


def _top_k(gaps: Floats, k: int) -> Ints:
    edge = np.partition(gaps, k - 1)[k - 1]
    surely, tied = np.flatnonzero(gaps < edge), np.flatnonzero(gaps == edge)
    ids: Ints = np.sort(np.concatenate((surely, tied[: k - len(surely)])))
    return ids


def _top_p(gaps: Floats, ids: Ints | None, top_p: float) -> Ints:
    """The shortest prefix, best first, whose mass reaches `top_p`; sorts only the tokens that may be in it."""
    within = gaps if ids is None else gaps[ids]
    mass = weights(within)
    target = mass_target(int(mass.sum()), top_p)
    near = _nearest_with(within, mass, target)
    order = near[np.argsort(within[near], kind="stable")]
    length = int(np.searchsorted(np.cumsum(mass[order]), target)) + 1
    kept: Ints = np.sort(order[:length])
    return kept if ids is None else ids[kept]


def _nearest_with(gaps: Floats, mass: Ints, target: int) -> Ints:
    """Positions of all tokens within the narrowest gap that holds `target` of mass, or of all."""
    for limit in MASS_GAPS:
        near = np.flatnonzero(gaps <= limit)
        if int(mass[near].sum()) >= target:
            return near
    return np.arange(len(gaps))


def _min_p(gaps: Floats, ids: Ints | None, min_p: float) -> Ints:
    within = gaps if ids is None else gaps[ids]
    kept: Ints = np.flatnonzero(weights(within) >= weight_floor(min_p))
    return kept if ids is None else ids[kept]
