"""One ladder under any series of signals: what Climb promises of switches, hysteresis, dwell and lost sensors."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ladder.climb import SPAN_S, Bound, Change, Climb, Rung, Signal, Table
from edge_agent.ladder.limits import Limits
from edge_agent.ladder.tables import LadderSettings, battery_table, contention_table, heat_table, memory_table

HEAT = Signal("heat", "heat at", "degrees")
DWELL_S = 60.0
TABLE = Table(
    "test",
    "free",
    (
        Rung("one", Limits(speculation=False), (Bound(HEAT, 10, 5),), DWELL_S),
        Rung("two", Limits(threads=1), (Bound(HEAT, 20, 15),), DWELL_S),
        Rung("three", Limits(hand_over=True), (Bound(HEAT, 30, 25),), DWELL_S, urgent=True),
        Rung("four", Limits(loaded=False), (Bound(HEAT, 40, 35),), DWELL_S, urgent=True),
    ),
)
REAL = [make(LadderSettings()) for make in (memory_table, heat_table, battery_table, contention_table)]

Series = list[tuple[float, float]]
PASSED_S = st.sampled_from([0.0, 0.3, 1.0, 29.0, 60.0, 61.0, 599.0, 600.0, 601.0]) | st.floats(0, 700)
SERIES = st.lists(st.tuples(PASSED_S, st.floats(-5, 50)), max_size=60)


def run(climb: Climb, series: Series, signal: str = HEAT.name) -> list[tuple[float, int, Change | None]]:
    """(time, level, switch) after each step; the series' times are what passed since the step before."""
    now_s, seen = 0.0, []
    for passed_s, value in series:
        now_s += passed_s
        change = climb.step({signal: value}, now_s)
        seen.append((now_s, climb.level, change))
    return seen


def switches(climb: Climb, series: Series) -> list[Change]:
    return [change for _, _, change in run(climb, series) if change is not None]


def within_ten_minutes(changes: list[Change], index: int) -> list[Change]:
    """The switches of the ten minutes that end with this one, this one included."""
    end_s = changes[index].at_s
    return [each for each in changes[: index + 1] if end_s - each.at_s < SPAN_S]


@given(SERIES, st.integers(1, 4))
def test_ten_minutes_see_two_switches_and_one_for_each_urgent_rung(series: Series, calm: int) -> None:
    table = Table("test", "free", tuple(replace(rung, urgent=n >= calm) for n, rung in enumerate(TABLE.rungs)))
    changes = switches(Climb(table), series)
    for index in range(len(changes)):
        window = within_ten_minutes(changes, index)
        assert sum(not each.urgent for each in window) <= 2
        assert sum(each.urgent for each in window) <= len(TABLE.rungs) - calm


@given(SERIES)
def test_it_never_goes_down_within_ten_minutes_of_a_switch(series: Series) -> None:
    changes = switches(Climb(TABLE), series)
    assert all(within_ten_minutes(changes, index) == [each] for index, each in enumerate(changes) if not each.up)


@given(SERIES)
def test_a_change_tells_where_it_came_from(series: Series) -> None:
    level = 0
    for _, after, change in run(Climb(TABLE), series):
        assert (change is None) == (after == level)
        if change is not None:
            assert (change.before, change.after) == (TABLE.names[level], TABLE.names[after])
            assert change.up == (after > level) and change.urgent == (change.up and TABLE.rungs[after - 1].urgent)
            assert change.why and "nan" not in change.why
        level = after


@given(SERIES)
def test_going_down_takes_the_dwell_of_every_rung_that_is_left(series: Series) -> None:
    dwell_s = SPAN_S  # so long that the ten minutes between switches do not hide it
    slow = Table("test", "free", tuple(replace(rung, dwell_s=dwell_s) for rung in TABLE.rungs))
    reached_s = 0.0
    for change in switches(Climb(slow), series):
        left = slow.names.index(change.before) - slow.names.index(change.after)
        assert change.up or change.at_s - reached_s >= dwell_s * left
        reached_s = change.at_s


@given(st.lists(st.tuples(PASSED_S, st.floats(15.001, 19.999)), max_size=60))
def test_what_swings_within_the_band_changes_nothing(series: Series) -> None:
    for start in (9.0, 21.0):
        climb = Climb(TABLE)
        run(climb, [(0.0, start)])
        level = climb.level
        assert level == (2 if start > 20 else 0)
        band = series if level == 2 else [(passed_s, value - 10.0) for passed_s, value in series]
        assert switches(climb, band) == []


