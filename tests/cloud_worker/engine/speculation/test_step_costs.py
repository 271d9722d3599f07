"""Step times: seeds, lines between what was seen, interruptions, a machine that slows down."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.speculation.step_costs import CPU_SEED, FIRST_STEPS, StepCosts, size_of
from tests.cloud_worker.engine.speculation.simulated import two_cores


def observed(*steps: tuple[int, float]) -> StepCosts:
    costs = StepCosts()
    for rows, seconds in steps:
        costs.observe(rows, seconds)
    return costs


@pytest.mark.parametrize(
    ("rows", "size"),
    [(1, 1), (7, 7), (8, 8), (9, 16), (33, 40), (64, 64), (65, 80), (128, 128), (129, 160), (513, 640)],
)
def test_sizes_are_padded_rows(rows: int, size: int) -> None:
    assert size_of(rows) == size


@given(st.integers(1, 10_000))
def test_a_size_holds_its_rows_and_is_of_its_own_size(rows: int) -> None:
    assert rows <= size_of(rows) <= max(rows + 7, rows * 5 // 4) and size_of(size_of(rows)) == size_of(rows)


def test_the_seed_is_the_shape_until_steps_were_seen() -> None:
    costs = observed(*[(1, 0.05)] * FIRST_STEPS)
    assert costs.seconds(1) == pytest.approx(0.05)
    assert costs.seconds(32) == pytest.approx(0.05 * CPU_SEED[32])
    assert costs.seconds(0) == 0 and costs.knows_down_to(1) and not observed((1, 0.05)).knows_down_to(1)


def test_between_two_sizes_there_is_a_line_and_beyond_them_it_goes_on() -> None:
    costs = observed(*[(8, 1.0)] * 6, *[(24, 3.0)] * 6)
    assert costs.seconds(16) == pytest.approx(2.0)
    assert costs.seconds(40) == pytest.approx(5.0)


def test_a_whole_machine_is_learnt() -> None:
    dice, costs = random.Random(2), StepCosts()
    for _ in range(400):
        rows = dice.randint(1, 64)
        costs.observe(rows, two_cores(rows) * dice.lognormvariate(0, 0.04) * (3 if dice.random() < 0.02 else 1))
    for rows in (1, 4, 8, 16, 32, 48, 64):
        assert costs.seconds(rows) == pytest.approx(two_cores(rows), rel=0.12)


@pytest.mark.parametrize("interrupted", [0, 1, 2])
def test_one_interrupted_step_of_a_size_is_not_believed(interrupted: int) -> None:
    costs = observed(*[(8, 1.0)] * 6)
    for number in range(4):
        costs.observe(16, 14.0 if number == interrupted else 1.4)
    assert costs.seconds(16) == pytest.approx(1.4)


def test_a_machine_that_slows_down_does_so_for_all_sizes() -> None:
    costs = observed(*[(8, 1.0)] * 12, *[(32, 3.0)] * 12)
    for _ in range(8):
        costs.observe(8, 2.0)
    assert costs.seconds(32) == pytest.approx(6.0, rel=0.05)


@given(st.lists(st.tuples(st.integers(-1, 300), st.floats(0, 1e3)), max_size=60))
def test_whatever_was_seen_times_stay_positive_numbers(steps: list[tuple[int, float]]) -> None:
    costs = observed(*steps)
    assert all(0 < costs.seconds(rows) < float("inf") for rows in (1, 8, 9, 64, 100, 1000))


@given(st.lists(st.tuples(st.integers(1, 200), st.floats(0.001, 10.0)), min_size=FIRST_STEPS, max_size=60))
def test_more_rows_never_take_less_whatever_was_seen(steps: list[tuple[int, float]]) -> None:
    costs = observed(*steps)
    known = sorted({size_of(rows) for rows, _ in steps})
    times = [costs.seconds(size) for size in known]
    assert all(fewer <= more * (1 + 1e-12) for fewer, more in itertools.pairwise(times))


def test_times_beside_others_slow_down_with_them_and_not_by_themselves() -> None:
    steps = observed(*[(1, 1.0)] * 8)
    calls = StepCosts(beside=steps)
    for _ in range(8):
        calls.observe(1, 0.2)
    for _ in range(8):
        steps.observe(1, 2.0)
    assert calls.seconds(1) == pytest.approx(0.4), "the machine became half as fast"
    for _ in range(8):
        calls.observe(4, 1.2)  # a size that takes its time, not a slow machine
    assert calls.seconds(1) == pytest.approx(0.4) and calls.seconds(4) == pytest.approx(1.2)


def test_times_beside_others_that_are_not_known_say_nothing() -> None:
    calls = StepCosts(beside=StepCosts())
    for _ in range(8):
        calls.observe(1, 0.2)
    assert not calls.knows_down_to(1)
