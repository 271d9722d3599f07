"""The quantization planner: the worked example, and what holds for every range and value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.plan.inputs import PlanInputError
from cloud_worker.forge.plan.quant import BITS, asymmetric, plan_quant, symmetric

ends = st.floats(-1e6, 1e6, width=32)
ranges = st.tuples(ends, ends).filter(lambda pair: pair[1] - pair[0] > 1e-3)


def test_the_worked_example() -> None:
    even, uneven = plan_quant(-2.5, 3.2, 8, [0.15])
    value = even.values[0]
    assert (round(even.grid.scale, 4), value.level) == (0.0252, 6)
    assert (round(value.restored, 4), round(value.error, 4)) == (0.1512, 0.0012)
    assert even.grid.zero_point == 0
    value = uneven.values[0]
    assert (round(uneven.grid.scale, 4), uneven.grid.zero_point, value.level) == (0.0224, -16, -9)
    assert (round(value.restored, 4), round(value.error, 4)) == (0.1565, 0.0065)


@given(ranges, st.sampled_from(BITS), st.floats(0, 1))
def test_within_the_range_no_value_is_off_by_more_than_half_a_step(
    pair: tuple[float, float], bits: int, share: float
) -> None:
    low, high = pair
    value = min(high, low + share * (high - low))
    even, uneven = plan_quant(low, high, bits, [value])
    assert even.values[0].error <= even.largest_error * (1 + 1e-9)
    # the zero point is rounded, so one end of the range may lie half a step beyond the levels
    assert uneven.values[0].error <= 2 * uneven.largest_error * (1 + 1e-9)


@given(ranges, st.sampled_from(BITS))
def test_nothing_stays_nothing(pair: tuple[float, float], bits: int) -> None:
    for grid in (symmetric(*pair, bits), asymmetric(*pair, bits)):
        assert grid.lowest <= grid.zero_point <= grid.highest
        assert grid.restore(grid.quantize(0.0)) == 0.0


@given(ranges, st.lists(ends, max_size=5))
def test_symmetric_levels_are_those_of_numpy(pair: tuple[float, float], values: list[float]) -> None:
    grid = symmetric(*pair, 8)
    expected = np.clip(np.round(np.array(values) / grid.scale), -127, 127)
    assert [grid.quantize(value) for value in values] == expected.tolist()


def test_a_value_outside_is_clipped_and_said_so() -> None:
    even, uneven = plan_quant(0.0, 1.0, 8, [2.0])
    assert even.values[0].clipped and uneven.values[0].clipped
    assert math.isclose(even.values[0].restored, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "bits", "values"),
    [
        (1.0, 1.0, 8, []), (2.0, 1.0, 8, []), (0.0, math.inf, 8, []), (math.nan, 1.0, 8, []), (0.0, 1.0, 9, []),
        (0.0, 1.0, 8, [math.nan]), (0.0, 1e308, 8, []), (-1e-40, 1e-40, 8, []), (0.0, 1.0, 8, [1e300]),
    ],
)  # fmt: skip
def test_bad_input(low: float, high: float, bits: int, values: list[float]) -> None:
    with pytest.raises(PlanInputError):
        plan_quant(low, high, bits, values)
