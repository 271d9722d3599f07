"""Logarithm and exponential in fixed point: tables made with whole numbers at import, one linear interpolation each.

No libm anywhere, so any machine gives the same bits. What they are used for lives in noise.py and sampling.py.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

INDEX_BITS = 12
LOG2_BITS = 46
"""Fraction bits of a logarithm."""
LOG2_REST_BITS = 28
EXP2_IN_BITS = 24
"""Fraction bits of an exponent."""
EXP2_OUT_BITS = 40
"""Fraction bits of a weight: 2^-0 is 2^40, so up to 2^22 of them sum in an int64."""
EXP2_REST_BITS = EXP2_IN_BITS - INDEX_BITS
MANTISSA_BITS = 52
EXPONENT_BIAS = 1023
_CELLS = 1 << INDEX_BITS
_WORK_BITS = 96
_ONE = 1 << _WORK_BITS


def _inverse_tanh(divisor: int) -> int:
    """atanh(1/divisor) with 96 fraction bits, by its power series."""
    power, total, odd = _ONE // divisor, 0, 1
    while power:
        total += power // odd
        power //= divisor * divisor
        odd += 2
    return total


def _ln2() -> int:
    """ln 2 with 96 fraction bits: 18 atanh(1/26) - 2 atanh(1/4801) + 8 atanh(1/8749) (a Machin-like formula)."""
    return 18 * _inverse_tanh(26) - 2 * _inverse_tanh(4801) + 8 * _inverse_tanh(8749)


_LN2 = _ln2()


def _round_to(value: int, bits: int) -> int:
    shift = _WORK_BITS - bits
    return (value + (1 << (shift - 1))) >> shift


def ln2_fixed(bits: int) -> int:
    """ln 2 rounded to `bits` fraction bits."""
    return _round_to(_LN2, bits)


def log2_e_fixed(bits: int) -> int:
    """log2 e rounded to `bits` fraction bits."""
    return _round_to((_ONE * _ONE) // _LN2, bits)


def _log2_table() -> Ints:
    """log2(1 + i/4096) for i in 0..4096, 46 fraction bits; steps by ln((n+1)/n) = 2 atanh(1/(2n+1))."""
    values, total = [0], 0
    for n in range(_CELLS, 2 * _CELLS):
        total += 2 * _inverse_tanh(2 * n + 1)
        values.append(_round_to((total << _WORK_BITS) // _LN2, LOG2_BITS))
    return np.array(values, dtype=np.int64)


def _exp2_table() -> Ints:
    """2^-(i/4096) for i in 0..4096, 40 fraction bits; the step is twelve square roots of 1/2."""
    step = _ONE >> 1
    for _ in range(INDEX_BITS):
        step = isqrt(step << _WORK_BITS)
    values, power = [], _ONE
    for _ in range(_CELLS + 1):
        values.append(_round_to(power, EXP2_OUT_BITS))
        power = (power * step) >> _WORK_BITS
    return np.array(values, dtype=np.int64)


LOG2_TABLE = _log2_table()
LOG2_STEPS = np.diff(LOG2_TABLE, append=LOG2_TABLE[-1])
EXP2_TABLE = _exp2_table()
EXP2_STEPS = np.diff(EXP2_TABLE, append=EXP2_TABLE[-1])


def log2_fixed(numbers: Ints) -> Ints:
    """log2 of whole numbers in 1..2^53-1, int64 with 46 fraction bits (error below 2^-26, exact at powers of two).

    Turning such a number into a float64 is exact, so the float's own bits are its bit length and normalised mantissa.
    """
    bits = numbers.astype(np.float64).view(np.int64)
    mantissa = bits & ((1 << MANTISSA_BITS) - 1)
    index = mantissa >> (MANTISSA_BITS - INDEX_BITS)
    rest = (mantissa >> (MANTISSA_BITS - INDEX_BITS - LOG2_REST_BITS)) & ((1 << LOG2_REST_BITS) - 1)
    whole = (bits >> MANTISSA_BITS) - EXPONENT_BIAS
    fraction = LOG2_TABLE[index] + ((LOG2_STEPS[index] * rest) >> LOG2_REST_BITS)
    result: Ints = (whole << LOG2_BITS) + fraction
    return result


def exp2_fixed(exponents: Ints) -> Ints:
    """2^-x for x >= 0 given with 24 fraction bits; int64 with 40 fraction bits, 0 below 2^-41 (error below 2^-26)."""
    fraction = exponents & ((1 << EXP2_IN_BITS) - 1)
    index = fraction >> EXP2_REST_BITS
    rest = fraction & ((1 << EXP2_REST_BITS) - 1)
    mantissa = EXP2_TABLE[index] + ((EXP2_STEPS[index] * rest) >> EXP2_REST_BITS)
    result: Ints = mantissa >> np.minimum(exponents >> EXP2_IN_BITS, 63)
    return result
