"""The math extension."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.language.library import STANDARD
from policies.language.types import INT_MAX, INT_MIN, UINT_MAX
from policies.language.values import EvaluationError, Uint, Value
from tests.policies.language.library.calling import error, run, same

INTS = st.integers(INT_MIN, INT_MAX)


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("math.ceil", (-0.5,), -0.0),
        ("math.ceil", (math.inf,), math.inf),
        ("math.floor", (-1.2,), -2.0),
        ("math.floor", (math.nan,), math.nan),
        ("math.round", (1.5,), 2.0),
        ("math.round", (2.5,), 3.0),
        ("math.round", (-1.5,), -2.0),
        ("math.round", (0.49999999999999994,), 0.0),
        ("math.round", (1e300,), 1e300),
        ("math.trunc", (-1.9,), -1.0),
        ("math.abs", (-11,), 11),
        ("math.abs", (Uint(11),), Uint(11)),
        ("math.abs", (-0.0,), 0.0),
        ("math.sign", (-42,), -1),
        ("math.sign", (Uint(9),), Uint(1)),
        ("math.sign", (-0.0,), 0.0),
        ("math.sign", (math.nan,), math.nan),
        ("math.isNaN", (math.nan,), True),
        ("math.isInf", (-math.inf,), True),
        ("math.isFinite", (math.inf,), False),
        ("math.sqrt", (81,), 9.0),
        ("math.sqrt", (Uint(4),), 2.0),
        ("math.sqrt", (-1.0,), math.nan),
        ("math.bitAnd", (-3, -5), -7),
        ("math.bitOr", (Uint(1), Uint(4)), Uint(5)),
        ("math.bitXor", (4, -2), -6),
        ("math.bitNot", (-1,), 0),
        ("math.bitNot", (Uint(0),), Uint(UINT_MAX)),
        ("math.bitShiftLeft", (1, 63), INT_MIN),
        ("math.bitShiftLeft", (-1, INT_MAX), 0),
        ("math.bitShiftLeft", (Uint(3), 63), Uint(2**63)),
        ("math.bitShiftRight", (-1024, 3), 2305843009213693824),
        ("math.bitShiftRight", (-1024, 0), -1024),
        ("math.bitShiftRight", (-1024, 64), 0),
        ("math.bitShiftRight", (Uint(1024), 2), Uint(256)),
    ],
)
def test_values(name: str, args: tuple[Value, ...], expected: Value) -> None:
    assert same(run(name, *args), expected)


@pytest.mark.parametrize(
    ("name", "args", "word"),
    [
        ("math.abs", (INT_MIN,), "overflow"),
        ("math.bitShiftLeft", (1, -1), "negative offset"),
        ("math.bitShiftRight", (Uint(1), -1), "negative offset"),
        ("math.ceil", (1,), "takes no"),
        ("math.sign", (True,), "takes no"),
        ("math.bitOr", (1.2, 1), "takes no"),
    ],
)
def test_errors(name: str, args: tuple[Value, ...], word: str) -> None:
    assert word in error(name, *args)


@pytest.mark.parametrize(
    ("items", "least", "greatest"),
    [
        ([5], 5, 5),
        ([1, 3, 2], 1, 3),
        ([1, 1.0], 1, 1),
        ([1.0, 1], 1.0, 1.0),
        ([5.4, 10, Uint(3), -5.0], -5.0, 10),
        ([[2, 3]], 2, 3),
    ],
)
def test_extremes(items: list[Value], least: Value, greatest: Value) -> None:
    assert same(STANDARD.by_id["least_mixed"].run(items), least)
    assert same(STANDARD.by_id["greatest_mixed"].run(items), greatest)
    assert same(run("math.greatest", items), greatest)


@pytest.mark.parametrize("items", [[], [[]], ["a"], [1, None], [True], [math.nan, 1.0]])
def test_no_extremes(items: list[Value]) -> None:
    with pytest.raises(EvaluationError, match=r"math\.least"):
        STANDARD.by_id["least_list_dyn"].run(items)


@given(INTS, st.integers(0, 80))
def test_shifts_are_those_of_64_bits(value: int, places: int) -> None:
    bits = (value << places) % 2**64
    assert run("math.bitShiftLeft", value, places) == (bits - 2**64 if bits >= 2**63 else bits)
    assert run("math.bitShiftRight", value, places) % 2**64 == value % 2**64 >> places
