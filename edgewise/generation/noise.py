"""Counter-based Gumbel noise: a pure function of (seed, choice, output index, token id), the same bits everywhere.

Adding it to the logits and taking the largest draws from their softmax (the Gumbel-max trick), so a generation has no
random state to save. Filters and penalties live in sampling.py.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edgewise.generation.fixed_point import LOG2_BITS, Ints, ln2_fixed, log2_fixed

NOISE_BITS = 24
"""Fraction bits of the noise."""
UNIFORM_BITS = 40
GOLDEN = 0x9E3779B97F4A7C15
MIX_FIRST = 0xBF58476D1CE4E5B9
MIX_SECOND = 0x94D049BB133111EB
MIX_SHIFTS = (30, 27, 31)
MASK64 = (1 << 64) - 1
SCALED_BITS = 30
LN2_BITS = 26
LN2 = ln2_fixed(LN2_BITS)
LOG2_LN2 = int(log2_fixed(np.array([ln2_fixed(52)], dtype=np.int64))[0]) - (52 << LOG2_BITS)
"""log2(ln 2), 46 fraction bits."""
SIEVE_MARGIN = 0.05
"""More than what the noise's grid (0.018) and any libm can be wrong by."""
_BLOCK = 8192
_SIEVE_BLOCK = 32768
"""Tokens that are hashed at a time: few calls, and the scratch stays in a core's own cache."""
_COUNTERS = (np.arange(_SIEVE_BLOCK, dtype=np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)


def mix64(number: int) -> int:
    """The finalizer of SplitMix64 (Steele, Lea & Flood, 2014; constants of Stafford's variant 13)."""
    number &= MASK64
    number = ((number ^ (number >> MIX_SHIFTS[0])) * MIX_FIRST) & MASK64
    number = ((number ^ (number >> MIX_SHIFTS[1])) * MIX_SECOND) & MASK64
    return number ^ (number >> MIX_SHIFTS[2])


def noise_key(seed: int, choice: int, index: int) -> int:
    """The 64-bit start of one position's noise; the token id is the counter from there on."""
    key = mix64(seed + GOLDEN)
    key = mix64(key + (choice + 1) * GOLDEN)
    return mix64(key + (index + 1) * GOLDEN)


def _hash(key: int, token_ids: Ints) -> NDArray[np.uint64]:
    number = (token_ids.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN) + np.uint64(key)
    number = (number ^ (number >> np.uint64(MIX_SHIFTS[0]))) * np.uint64(MIX_FIRST)
    number = (number ^ (number >> np.uint64(MIX_SHIFTS[1]))) * np.uint64(MIX_SECOND)
    result: NDArray[np.uint64] = number ^ (number >> np.uint64(MIX_SHIFTS[2]))
    return result


def gumbel_of_uniform(uniform: Ints) -> Ints:
    """-ln(-ln u) with 24 fraction bits, for u = (2 uniform + 1) / 2^41 and `uniform` in 0..2^40-1; never decreasing.

    Range -3.35..28.41: the tails are cut at probability 2^-41. The error is below 2^-13 for values up to 21, which
    all but one draw in 10^9 are (the inner interpolation is anchored at u = 1, so its error there is relative); the
    grid of the inner logarithm lets it grow to 0.018 at the very last value.
    """
    surprise = ((UNIFORM_BITS + 1) << LOG2_BITS) - log2_fixed(2 * uniform + 1)
    minus_log2 = (LOG2_BITS << LOG2_BITS) - LOG2_LN2 - log2_fixed(surprise)
    result: Ints = ((minus_log2 >> (LOG2_BITS - SCALED_BITS)) * LN2) >> (SCALED_BITS + LN2_BITS - NOISE_BITS)
    return result


class Noise:
    """Standard Gumbel noise at output position `index`.

    `seed` may be any integer (its low 64 bits count); `choice` and `index` are not negative.
    """

    def __init__(self, seed: int, choice: int, index: int) -> None:
        self._key = noise_key(seed, choice, index)

    def of(self, token_ids: Ints) -> NDArray[np.float64]:
        """The noise of each of `token_ids` (int64[n]); float64[n], exact in 2^-24."""
        noise = np.empty(len(token_ids), dtype=np.float64)
        for start in range(0, len(token_ids), _BLOCK):
            noise[start : start + _BLOCK] = gumbel_of_uniform(self._uniform(token_ids[start : start + _BLOCK]))
        return noise / (1 << NOISE_BITS)

    def may_reach(self, token_ids: Ints, least: float) -> NDArray[np.bool_]:
        """False for tokens whose noise is surely below `least`: a cheap sieve by the uniform number behind it.

        Noise never decreases with that number, so libm may decide here, with a margin far above its errors and ours.
        """
        threshold = _uniform_below(least)
        found = np.empty(len(token_ids), dtype=np.bool_)
        for start in range(0, len(token_ids), _BLOCK):
            found[start : start + _BLOCK] = self._uniform(token_ids[start : start + _BLOCK]) >= threshold
        return found

    def reaching(self, vocab_size: int, least: float) -> Ints:
        """Ascending, all ids below `vocab_size` whose noise may be `least` or more, and few others.

        The hash's last step leaves its 31 highest bits as they were, so these are compared before it.
        """
        low_bits = 64 - MIX_SHIFTS[2]
        threshold = np.uint64(max(_uniform_below(least), 0) >> (UNIFORM_BITS - MIX_SHIFTS[2]) << low_bits)
        number, shifted = np.empty((2, min(vocab_size, _SIEVE_BLOCK)), dtype=np.uint64)
        found = list[Ints]()
        for start in range(0, vocab_size, _SIEVE_BLOCK):
            count = min(vocab_size - start, _SIEVE_BLOCK)
            number, shifted = number[:count], shifted[:count]
            np.add(_COUNTERS[:count], np.uint64((self._key + start * GOLDEN) & MASK64), out=number)
            for bits, factor in ((MIX_SHIFTS[0], MIX_FIRST), (MIX_SHIFTS[1], MIX_SECOND)):
                np.right_shift(number, np.uint64(bits), out=shifted)
                np.bitwise_xor(number, shifted, out=number)
                np.multiply(number, np.uint64(factor), out=number)
            found.append(np.flatnonzero(number >= threshold) + start)
        return np.concatenate(found)

    def _uniform(self, token_ids: Ints) -> Ints:
        return (_hash(self._key, token_ids) >> np.uint64(64 - UNIFORM_BITS)).astype(np.int64)


def _uniform_below(least: float) -> int:
    """A uniform number, 40 bits, below every one whose noise is at least `least`; may be negative."""
    return math.floor(math.exp(-math.exp(SIEVE_MARGIN - least)) * (1 << UNIFORM_BITS)) - 1
