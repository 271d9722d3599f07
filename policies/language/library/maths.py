"""cel-go's math extension: the greatest and the least, rounding, signs, bits. Bits are those of 64-bit ints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from policies.language.functions import Overload
from policies.language.library.bounds import copying
from policies.language.types import BOOL, DOUBLE, DYN, INT, UINT, List, Type
from policies.language.values import EvaluationError, Uint, Value, int64, is_number_kind, kind_of

_MASK: Final = 2**64 - 1
_SIGN: Final = 2**63


def _extreme(choose: Callable[..., Value], name: str) -> Callable[[list[Value]], Value]:
    def run(items: list[Value]) -> Value:
        # A single list may stand for its elements; where types are dynamic it arrives within the list of arguments.
        numbers = items[0] if len(items) == 1 and kind_of(items[0]) == "list" else items
        for number in numbers:
            if not is_number_kind(kind_of(number)) or number != number:
                raise EvaluationError(
                    f"{name} takes numbers that have an order, not {'NaN' if number != number else kind_of(number)}"
                )
        if not numbers:
            raise EvaluationError(f"{name} of an empty list")
        return choose(numbers)

    return run


greatest: Final = _extreme(max, "math.greatest")
"""The first of the greatest numbers of a list. Raises EvaluationError for an empty list, NaN, and what is no number."""
least: Final = _extreme(min, "math.least")
"""The first of the least numbers of a list. Raises EvaluationError for an empty list, NaN, and what is no number."""


def _extremes() -> Iterator[Overload]:
    for id_, run in (("greatest", greatest), ("least", least)):
        name = f"math.{id_}"
        for type_ in (INT, UINT, DOUBLE):
            fallible = type_ == DOUBLE
            yield Overload(f"{id_}_{type_}", name, (type_,), type_, run, False, fallible, variadic=True, work=copying)
        for type_ in (INT, UINT, DOUBLE, DYN):
            yield Overload(f"{id_}_list_{type_}", name, (List(type_),), type_, run, fallible=True, work=copying)
        yield Overload(f"{id_}_mixed", name, (DYN,), DYN, run, fallible=True, variadic=True, work=copying)


# ── rounding and signs ──────────────────────────────────────────────────────────────────────────────────────────


def _rounding(whole: Callable[[float], int]) -> Callable[[float], float]:
    """A rounding to a whole double; NaN, infinities and the sign of zero stay."""
    return lambda value: math.copysign(whole(value), value) if math.isfinite(value) else value


def _half_away(value: float) -> int:
    """To the nearest; a half goes away from zero. Adding a half first would round 0.49999999999999994 up."""
    whole = math.trunc(value)
    return whole + (1 if value > 0 else -1) if abs(value - whole) >= 0.5 else whole


def sign_int(value: int) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


def sign_double(value: float) -> float:
    """-1.0, 0.0 or 1.0; NaN of NaN."""
    return value if math.isnan(value) else float((value > 0) - (value < 0))


def root(value: float) -> float:
    """The square root; NaN of what is negative."""
    return math.sqrt(value) if value >= 0 else math.nan


# ── bits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _signed(bits: int) -> int:
    return ((bits & _MASK) ^ _SIGN) - _SIGN


def _places(places: int) -> int:
    """How far to shift: 64 places and more leave nothing. Raises EvaluationError for a negative one."""
    if places < 0:
        raise EvaluationError(f"negative offset: a shift by {places}")
    return min(places, 64)


def shift_left_int(value: int, places: int) -> int:
    """What leaves the 64 bits is lost. Raises EvaluationError for a negative offset."""
    return _signed(value << _places(places))


def shift_right_int(value: int, places: int) -> int:
    """Zeros come in from the left, for negative ints too. Raises EvaluationError for a negative offset."""
    return _signed((value & _MASK) >> _places(places))


def shift_left_uint(value: Uint, places: int) -> Uint:
    """What leaves the 64 bits is lost. Raises EvaluationError for a negative offset."""
    return Uint((value << _places(places)) & _MASK)


def shift_right_uint(value: Uint, places: int) -> Uint:
    """Zeros come in from the left. Raises EvaluationError for a negative offset."""
    return Uint(value >> _places(places))


def _pairs() -> Iterator[Overload]:
    rows: tuple[tuple[str, str, Callable[[int, int], int]], ...] = (
        ("and", "math.bitAnd", int.__and__),
        ("or", "math.bitOr", int.__or__),
        ("xor", "math.bitXor", int.__xor__),
    )
    for id_, name, run in rows:
        yield Overload(f"bit_{id_}_int", name, (INT, INT), INT, run)
        yield Overload(f"bit_{id_}_uint", name, (UINT, UINT), UINT, _unsigned(run))


def _unsigned(run: Callable[[int, int], int]) -> Callable[[Uint, Uint], Uint]:
    return lambda a, b: Uint(run(a, b))


def _of_double(id_: str, name: str, result: Type, run: Callable[[float], Value]) -> Overload:
    return Overload(id_, f"math.{name}", (DOUBLE,), result, run)


OVERLOADS: Final = (
    *_extremes(),
    _of_double("ceil", "ceil", DOUBLE, _rounding(math.ceil)),
    _of_double("floor", "floor", DOUBLE, _rounding(math.floor)),
    _of_double("round", "round", DOUBLE, _rounding(_half_away)),
    _of_double("trunc", "trunc", DOUBLE, _rounding(math.trunc)),
    _of_double("is_nan", "isNaN", BOOL, math.isnan),
    _of_double("is_inf", "isInf", BOOL, math.isinf),
    _of_double("is_finite", "isFinite", BOOL, math.isfinite),
    Overload("abs_int", "math.abs", (INT,), INT, lambda value: int64(abs(value)), fallible=True),
    Overload("abs_uint", "math.abs", (UINT,), UINT, lambda value: value),
    _of_double("abs_double", "abs", DOUBLE, abs),
    Overload("sign_int", "math.sign", (INT,), INT, sign_int),
    Overload("sign_uint", "math.sign", (UINT,), UINT, lambda value: Uint(value > 0)),
    _of_double("sign_double", "sign", DOUBLE, sign_double),
    Overload("sqrt_int", "math.sqrt", (INT,), DOUBLE, root),
    Overload("sqrt_uint", "math.sqrt", (UINT,), DOUBLE, root),
    _of_double("sqrt_double", "sqrt", DOUBLE, root),
    *_pairs(),
    Overload("bit_not_int", "math.bitNot", (INT,), INT, lambda value: ~value),
    Overload("bit_not_uint", "math.bitNot", (UINT,), UINT, lambda value: Uint(value ^ _MASK)),
    Overload("shift_left_int", "math.bitShiftLeft", (INT, INT), INT, shift_left_int, fallible=True),
    Overload("shift_left_uint", "math.bitShiftLeft", (UINT, INT), UINT, shift_left_uint, fallible=True),
    Overload("shift_right_int", "math.bitShiftRight", (INT, INT), INT, shift_right_int, fallible=True),
    Overload("shift_right_uint", "math.bitShiftRight", (UINT, INT), UINT, shift_right_uint, fallible=True),
)
