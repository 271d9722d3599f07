"""Grids and ranges beside brute force, and the worked example of symmetric int8."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.forge.quantize.histogram import Histogram
from cloud_worker.forge.quantize.ranges import (
    SHRINKS,
    grid_of,
    minmax,
    mse_optimal,
    percentile,
    round_trip,
    squared_error,
)

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=200)


def seen(values: np.ndarray) -> Histogram:
    histogram = Histogram()
    histogram.add(values)
    return histogram


def test_the_worked_example() -> None:
    grid = grid_of(-2.5, 3.2, 8, True)
    assert round(grid.scale, 4) == 0.0252
    restored = float(round_trip(np.array([0.15]), grid)[0])
    assert round(0.15 / grid.scale) == 6
    assert (round(restored, 4), round(abs(restored - 0.15), 4)) == (0.1512, 0.0012)


@settings(deadline=None)
@given(values=VALUES, bits=st.sampled_from([4, 8]), is_symmetric=st.booleans())
def test_a_value_inside_the_range_moves_by_half_a_step_at_most(
    values: list[float], bits: int, is_symmetric: bool
) -> None:
    array = np.array(values)
    grid = grid_of(min(array.min(), 0.0), max(array.max(), 0.0), bits, is_symmetric)
    assert np.abs(round_trip(array, grid) - array).max() <= grid.scale * (0.5 if is_symmetric else 1.0) * (1 + 1e-9)
    assert float(round_trip(np.zeros(1), grid)[0]) == 0.0


@settings(deadline=None)
@given(values=VALUES, cuts=st.lists(st.integers(0, 200), max_size=4))
def test_a_stream_counts_every_value_once(values: list[float], cuts: list[int]) -> None:
    histogram = Histogram()
    for part in np.split(np.array(values), sorted(min(cut, len(values)) for cut in cuts)):
        histogram.add(part)
    assert histogram.total == len(values)
    assert minmax(histogram) == (min(values), max(values))


@pytest.mark.parametrize("share", [99.9, 99.0, 90.0])
def test_a_percentile_is_that_of_all_values(share: float) -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, 50_000)
    histogram = Histogram()
    for part in np.split(values, 25):
        histogram.add(part)
    low, high = percentile(histogram, share)
    expected = np.quantile(values, [(100 - share) / 200, 1 - (100 - share) / 200])
    assert (low, high) == pytest.approx(tuple(expected), abs=0.03)


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("bits", [4, 8])
def test_the_mse_range_is_the_best_of_all_that_are_tried(bits: int, is_symmetric: bool) -> None:
    values = np.random.default_rng(1).standard_t(3, 20_000)
    histogram = seen(values)
    low, high = minmax(histogram)
    found = squared_error(histogram, grid_of(*mse_optimal(histogram, bits, is_symmetric), bits, is_symmetric))
    if is_symmetric:
        reach = max(-low, high)
        tried = [grid_of(-reach * share, reach * share, bits, True) for share in SHRINKS]
    else:
        tried = [grid_of(low * one, high * two, bits, False) for one in SHRINKS[::8] for two in SHRINKS[::8]]
    best = min(float(np.mean((round_trip(values, grid) - values) ** 2)) for grid in tried)
    assert found <= best * 1.05
    assert found <= squared_error(histogram, grid_of(low, high, bits, is_symmetric))


def test_outliers_are_cut_where_few_levels_make_them_costly() -> None:
    values = np.append(np.random.default_rng(2).normal(0, 1, 10_000), [40.0])
    assert mse_optimal(seen(values), 4, True)[1] < 20.0 < minmax(seen(values))[1]


def test_a_constant_stream_has_a_grid() -> None:
    assert grid_of(*minmax(seen(np.zeros(5))), 8, True).scale == 1.0 / 127
    assert np.isfinite(mse_optimal(seen(np.zeros(5)))).all()


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        seen(np.array([1.0, np.inf]))


def test_an_empty_histogram_says_so() -> None:
    histogram = Histogram()
    histogram.add(np.zeros(0))
    with pytest.raises(ValueError, match="no quantile"):
        histogram.quantile(0.5)
    with pytest.raises(ValueError, match="multiple of 4"):
        Histogram(6)


def test_bins_stay_where_the_range_grows() -> None:
    histogram = Histogram(bins=64)
    for size in (1.0, 10.0, 1000.0):
        histogram.add(np.array([-size, size]))
    assert len(histogram.counts) == 64
    assert histogram.reach >= 1000.0