@pytest.mark.parametrize("table", REAL, ids=lambda table: table.ladder)
def test_each_rung_allows_less_than_the_one_below(table: Table) -> None:
    for lower, upper in zip(table.limits, table.limits[1:], strict=False):
        assert upper.is_as_strict_as(lower) and upper != lower


@pytest.mark.parametrize("table", REAL, ids=lambda table: table.ladder)
def test_a_graver_rung_is_called_later_and_left_sooner(table: Table) -> None:
    for lower, upper in zip(table.rungs, table.rungs[1:], strict=False):
        for bound in upper.bounds:
            for other in lower.bounds:
                if other.signal == bound.signal:
                    sign = 1 if bound.enter < bound.leave else -1
                    assert sign * bound.enter < sign * other.enter and sign * bound.leave <= sign * other.leave


@given(st.lists(st.floats(-5, 50), min_size=1, max_size=40), st.floats(0, 20))
def test_worse_signals_are_never_met_more_mildly(values: list[float], worse: float) -> None:
    """Upward nothing waits in a table of urgent rungs, so the levels themselves can be compared."""
    urgent = Table("test", "free", tuple(replace(rung, urgent=True) for rung in TABLE.rungs))
    mild, grave = Climb(urgent), Climb(urgent)
    for second, value in enumerate(values):
        mild.step({HEAT.name: value}, second)
        grave.step({HEAT.name: value + worse}, second)
        assert grave.limits.is_as_strict_as(mild.limits)


def test_up_is_at_once_and_down_is_slow() -> None:
    climb = Climb(TABLE)
    seen = run(climb, [(0.0, 45.0), *[(1.0, 0.0)] * 1000])
    assert [(now_s, each.after) for now_s, _, each in seen if each] == [(0.0, "four"), (600.0, "free")]


def test_it_goes_down_one_rung_where_only_that_one_is_calm() -> None:
    climb = Climb(TABLE)
    seen = run(climb, [(0.0, 21.0), *[(1.0, 12.0)] * 2000])
    assert [each.after for _, _, each in seen if each] == ["two", "one"]


def test_the_second_switch_up_goes_as_far_as_it_may_without_being_urgent() -> None:
    changes = switches(Climb(TABLE), [(0.0, 11.0), (700.0, 0.0), (61.0, 0.0), (1.0, 11.0)])
    assert [each.after for each in changes] == ["one", "free", "two"]
    assert changes[-1].why == "heat at 11 degrees >= 10"


def test_an_urgent_rung_is_entered_whatever_was_switched_before() -> None:
    changes = switches(Climb(TABLE), [(0.0, 11.0), (1.0, 21.0), (1.0, 31.0), (1.0, 41.0)])
    assert [(each.after, each.urgent) for each in changes] == [
        ("one", False),
        ("two", False),
        ("three", True),
        ("four", True),
    ]


@pytest.mark.parametrize("gone", [{}, {"heat": math.nan}, {"heat": math.inf}, {"other": 0.0}], ids=str)
def test_a_lost_sensor_moves_nothing(gone: dict[str, float]) -> None:
    climb = Climb(TABLE)
    climb.step({"heat": 25.0}, 0.0)
    assert all(climb.step(gone, 100.0 * step) is None for step in range(50)) and climb.name == "two"


def test_a_sensor_that_never_spoke_moves_no_ladder_from_its_start() -> None:
    climb = Climb(Table("test", "free", TABLE.rungs, start=2))
    assert all(climb.step({}, 100.0 * step) is None for step in range(50)) and climb.name == "two"


def test_when_it_comes_down_at_the_earliest() -> None:
    climb = Climb(TABLE)
    assert climb.free_at_s(5.0) == 5.0
    climb.step({"heat": 45.0}, 10.0)
    assert climb.free_at_s(11.0) == 610.0
    climb.step({"heat": 45.0}, 1000.0)
    assert climb.free_at_s(1000.0) == 1000.0 + DWELL_S


def test_why_names_the_reading_and_the_threshold() -> None:
    up = switches(climb := Climb(TABLE), [(0.0, 21.0)])[0]
    assert up.why == "heat at 21 degrees >= 20"
    down = switches(climb, [(600.0, 3.0), (60.0, 3.0), (60.0, 2.0)])
    assert [(each.after, each.why) for each in down] == [
        ("one", "calm: heat at 3 degrees"),
    ]
    assert up.values() == {
        "ladder": "test",
        "from": "free",
        "to": "two",
        "why": "heat at 21 degrees >= 20",
        "up": True,
        "urgent": False,
    }


def test_faulty_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="no band"):
        Bound(HEAT, 5, 5)
    with pytest.raises(ValueError, match="every rung above"):
        Table("test", "free", (TABLE.rungs[2], TABLE.rungs[1]))
