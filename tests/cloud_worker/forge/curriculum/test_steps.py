"""Worked steps are true: every column, the carries between columns, and the result behind the arrow."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cloud_worker.forge.curriculum.steps import add_steps, multiply_steps, subtract_steps, value_of, worked

NUMBERS = st.integers(0, 9999)


def holds(step: str) -> bool:
    """Whether all sides of an equation such as `4*6+4=24+4=28` are equal."""
    sides = [re.sub(r"\b0+(?=\d)", "", side) for side in step.split("=")]
    return len({eval(side) for side in sides}) == 1


def read(steps: list[str]) -> list[int]:
    return [int(step.rsplit("=", 1)[1]) for step in steps]


def upwards(steps: list[str]) -> int:
    """The last column whole, then the ones of the others from right to left."""
    *others, last = read(steps)
    return int(str(last) + "".join(str(total % 10) for total in reversed(others)))


@given(NUMBERS, NUMBERS)
def test_additions(a: int, b: int) -> None:
    steps = add_steps(a, b)
    assert all(map(holds, steps))
    carries = [int(step.split("=")[0].split("+")[2]) for step in steps[1:]]
    assert carries == [total // 10 for total in read(steps)[:-1]]
    assert upwards(steps) == a + b


@given(NUMBERS, NUMBERS)
def test_subtractions(a: int, b: int) -> None:
    a, b = max(a, b), min(a, b)
    steps = subtract_steps(a, b)
    assert all(map(holds, steps))
    assert int("".join(map(str, reversed(read(steps))))) == a - b


@given(NUMBERS, st.integers(0, 9))
def test_multiplications(a: int, b: int) -> None:
    steps = multiply_steps(a, b)
    assert all(map(holds, steps))
    assert upwards(steps) == a * b


@given(NUMBERS, NUMBERS, st.sampled_from("+-*"))
def test_every_operation_ends_in_its_value(a: int, b: int, sign: str) -> None:
    assume(a >= b and (sign != "*" or b < 10))
    assert int(re.split("[=→]", worked(a, sign, b))[-1]) == value_of(a, sign, b) == eval(f"{a}{sign}{b}")


@given(st.integers(100, 999), st.integers(100, 999), st.sampled_from("+-"))
def test_columns_after_the_ones_are_equally_wide(a: int, b: int, sign: str) -> None:
    columns = worked(max(a, b), sign, min(a, b)).split(": ")[1].split(" → ")[0].split(", ")
    assert {len(column) for column in columns[1:]} == {len(columns[0]) + 2}


@pytest.mark.parametrize(
    ("a", "sign", "b", "text"),
    [
        (3, "+", 4, "3+4=07 → 7"),
        (9, "-", 4, "9-4+00=5 → 5"),
        (34, "+", 58, "34+58: 4+8=12, 3+5+1=09 → 92"),
        (52, "-", 17, "52-17: 2-7+10=5, 5-1-1+00=3 → 35"),
        (47, "*", 6, "47*6: 7*6=42, 4*6+4=24+4=28 → 282"),
    ],
)
def test_how_it_is_written(a: int, sign: str, b: int, text: str) -> None:
    assert worked(a, sign, b) == text
