"""Fixed-point logarithm and exponential: exact anchors, error bounds, and tables that do not move."""

import hashlib

import numpy as np
import pytest

from edgewise.generation import fixed_point


def test_anchors_are_exact() -> None:
    powers = 2 ** np.arange(53, dtype=np.int64)
    assert (fixed_point.log2_fixed(powers) == np.arange(53) << fixed_point.LOG2_BITS).all()
    halves = np.arange(41, dtype=np.int64) << fixed_point.EXP2_IN_BITS
    assert (fixed_point.exp2_fixed(halves) == (1 << fixed_point.EXP2_OUT_BITS) >> np.arange(41)).all()


def test_log2_is_within_its_stated_error() -> None:
    numbers = np.random.default_rng(1).integers(1, 2**53, 50_000)
    error = fixed_point.log2_fixed(numbers) / 2**fixed_point.LOG2_BITS - np.log2(numbers.astype(np.float64))
    assert np.abs(error).max() < 2**-26


def test_exp2_is_within_its_stated_error_and_never_rises() -> None:
    exponents = np.sort(np.random.default_rng(2).integers(0, 60 << 24, 50_000))
    got = fixed_point.exp2_fixed(exponents)
    assert np.abs(got / 2**40 - 2.0 ** (-exponents / 2**24)).max() < 2**-26
    assert (np.diff(got) <= 0).all()
    assert got[exponents >= 41 << 24].max() == 0


@pytest.mark.parametrize(
    ("table", "digest"),
    [("LOG2_TABLE", "e76765edc8eec51d"), ("EXP2_TABLE", "3996bf1f15120539")],
)
def test_tables_are_the_same_everywhere(table: str, digest: str) -> None:
    assert hashlib.sha256(getattr(fixed_point, table).astype("<i8").tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("function", "value"), [("ln2_fixed", 0.6931471805599453), ("log2_e_fixed", 1.4426950408889634)]
)
def test_constants(function: str, value: float) -> None:
    assert getattr(fixed_point, function)(50) / 2**50 == pytest.approx(value, abs=2**-50)
