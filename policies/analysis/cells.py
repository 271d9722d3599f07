"""The values of one input, or of one term, cut into cells: points and the gaps between them, absence, failure.

What an atom of the core says is the same all over a cell, so that one value of each cell stands for all of it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from policies.language.types import (
    BOOL,
    DOUBLE,
    DURATION,
    INT,
    INT_MAX,
    INT_MIN,
    STRING,
    UINT,
    UINT_MAX,
    Enum,
    Type,
)
from policies.language.values import Duration, Uint, Value

HOLE: Final = object()
"""Stands for the value of a gap that holds none."""
ORDERED: Final = frozenset({INT, UINT, DOUBLE, STRING, DURATION})
_WHOLE: Final[dict[Type, tuple[type[int], int, int]]] = {
    INT: (int, INT_MIN, INT_MAX),
    UINT: (Uint, 0, UINT_MAX),
    DURATION: (Duration, INT_MIN, INT_MAX),
}
_START: Final[dict[Type, Value]] = {INT: 0, UINT: Uint(0), DOUBLE: 0.0, STRING: "", DURATION: Duration(0)}
_BEYOND: Final = (math.nan, math.inf, -math.inf)
"""What arithmetic on doubles may give, and what no input holds."""
_LAST_SIGN: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one variable. A set of cells is an int with a bit for each.

    values: one for each cell, None where it is absent or fails, HOLE in a gap without values.
    points: where the line of an ordered type is cut; cell 2i+1 is point i, cell 2i the gap before it.
    preferred: the cells to take first in a witness.
    """

    type: Type
    values: tuple[Value, ...]
    points: tuple[Value, ...] = ()
    absent: int = 0
    failed: int = 0
    preferred: int = 0
    full: int = field(init=False)
    present: int = field(init=False)
    ordered: bool = field(init=False)

    def __post_init__(self) -> None:
        full = sum(1 << at for at, value in enumerate(self.values) if value is not HOLE)
        object.__setattr__(self, "full", full)
        object.__setattr__(self, "ordered", self.type in ORDERED)
        object.__setattr__(self, "present", full & ~self.absent & ~self.failed)

    def cell_of(self, value: Value) -> int:
        """The cell of a value of the type, as a bit; 0 for a value that no cell holds."""
        if value is None:
            return self.absent
        if not self.ordered:
            places = (at for at, each in enumerate(self.values) if each is not HOLE and each == value)
            return 1 << next(places, len(self.values)) & self.full
        if isinstance(value, float) and not math.isfinite(value):
            same = (at for at, each in enumerate(self.values) if isinstance(each, float) and _same(each, value))
            return 1 << next(same, len(self.values)) & self.full
        at = bisect_left(self.points, value)
        return 1 << (2 * at + (at < len(self.points) and self.points[at] == value)) & self.full


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def is_finite(type_: Type) -> bool:
    """Whether each cell is a single value: bools and enums."""
    return type_ == BOOL or isinstance(type_, Enum)


def cells_of_input(type_: Type, cuts: Iterable[Value], *, optional: bool, usual: Value, sample: Value) -> Cells:
    """The cells of an input. usual: the value to prefer, or None. sample: any value, for a type without order."""
    points, values = _line(type_, [*cuts, usual], sample)
    if not optional:
        return _preferring(Cells(type_, values, points), usual)
    return _preferring(Cells(type_, (*values, None), points, absent=1 << len(values)), usual)


def cells_of_term(type_: Type, cuts: Iterable[Value], *, fallible: bool) -> Cells:
    """The cells of what an expression is worth."""
    points, values = _line(type_, cuts, None)
    values += _BEYOND if type_ == DOUBLE else ()
    return Cells(type_, (*values, None), points, failed=1 << len(values)) if fallible else Cells(type_, values, points)


def _preferring(cells: Cells, usual: Value) -> Cells:
    return Cells(cells.type, cells.values, cells.points, cells.absent, cells.failed, cells.cell_of(usual))


def _line(type_: Type, cuts: Iterable[Value], sample: Value) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The points and the values of all cells."""
    if isinstance(type_, Enum):
        return (), type_.values
    if type_ == BOOL:
        return (), (False, True)
    if type_ not in ORDERED:
        return (), (sample,)
    fitting = {point for cut in cuts if (point := fitted(type_, cut)) is not None}
    points = tuple(sorted(fitting | ({""} if type_ == STRING else set())))
    values: list[Value] = []
    for low, high in zip((None, *points), (*points, None), strict=True):
        values += [between(type_, low, high), high]
    return points, tuple(values[:-1])


def fitted(type_: Type, cut: Value) -> Value:
    """A constant as a point on the line of an ordered type; None when it cuts nothing there."""
    if type_ == STRING:
        return cut if isinstance(cut, str) else None
    if isinstance(cut, bool) or not isinstance(cut, int | float) or (isinstance(cut, float) and not math.isfinite(cut)):
        return None
    if type_ == DOUBLE:
        return float(cut)  # a whole number of 64 bits always has a double
    class_, least, greatest = _WHOLE[type_]
    return class_(cut) if cut == int(cut) and least <= cut <= greatest else None


def after_prefix(prefix: str) -> str | None:
    """The first text, in the order of code points, after all that start with `prefix`; None when there is none."""
    stem = prefix.rstrip(_LAST_SIGN)
    return stem[:-1] + chr(ord(stem[-1]) + 1) if stem else None


def between(type_: Type, low: Value, high: Value) -> Value:
    """A value above `low` and below `high`, None being the end of the line; HOLE when there is none."""
    if low is None and high is None:
        return _START[type_]
    if type_ == STRING:
        return _text_between(low, high)
    if type_ == DOUBLE:
        return _double_between(low, high)
    class_, least, greatest = _WHOLE[type_]
    value = high - 1 if low is None else low + 1
    return class_(value) if least <= value <= greatest and (high is None or value < high) else HOLE


def _text_between(low: str | None, high: str | None) -> Value:
    if low is None:
        return HOLE  # the empty text is always a point
    tries = (f"{low}x", f"{low}0", f"{low}\0")
    return next((text for text in tries if high is None or text < high), HOLE)


def _double_between(low: float | None, high: float | None) -> Value:
    if low is None or high is None:
        return _double_beside(low, high)
    middle = low / 2 + high / 2
    for digits in range(7):
        if low < (value := round(middle, digits)) < high:
            return value
    tries = (middle, math.nextafter(low, math.inf))
    return next((value for value in tries if low < value < high), HOLE)


def _double_beside(low: float | None, high: float | None) -> Value:
    end, way = (high, -1.0) if low is None else (low, 1.0)
    assert end is not None
    value = end + way if end + way != end else math.nextafter(end, way * math.inf)
    return value if math.isfinite(value) else HOLE


def constants_in(value: Any) -> Iterable[Value]:
    """The plain values that a constant is or holds."""
    if isinstance(value, list | tuple | dict):
        for part in value:
            yield from constants_in(part)
    else:
        yield value
