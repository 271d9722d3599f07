"""Operators over arrays that agree bit for bit with the language's own; rows where they might not are in doubt.

An operand is an array of shape (rows,) or a Python number. Callers silence NumPy's floating-point warnings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from control_plane.policy_replay.columns import Mask
from policies.language.types import INT_MIN

Operand = Any
_EXACT: Final = 2**53
"""Whole numbers up to this are doubles too."""
_NEAR_OVERFLOW: Final = 9.2e18
"""A product that a double puts below this fits 64 bits."""


@dataclass(frozen=True, slots=True)
class Vector:
    """The value of one expression for a block of rows; where `doubt`, only the scalar form knows. None: nowhere."""

    values: Operand
    doubt: Mask | None = None


def either(*doubts: Mask | None) -> Mask | None:
    """Where any is in doubt."""
    known = [doubt for doubt in doubts if doubt is not None]
    if not known:
        return None
    out = known[0]
    for doubt in known[1:]:
        out = out | doubt
    return out


def _add_int(a: Operand, b: Operand) -> Vector:
    value = a + b
    return Vector(value, ((a ^ value) & (b ^ value)) < 0)


def _subtract_int(a: Operand, b: Operand) -> Vector:
    value = a - b
    return Vector(value, ((a ^ b) & (a ^ value)) < 0)


def _multiply_int(a: Operand, b: Operand) -> Vector:
    return Vector(a * b, np.abs(as_double(a) * as_double(b)) >= _NEAR_OVERFLOW)


def _negate_int(a: Operand) -> Vector:
    return Vector(-a, a == INT_MIN)


def _divide_int(a: Operand, b: Operand) -> Vector:
    """Towards zero; division by zero, and the one quotient that overflows, are in doubt."""
    unsure = np.equal(b, 0) | (np.equal(a, INT_MIN) & np.equal(b, -1))
    divisor = np.where(unsure, 1, b)
    return Vector((a - np.fmod(a, divisor)) // divisor, unsure)


def _modulo_int(a: Operand, b: Operand) -> Vector:
    unsure = np.equal(b, 0)
    return Vector(np.fmod(a, np.where(unsure, 1, b)), unsure)


def as_double(value: Operand) -> Operand:
    """A whole number as the nearest double."""
    return np.asarray(value).astype(np.float64)


def equal(a: Operand, b: Operand, *, mixed: bool) -> Vector:
    """`a == b`; `mixed`: of a whole number and a double, whose equality is exact."""
    if not mixed:
        return Vector(np.equal(a, b))
    left, right = np.asarray(a), np.asarray(b)
    whole = left if left.dtype.kind == "i" else right
    unsure = (whole > _EXACT) | (whole < -_EXACT)
    return Vector(as_double(left) == as_double(right), unsure if unsure.any() else None)


ORDERS: Final[Mapping[str, Callable[[Operand, Operand], Any]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _as_doubles(compare: Callable[[Operand, Operand], Any]) -> Callable[..., Vector]:
    return lambda a, b: Vector(compare(as_double(a), as_double(b)))


def _certain(run: Callable[..., Any]) -> Callable[..., Vector]:
    return lambda *args: Vector(run(*args))


_ORDER_IDS: Final = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">="}

OVERLOADS: Final[Mapping[str, Callable[..., Vector]]] = {
    "add_int": _add_int,
    "subtract_int": _subtract_int,
    "multiply_int": _multiply_int,
    "negate_int": _negate_int,
    "divide_int": _divide_int,
    "modulo_int": _modulo_int,
    "add_double": _certain(np.add),
    "subtract_double": _certain(np.subtract),
    "multiply_double": _certain(np.multiply),
    "divide_double": _certain(np.divide),
    "negate_double": _certain(np.negative),
    "to_double": _certain(as_double),
    **{
        f"{id_}_{pair}": _as_doubles(ORDERS[order])
        for id_, order in _ORDER_IDS.items()
        for pair in ("int_double", "double_int")
    },
}
"""Overloads of the language that have a form over arrays, by their id."""
