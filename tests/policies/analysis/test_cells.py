"""Cells: every value of a type is in one, and their values lie where they should."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.analysis.cells import HOLE, after_prefix, between, cells_of_input, cells_of_term
from policies.language.types import BOOL, DOUBLE, DURATION, INT, INT_MAX, INT_MIN, STRING, UINT, UINT_MAX, Enum, Type
from policies.language.values import Duration, Uint


@pytest.mark.parametrize(
    ("type_", "low", "high", "value"),
    [
        (INT, None, None, 0),
        (INT, 3, 4, HOLE),
        (INT, 3, 5, 4),
        (INT, INT_MAX, None, HOLE),
        (INT, None, INT_MIN, HOLE),
        (UINT, None, Uint(0), HOLE),
        (UINT, Uint(UINT_MAX), None, HOLE),
        (DURATION, Duration(1), Duration(3), Duration(2)),
        (DOUBLE, 0.3, 0.4, 0.35),
        (DOUBLE, 20.0, 70.0, 45.0),
        (DOUBLE, 1.0, math.nextafter(1.0, 2.0), HOLE),
        (DOUBLE, sys.float_info.max, None, HOLE),
        (DOUBLE, None, 1e300, math.nextafter(1e300, 0.0)),
        (STRING, "a", "a\0", HOLE),
        (STRING, "a", "a1", "a0"),
        (STRING, "a", None, "ax"),
        (STRING, None, "", HOLE),
    ],
)
def test_a_value_between(type_: Type, low: Any, high: Any, value: Any) -> None:
    assert between(type_, low, high) == value
    assert type(between(type_, low, high)) is type(value)


@pytest.mark.parametrize(
    ("prefix", "end"), [("a", "b"), ("ab\U0010ffff", "ac"), ("", None), ("\U0010ffff", None), ("a\U0010ffff", "b")]
)
def test_the_end_of_a_prefix(prefix: str, end: str | None) -> None:
    assert after_prefix(prefix) == end


_LINES = st.one_of(
    st.tuples(st.just(INT), st.lists(st.integers(-5, 5)), st.integers(-9, 9)),
    st.tuples(st.just(DOUBLE), st.lists(st.floats(allow_nan=False)), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just(STRING), st.lists(st.text("ab\0", max_size=3)), st.text("ab\0", max_size=4)),
)


@settings(max_examples=60, deadline=None)
@given(_LINES)
def test_a_value_lies_in_its_cell_as_the_value_of_the_cell_does(line: tuple[Type, list[Any], Any]) -> None:
    type_, cuts, value = line
    cells = cells_of_input(type_, cuts, optional=True, usual=None, sample=None)
    cell = cells.cell_of(value)
    assert cell.bit_count() == 1
    assert cell & cells.present
    stands = cells.values[cell.bit_length() - 1]
    for cut in cells.points:
        assert (value < cut, value == cut) == (stands < cut, stands == cut)


def test_words_and_absence() -> None:
    cells = cells_of_input(Enum("x", ("a", "b"), ordered=False), ["c"], optional=True, usual="b", sample=None)
    assert cells.values == ("a", "b", None)
    assert (cells.absent, cells.present, cells.full, cells.preferred) == (4, 3, 7, 2)
    assert (cells.cell_of("a"), cells.cell_of(None), cells.cell_of("c")) == (1, 4, 0)


def test_a_term_may_fail_and_be_no_number() -> None:
    cells = cells_of_term(DOUBLE, [1.0], fallible=True)
    assert cells.cell_of(math.nan).bit_count() == cells.cell_of(-math.inf).bit_count() == 1
    assert cells.cell_of(math.inf) != cells.cell_of(2.0)
    assert not cells.present & cells.failed
    assert cells_of_term(BOOL, (), fallible=False).values == (False, True)
