"""The arithmetic operators: 64 bits, truncation, IEEE doubles, moments within their range."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library.arithmetic import MAX_DURATION, MAX_TIMESTAMP, MIN_TIMESTAMP
from policies.language.types import INT_MAX, INT_MIN, UINT_MAX
from policies.language.values import Duration, Timestamp, Uint, Value
from tests.policies.language.library.calling import error, run, same

INTS = st.integers(INT_MIN, INT_MAX)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("_+_", (2, 3), 5),
        ("_+_", (Uint(2), Uint(3)), Uint(5)),
        ("_+_", (0.1, 0.2), 0.1 + 0.2),
        ("_+_", ("a", "b"), "ab"),
        ("_+_", (b"a", b"b"), b"ab"),
        ("_+_", ([1], ["x"]), [1, "x"]),
        ("_+_", (Duration(1), Duration(-3)), Duration(-2)),
        ("_+_", (Timestamp(5), Duration(7)), Timestamp(12)),
        ("_+_", (Duration(7), Timestamp(5)), Timestamp(12)),
        ("_-_", (2, 3), -1),
        ("_-_", (Uint(3), Uint(2)), Uint(1)),
        ("_-_", (Timestamp(5), Timestamp(7)), Duration(-2)),
        ("_-_", (Timestamp(5), Duration(7)), Timestamp(-2)),
        ("_-_", (Duration(5), Duration(7)), Duration(-2)),
        ("_*_", (1e200, 1e200), math.inf),
        ("_/_", (-7, 2), -3),
        ("_/_", (7, -2), -3),
        ("_/_", (Uint(7), Uint(2)), Uint(3)),
        ("_/_", (1.0, 0.0), math.inf),
        ("_/_", (1.0, -0.0), -math.inf),
        ("_/_", (0.0, 0.0), math.nan),
        ("_/_", (math.nan, 0.0), math.nan),
        ("_%_", (-7, 2), -1),
        ("_%_", (7, -2), 1),
        ("_%_", (INT_MIN, -1), 0),
        ("_%_", (Uint(7), Uint(2)), Uint(1)),
        ("-_", (5,), -5),
        ("-_", (0.0,), -0.0),
    ],
)
def test_values(name: str, args: tuple[Value, ...], expected: Value) -> None:
    assert same(run(name, *args), expected)


@pytest.mark.parametrize(
    ("name", "args", "word"),
    [
        ("_+_", (INT_MAX, 1), "overflow"),
        ("_-_", (INT_MIN, 1), "overflow"),
        ("_*_", (2**62, 2), "overflow"),
        ("_/_", (INT_MIN, -1), "overflow"),
        ("-_", (INT_MIN,), "overflow"),
        ("_+_", (Uint(UINT_MAX), Uint(1)), "overflow"),
        ("_-_", (Uint(0), Uint(1)), "overflow"),
        ("_*_", (Uint(2**63), Uint(2)), "overflow"),
        ("_/_", (1, 0), "division by zero"),
        ("_%_", (1, 0), "division by zero"),
        ("_/_", (Uint(1), Uint(0)), "division by zero"),
        ("_%_", (Uint(1), Uint(0)), "division by zero"),
        ("_+_", (Timestamp(MAX_TIMESTAMP), Duration(1)), "timestamp out of range"),
        ("_-_", (Timestamp(MIN_TIMESTAMP), Duration(1)), "timestamp out of range"),
        ("_+_", (Duration(MAX_DURATION), Duration(1)), "duration out of range"),
        ("_-_", (Duration(-MAX_DURATION), Duration(1)), "duration out of range"),
        ("_-_", (Timestamp(MAX_TIMESTAMP), Timestamp(MIN_TIMESTAMP)), "duration out of range"),
        ("_+_", (1, 1.0), "takes no (int, double)"),
        ("_+_", (1, Uint(1)), "takes no (int, uint)"),
        ("_%_", (1.0, 1.0), "takes no (double, double)"),
        ("-_", (Uint(1),), "takes no (uint)"),
    ],
)
def test_errors(name: str, args: tuple[Value, ...], word: str) -> None:
    assert word in error(name, *args)


@given(INTS, INTS.filter(bool))
def test_quotient_and_remainder_make_the_dividend(a: int, b: int) -> None:
    if (a, b) == (INT_MIN, -1):
        return
    quotient, rest = run("_/_", a, b), run("_%_", a, b)
    assert quotient * b + rest == a
    assert abs(rest) < abs(b) and (rest == 0 or (rest < 0) == (a < 0))
