"""The state machine: the whole way, approvals, schedule, holds, breaches; and what no order of events can do."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rollout import (
    NOTHING_MEASURED,
    Applied,
    Approved,
    Because,
    Done,
    Event,
    HoldAsked,
    Measures,
    OnHold,
    Refusal,
    Resumed,
    RollBackAsked,
    RolledBack,
    RolloutError,
    RolloutState,
    Running,
    Scheduled,
    Ticked,
    Waiting,
    advance,
    applied,
    begin,
    restored,
    stands,
    state_to_dict,
)
from tests.policies.rollout.rollouts import HOUR_S, START_S, after, approvals, counted, planned, steps, ticks

PLAN = planned(approvals={"count": 2}, gates={"decisionChange": "<= 8%", "errors": "<= 1%"})
FREE = planned()
WATCHED = planned(gates={"decisionChange": "<= 8%"})
HOLDING = planned(gates={"decisionChange": "<= 8%"}, onBreach="hold")
CHANGED = (900, 1000)


def test_the_whole_way() -> None:
    events: list[Event] = [
        *approvals("bob", "eve"),
        *ticks(0, 1),
        counted(1, 1.5, decisionChange=(10, 1000)),
        *ticks(2, 2.5),
        counted(2, 2.8, errors=(1, 500)),
        *ticks(3, 3.1),
    ]
    way = steps(PLAN, begin(PLAN, "ada", START_S), events)
    assert not any(step.refused for step in way)
    assert [(step.state.position.word, step.reason) for step in way if step.moved] == [
        ("scheduled", "approved by bob, eve"),
        ("running", "stage 1 of 3: shadow for 100 %"),
        ("running", "stage 2 of 3: enforce for 5 %"),
        ("running", "stage 3 of 3: enforce for 100 %"),
        ("done", "all stages are over"),
    ]
    assert way[-1].state.since_s == START_S + 3.1 * HOUR_S
    assert way[2].to_dict() == {
        "from": "scheduled",
        "to": "running",
        "since_s": START_S,
        "stage": 0,
        "reason": "stage 1 of 3: shadow for 100 %",
    }


# ── approvals ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spec", "names", "position"),
    [
        ({"count": 2}, ["bob"], Waiting()),
        ({"count": 2}, ["bob", "eve"], Scheduled()),
        ({"count": 1, "selfApprove": True}, ["ada"], Scheduled()),
        ({"count": 0}, [], Scheduled()),
    ],
)
def test_approvals(spec: dict[str, Any], names: list[str], position: object) -> None:
    assert after(planned(approvals=spec), *approvals(*names)).position == position


@pytest.mark.parametrize(
    ("events", "code"),
    [
        (approvals("ada"), Refusal.OWN_APPROVAL),
        (approvals("bob", "bob"), Refusal.SECOND_APPROVAL),
        (approvals(" "), Refusal.NO_NAME),
        (approvals("b" * 201), Refusal.NO_NAME),
        (approvals("bob", "eve", "joe"), Refusal.NOT_NOW),
        ([Approved("bob", math.nan)], Refusal.NO_TIME),
        ([Ticked(-1.0)], Refusal.NO_TIME),
        ([Ticked(math.inf)], Refusal.NO_TIME),
        ([HoldAsked("bob", START_S)], Refusal.NOT_NOW),
        ([Resumed("bob", START_S)], Refusal.NOT_NOW),
        ([counted()], Refusal.NOT_NOW),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(events: list[Event], code: Refusal) -> None:
    *before, last = steps(PLAN, begin(PLAN, "ada", START_S), events)
    assert last.refused is code and last.reason and not any(step.refused for step in before)
    assert last.state is last.before and not last.moved
    assert last.to_dict()["refused"] == str(code)


@pytest.mark.parametrize(("author", "at_s"), [("", 1.0), ("ada", math.nan)])
def test_no_beginning(author: str, at_s: float) -> None:
    with pytest.raises(RolloutError):
        begin(PLAN, author, at_s)


def test_a_state_of_another_plan_is_refused() -> None:
    step = advance(PLAN, begin(FREE, "ada", START_S), ticks(0)[0])
    assert step.refused is Refusal.OTHER_PLAN


# ── schedule ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_begins_before_its_time() -> None:
    plan = planned(startAt="2026-12-01T09:00:00Z")
    way = steps(plan, begin(plan, "ada", START_S), ticks(0.9, 1.0))
    assert [step.state.position.word for step in way] == ["scheduled", "running"]
    assert way[0].reason == "begins at 2026-12-01T09:00:00Z"


def test_stages_begin_inside_a_window() -> None:
    plan = planned(windows=[{"from": "08:00", "to": "09:30"}])
    way = steps(plan, begin(plan, "ada", START_S), ticks(-1, 0, 2, 24, 26, 48.5, 50))
    words = [(step.state.position.word, getattr(step.state.position, "stage", None)) for step in way]
    running = [("running", 0), ("running", 0), ("running", 1), ("running", 1), ("running", 2), ("done", None)]
    assert words == [("scheduled", None), *running]
    assert "window" in way[0].reason and "window" in way[2].reason


def test_a_clock_that_was_set_back_ends_nothing_and_keeps_the_order() -> None:
    way = steps(FREE, begin(FREE, "ada", START_S), [*ticks(0, 2, -5), HoldAsked("eve", START_S - 99)])
    assert [step.state.position.word for step in way] == ["running", "running", "running", "on-hold"]
    assert [step.state.since_s for step in way] == [START_S, *[START_S + 2 * HOUR_S] * 3]


# ── measures ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_stage_does_not_end_unmeasured() -> None:
    plan = planned(gates={"decisionChange": "<= 8%"}, atLeast=100)
    events: list[Event] = [
        *ticks(0),
        counted(1, 1, decisionChange=(0, 99)),
        *ticks(9),
        counted(1, 9, decisionChange=(0, 100)),
        *ticks(9),
    ]
    way = steps(plan, begin(plan, "ada", START_S), events)
    assert "decisionChange has 99 of 100" in way[2].reason and not way[2].moved
    assert way[4].moved and way[4].state.measures == NOTHING_MEASURED


def test_a_breach_rolls_back() -> None:
    state = after(WATCHED, *ticks(0), counted(decisionChange=CHANGED))
    assert state.position == RolledBack("decisionChange")
    assert state.reason == "decisionChange: 900 of 1000 (90 %); allowed is <= 8%"
    assert applied(WATCHED, state, "tablet-1") == Applied(False, False, Because.ROLLED_BACK)


def test_a_breach_may_hold_and_a_person_lets_it_go_on() -> None:
    held = after(HOLDING, *ticks(0), counted(1, 1, decisionChange=CHANGED))
    assert held.position == OnHold(0, 1, HOUR_S, "decisionChange")
    assert advance(HOLDING, held, counted(1, 1, decisionChange=(901, 1001))).refused is Refusal.NOT_NOW
    resumed = advance(HOLDING, held, Resumed("eve", START_S + 5 * HOUR_S)).state
    assert resumed.position == Running(0, 2) and resumed.measures == NOTHING_MEASURED
    late = advance(HOLDING, resumed, counted(1, 5, decisionChange=CHANGED))
    assert late.refused is Refusal.OTHER_RUN


def test_totals_may_be_told_twice_and_may_not_shrink() -> None:
    state = after(WATCHED, *ticks(0), counted(decisionChange=(5, 100)))
    assert advance(WATCHED, state, counted(decisionChange=(5, 100))).state == state
    assert advance(WATCHED, state, counted(decisionChange=(5, 99))).refused is Refusal.SHRUNK
    assert advance(WATCHED, state, counted()).refused is Refusal.SHRUNK


def test_measures_do_not_restart_the_stage() -> None:
    state = after(WATCHED, *ticks(0), counted(1, 1.9, decisionChange=(5, 100)), *ticks(2))
    assert state.position == Running(1, 2)


def test_how_the_gates_stand() -> None:
    assert stands(WATCHED, after(WATCHED)) == ()
    state = after(WATCHED, *ticks(0), counted(decisionChange=(8, 100)))
    (standing,) = stands(WATCHED, state)
    assert not standing.breached and standing.found == "8 of 100 (8 %)"


# ── people ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_time_stands_still_on_hold() -> None:
    held = after(FREE, *ticks(0), HoldAsked("eve", START_S + HOUR_S, "lunch"))
    assert held.position == OnHold(0, 1, HOUR_S) and held.reason == "held by eve: lunch"
    way = steps(FREE, held, [*ticks(9), Resumed("eve", START_S + 9 * HOUR_S), *ticks(9.9, 10)])
    assert [step.moved for step in way] == [False, True, False, True]
    assert way[2].reason == "stage 1 of 3 lasts another 360 s"


def test_a_breach_on_hold_counts() -> None:
    events: list[Event] = [*ticks(0), HoldAsked("eve", START_S + 60), counted(decisionChange=CHANGED)]
    assert after(WATCHED, *events).position == RolledBack("decisionChange")
    assert after(HOLDING, *events).position == OnHold(0, 1, 60.0, "decisionChange")


@pytest.mark.parametrize("hours", [[], [0], [0, 2]])
def test_a_person_rolls_back_at_any_time(hours: list[float]) -> None:
    state = after(FREE, *ticks(*hours), RollBackAsked("eve", START_S, "customers call"))
    assert state.position == RolledBack() and state.reason == "rolled back by eve: customers call"


@pytest.mark.parametrize("end", [[RollBackAsked("eve", START_S)], ticks(0, 2, 3, 3)])
def test_the_end_is_the_end(end: list[Event]) -> None:
    state = after(FREE, *end)
    assert isinstance(state.position, RolledBack | Done)
    more: list[Event] = [RollBackAsked("eve", START_S), HoldAsked("eve", START_S), Resumed("eve", START_S), counted()]
    assert {step.refused for step in steps(FREE, state, more)} == {Refusal.NOT_NOW}
    assert advance(FREE, state, Ticked(START_S + 99 * HOUR_S)).state == state


def test_a_long_reason_is_cut() -> None:
    state = after(FREE, RollBackAsked("eve", START_S, "x" * 5000))
    assert len(state.reason) == 1000


# ── any order of events ─────────────────────────────────────────────────────────────────────────────────────────

_TIMES = st.floats(0.0, 12 * HOUR_S).map(lambda s: START_S + s) | st.sampled_from([math.nan, -1.0, math.inf])
_NAMES = st.sampled_from(["ada", "bob", "eve", ""])
_MEASURED = st.builds(
    lambda run, hour, hits, of: counted(run, hour, decisionChange=(min(hits, of), of), errors=(0, of)),
    st.integers(0, 4),
    st.floats(0.0, 12.0),
    st.integers(0, 400),
    st.integers(0, 400),
)
_EVENTS = st.one_of(
    st.builds(Approved, _NAMES, _TIMES),
    st.builds(Ticked, _TIMES),
    st.builds(Ticked, _TIMES),
    _MEASURED,
    st.builds(RollBackAsked, _NAMES, _TIMES),
    st.builds(HoldAsked, _NAMES, _TIMES),
    st.builds(Resumed, _NAMES, _TIMES),
)
_PLANS = st.sampled_from([PLAN, FREE, WATCHED, HOLDING])


@given(_PLANS, st.lists(_EVENTS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_no_order_of_events_breaks_the_rules(plan: Any, events: list[Event]) -> None:
    state = begin(plan, "ada", START_S)
    for event in events:
        step = advance(plan, state, event)
        _judge(plan, state, step.state)
        assert step.reason and (step.refused is None or step.state is state)
        state = step.state
        assert restored(plan, state_to_dict(state)) == state


def _judge(plan: Any, before: RolloutState, state: RolloutState) -> None:
    begun = isinstance(state.position, Running | OnHold | Done)
    assert not begun or len(state.approvals) == plan.approvals.count
    assert len(set(state.approvals)) == len(state.approvals) and "ada" not in state.approvals
    assert state.since_s >= before.since_s
    assert not isinstance(before.position, RolledBack | Done) or state.position == before.position
    stage, last = getattr(state.position, "stage", 0), getattr(before.position, "stage", 0)
    assert stage - last in (0, 1) or not begun or isinstance(state.position, Done)
    if applied(plan, state, "tablet-1").candidate and not applied(plan, before, "tablet-1").candidate:
        assert begun and isinstance(before.measures, Measures)
