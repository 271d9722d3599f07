"""The latency planner: 500 ms to 200 ms, the least effort, what cannot be reached, bad input."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.forge.plan.inputs import PlanInputError
from cloud_worker.forge.plan.latency import (
    EXAMPLE_MEASURES,
    EXAMPLE_MS,
    MOST_MEASURES,
    Measure,
    plan_latency,
    read_measures,
    read_points,
)
from edgewise.observability.names import POINTS

measures = st.builds(
    Measure,
    name=st.just("m"),
    point=st.sampled_from(POINTS),
    gain=st.floats(0.01, 1),
    effort=st.integers(0, 5).map(float),
)
times = st.fixed_dictionaries({point: st.floats(0, 500) for point in POINTS})


def test_the_worked_example() -> None:
    plan = plan_latency(EXAMPLE_MS, 200, EXAMPLE_MEASURES)
    assert plan.now_ms == 500 and plan.reached and plan.then_ms <= 200
    assert [row.point for row in plan.points] == list(POINTS)


@given(times, st.floats(1, 2000), st.lists(measures, max_size=5))
def test_no_other_set_is_better(points: dict[str, float], target: float, offered: list[Measure]) -> None:
    plan = plan_latency(points, target, offered)
    for size in range(len(offered) + 1):
        for chosen in itertools.combinations(offered, size):
            left = sum(
                points[point] * math.prod(1 - each.gain for each in chosen if each.point == point) for point in POINTS
            )
            if left <= target * (1 - 1e-9):
                assert plan.reached and plan.effort <= sum(each.effort for each in chosen)
            elif not plan.reached:
                assert plan.then_ms <= left * (1 + 1e-9)


def test_a_target_that_is_reached_needs_nothing() -> None:
    plan = plan_latency({"model": 100.0}, 200, EXAMPLE_MEASURES)
    assert plan.reached and plan.measures == () and plan.effort == 0


def test_what_is_out_of_reach_says_how_far() -> None:
    plan = plan_latency({"model": 100.0}, 10, [Measure(name="half", point="model", gain=0.5, effort=1)])
    assert not plan.reached and plan.then_ms == 50


def test_gains_at_one_point_multiply() -> None:
    half = Measure(name="half", point="queue", gain=0.5, effort=1)
    assert plan_latency({"queue": 100.0}, 25, [half, half]).then_ms == 25


def test_points_as_the_status_command_prints_them() -> None:
    assert read_points({"points": {"model": {"p50_ms": 12.5, "p95_ms": 20}}, "total": None}) == {"model": 12.5}
    assert read_points({"queue": 3}) == {"queue": 3.0}


def test_measures_from_a_file() -> None:
    raw = [{"name": "a", "point": "model", "gain": 0.5}]
    assert read_measures(raw) == (Measure(name="a", point="model", gain=0.5, effort=1.0),)


@pytest.mark.parametrize(
    "raw", [None, {}, [1], [{}], [{"name": "a"}], [{"name": "a", "point": "model", "gain": "x"}],
            [{"name": "a", "point": "model", "gain": math.nan}], [{"name": "a", "point": "model", "gain": 10**400}]]
)  # fmt: skip
def test_bad_measures_files(raw: Any) -> None:
    with pytest.raises(PlanInputError):
        read_measures(raw)


@pytest.mark.parametrize("raw", [None, [], {"points": 3}, {"model": "fast"}, {"model": {}}, {"model": True}])
def test_bad_points_files(raw: Any) -> None:
    with pytest.raises(PlanInputError):
        read_points(raw)


@pytest.mark.parametrize(
    ("points", "target", "measure"),
    [
        ({"disk": 3.0}, 1.0, None), ({"model": -3.0}, 1.0, None), ({"model": math.inf}, 1.0, None),
        ({"model": 3.0}, 0.0, None), ({"model": 3.0}, 1.0, ("disk", 0.5, 1.0)),
        ({"model": 3.0}, 1.0, ("model", 0.0, 1.0)),
        ({"model": 3.0}, 1.0, ("model", 1.5, 1.0)), ({"model": 3.0}, 1.0, ("model", 0.5, -1.0)),
    ],
)  # fmt: skip
def test_bad_input(points: dict[str, float], target: float, measure: tuple[str, float, float] | None) -> None:
    offered = [Measure(name="m", point=measure[0], gain=measure[1], effort=measure[2])] if measure else []
    with pytest.raises(PlanInputError):
        plan_latency(points, target, offered)


def test_more_measures_than_can_be_tried() -> None:
    with pytest.raises(PlanInputError, match="too many"):
        plan_latency(EXAMPLE_MS, 200, [EXAMPLE_MEASURES[0]] * (MOST_MEASURES + 1))
