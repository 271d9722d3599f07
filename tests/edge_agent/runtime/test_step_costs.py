"""Costs are learnt from a device's own calls, in calls of one row, whatever its pace does meanwhile."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.step_costs import FEWEST_SAMPLES, RESEARCH_COSTS, StepCosts

ROWS = st.integers(1, 4)


def run(costs: StepCosts, seconds: dict[int, float], calls: int, *, pace: float = 1.0, noise: float = 0.0) -> None:
    """Calls of all these numbers of rows in turn, on a device where one row takes `pace` as long as before."""
    numbers = random.Random(1)
    for call in range(calls):
        rows = sorted(seconds)[call % len(seconds)]
        costs.observe(rows, seconds[rows] * pace * (1 + noise * numbers.uniform(-1, 1)))


def test_what_was_not_measured_is_as_researched() -> None:
    costs = StepCosts()
    run(costs, {1: 0.01}, 20)
    assert {rows: costs.of(rows) for rows in (1, 2, 4)} == pytest.approx({1: 1.0, 2: 1.14, 4: 1.58})


def test_the_devices_own_calls_stand_over_the_research() -> None:
    costs = StepCosts()
    run(costs, {1: 0.010, 2: 0.027, 4: 0.028}, 60, noise=0.1)
    assert {rows: costs.of(rows) for rows in (1, 2, 4)} == pytest.approx({1: 1.0, 2: 2.7, 4: 2.8}, rel=0.1)


def test_a_few_calls_are_not_taken_for_the_device() -> None:
    costs = StepCosts()
    run(costs, {1: 0.01}, 10)
    run(costs, {2: 0.05}, FEWEST_SAMPLES - 1)
    assert costs.of(2) == RESEARCH_COSTS[2]


@pytest.mark.parametrize("pace", [0.3, 4.0])
def test_a_device_that_changes_its_pace_changes_no_ratio(pace: float) -> None:
    costs = StepCosts()
    run(costs, {1: 0.01, 2: 0.013, 4: 0.02}, 60, noise=0.05)
    run(costs, {4: 0.02}, 40, pace=pace, noise=0.05)
    assert costs.of(4) == pytest.approx(2.0, rel=0.15)
    run(costs, {1: 0.01}, 3, pace=pace, noise=0.05)
    assert costs.of(4) == pytest.approx(2.0, rel=0.15)


def test_single_interrupted_calls_move_little() -> None:
    costs = StepCosts()
    for call in range(100):
        costs.observe(1, 0.5 if call % 25 == 24 else 0.01)
        costs.observe(2, 0.012)
    assert costs.of(2) == pytest.approx(1.2, rel=0.3)


@pytest.mark.parametrize(("pads", "run_rows"), [(False, [1, 2, 4, 4]), (True, [2, 2, 4, 4])])
def test_calls_are_padded_to_whole_tiles(pads: bool, run_rows: list[int]) -> None:
    costs = StepCosts(pads=pads)
    assert [costs.run_rows(rows) for rows in (1, 2, 3, 4)] == run_rows
    assert costs.of(3) == costs.of(4)


@given(calls=st.lists(st.tuples(ROWS, st.floats(-1, 1e6, allow_nan=False)), max_size=60), pads=st.booleans())
def test_costs_are_positive_numbers_whatever_the_clock_says(calls: list[tuple[int, float]], pads: bool) -> None:
    costs, again = StepCosts(pads=pads), StepCosts(pads=pads)
    for rows, seconds in calls:
        costs.observe(rows, seconds)
        again.observe(rows, seconds)
    found = [costs.of(rows) for rows in (1, 2, 3, 4)]
    assert all(0 < cost < float("inf") for cost in found)
    assert found == [again.of(rows) for rows in (1, 2, 3, 4)]
