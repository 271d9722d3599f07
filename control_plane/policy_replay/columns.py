"""Facts of many decisions as columns: numbers as arrays, words as codes, what is absent or no value as masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from policies.language.declarations import Declaration, accept
from policies.language.types import BOOL, DOUBLE, INT, Type
from policies.language.values import Duration, EvaluationError, Timestamp, Uint, Value

Mask = NDArray[np.bool_]
Array = NDArray[Any]

PLAIN: Final[Mapping[Type, tuple[type, type[np.generic]]]] = {
    BOOL: (bool, np.bool_),
    INT: (int, np.int64),
    DOUBLE: (float, np.float64),
}
"""Types whose values an array holds as they are, with Python's class for them; all others are words."""
_SAFE_KEYS: Final = frozenset({str, bytes, int, Uint, Duration, Timestamp})
"""Classes whose equal values are the same value: 1 and True are not, nor are lists of them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One fact over all rows.

    data: the values, shape (rows,): bool, int64 or float64; of other types codes into `words`.
    words: the distinct values of a coded column, None for an absent or bad one; None for a column of numbers.
    present: where there is a value, a default counted; None: everywhere. Numbers elsewhere mean nothing.
    bad: where the value is refused by `declarations.accept`; None: nowhere.
    raw: what bad rows hold, as it was handed in.
    """

    declared: Declaration
    data: Array
    words: tuple[Value, ...] | None
    present: Mask | None
    bad: Mask | None
    raw: Mapping[int, Any]

    def value(self, row: int) -> Any:
        """The value of one row as it was judged; of a bad one as it was handed in; None when it is absent."""
        if self.bad is not None and self.bad[row]:
            return self.raw.get(row)
        if self.words is not None:
            return self.words[self.data[row]]
        return self.data[row].item() if self.present is None or self.present[row] else None


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of many decisions, all of `rows` rows, by the name of the fact."""

    rows: int
    columns: Mapping[str, Column]

    @classmethod
    def of(cls, facts: Sequence[Mapping[str, Any]], declared: Iterable[Declaration]) -> Table:
        """The facts of decisions, as far as they are declared; nothing is refused: a bad value is marked so."""
        columns = {each.name: column_of(each, [row.get(each.name) for row in facts]) for each in declared}
        return cls(len(facts), columns)

    def row(self, row: int, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The facts of one row; absent ones are None."""
        return {name: self.columns[name].value(row) for name in (self.columns if names is None else names)}


def column_of(declared: Declaration, raw: Sequence[Any]) -> Column:
    """One fact's values, as callers hand them in (None: absent)."""
    return _numbers(declared, raw) if declared.type in PLAIN else _words(declared, raw)


def _numbers(declared: Declaration, raw: Sequence[Any]) -> Column:
    proper, dtype = PLAIN[declared.type]
    kinds, may_lack = set(map(type, raw)), declared.optional or declared.default is not None
    if kinds <= ({proper, type(None)} if may_lack else {proper}):
        filler = proper() if declared.default is None else declared.default
        full = [filler if value is None else value for value in raw] if type(None) in kinds else raw
        data = _array(full, dtype)
        if data is not None:
            return Column(declared, data, None, _present(declared, raw, kinds), None, {})
    return _judged_numbers(declared, raw, dtype)


def _array(values: Sequence[Any], dtype: type[np.generic]) -> Array | None:
    """The values as an array; None when one of them is beyond 64 bits or not finite."""
    try:
        data = np.array(values, dtype)
    except OverflowError:
        return None
    return data if np.isfinite(data).all() else None


def _present(declared: Declaration, raw: Sequence[Any], kinds: set[type]) -> Mask | None:
    if declared.default is not None or type(None) not in kinds:
        return None
    return np.fromiter((value is not None for value in raw), np.bool_, len(raw))


def _judged_numbers(declared: Declaration, raw: Sequence[Any], dtype: type[np.generic]) -> Column:
    """The careful way: every value judged by itself."""
    data, present, bad = np.zeros(len(raw), dtype), np.ones(len(raw), np.bool_), np.zeros(len(raw), np.bool_)
    for row, handed in enumerate(raw):
        value, sound = _judged(declared, handed)
        bad[row], present[row] = not sound, value is not None
        data[row] = 0 if value is None else value
    return Column(declared, data, None, present, bad, {row: raw[row] for row in map(int, np.flatnonzero(bad))})


def _judged(declared: Declaration, raw: Any) -> tuple[Value, bool]:
    try:
        return accept(declared, raw), True
    except EvaluationError:
        return None, False


def _words(declared: Declaration, raw: Sequence[Any]) -> Column:
    """Codes in the order of first appearance; values that cannot be told apart by a dict get a code each."""
    keys: Sequence[Any] = raw
    if not set(map(type, raw)) <= {str, type(None)}:
        keys = [(type(value), value if type(value) in _SAFE_KEYS else row) for row, value in _keyed(raw)]
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    data = np.fromiter(map(codes.__getitem__, keys), np.int64, len(raw))
    judged = [_judged(declared, raw[int(row)]) for row in first_of_each(data, len(codes))]
    words, sound = tuple(value for value, _ in judged), np.array([sound for _, sound in judged], np.bool_)
    present, bad = np.array([word is not None for word in words], np.bool_)[data], ~sound[data]
    found = {row: raw[row] for row in map(int, np.flatnonzero(bad))}
    narrow = data.astype(np.min_scalar_type(len(codes)))  # a narrow code is a fast one
    return Column(declared, narrow, words, _mask(present), bad if found else None, found)


def first_of_each(codes: Array, count: int) -> NDArray[np.int64]:
    """The first row with each of the codes 0 to `count`; -1 where there is none."""
    first = np.full(count, -1, np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal indices the last assignment stays
    return first


def _keyed(raw: Sequence[Any]) -> Iterable[tuple[int, Any]]:
    """Every value with its row; absent ones all with one row, so that they are one word."""
    return ((-1 if value is None else row, value) for row, value in enumerate(raw))


def _mask(present: Mask) -> Mask | None:
    return None if present.all() else present
