"""The worked steps of sums lead to the value: each column is right, and the columns read upwards are the result."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.curriculum.sums import add_steps, multiply_steps, subtract_steps, work

NUMBERS = st.integers(0, 9999)


def holds(step: str) -> bool:
    left, right = step.split("=")
    return bool(eval(left) == int(right))


def columns(steps: list[str], value: int) -> int:
    """The number that the ones of all columns spell, the last column whole."""
    results = [int(step.split("=")[1]) for step in steps]
    low = "".join(str(result % 10) for result in reversed(results[:-1]))
    return int(f"{results[-1]}{low}") if results else value


@given(NUMBERS, NUMBERS)
def test_additions(a: int, b: int) -> None:
    steps = add_steps(a, b)
    assert all(map(holds, steps))
    assert columns(steps, a + b) == a + b == work(a, "+", b)[1]


@given(NUMBERS, NUMBERS)
def test_subtractions(a: int, b: int) -> None:
    a, b = max(a, b), min(a, b)
    steps = subtract_steps(a, b)
    assert all(map(holds, steps))
    assert columns(steps, a - b) == a - b == work(a, "-", b)[1]


@given(st.integers(10, 99), st.integers(2, 9))
def test_multiplications(a: int, b: int) -> None:
    steps = multiply_steps(a, b)
    assert all(map(holds, steps))
    assert sum(int(step.split("=")[1]) for step in steps) == a * b
