"""States as plain data: the way there and back, and damaged records."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.rollout import (
    Counts,
    Event,
    HoldAsked,
    Measured,
    Measures,
    Refusal,
    RollBackAsked,
    RolloutError,
    RolloutState,
    Share,
    Spread,
    read_counts,
    restored,
    state_to_dict,
)
from tests.policies.rollout.rollouts import START_S, after, approvals, counted, planned, ticks

PLAN = planned(approvals={"count": 1}, gates={"decisionChange": "<= 8%"}, onBreach="hold")
BEGUN: list[Event] = [*approvals("bob"), *ticks(0)]
FULL = Measures(
    Counts({"errors": Share(1, 5)}, {"total": Spread({7: 3, 2: 1})}), Counts({"decisionChange": Share(0, 9)})
)
STATES = [
    after(PLAN),
    after(PLAN, *approvals("bob")),
    after(PLAN, *BEGUN, Measured(1, FULL, START_S)),
    after(PLAN, *BEGUN, HoldAsked("eve", START_S + 5, "wait")),
    after(PLAN, *BEGUN, counted(decisionChange=(900, 1000))),
    after(PLAN, RollBackAsked("eve", START_S)),
    after(PLAN, *BEGUN, RollBackAsked("eve", START_S)),
    after(planned(approvals={"count": 1}, onBreach="hold"), *BEGUN, *ticks(2, 3, 3)),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.position.word)
def test_there_and_back(state: RolloutState) -> None:
    plan = PLAN if state.plan_digest == PLAN.digest else planned(approvals={"count": 1}, onBreach="hold")
    assert restored(plan, json.loads(json.dumps(state_to_dict(state)))) == state


def record(**changed: Any) -> dict[str, Any]:
    """A good record of a running stage, with some of it changed."""
    return {**state_to_dict(STATES[2]), **changed}


def measures(**shares: Any) -> dict[str, Any]:
    return {"old": {"shares": shares, "spreads": {}}, "candidate": {"shares": {}, "spreads": {}}}


def running(**changed: Any) -> dict[str, Any]:
    return {"word": "running", "stage": 0, "run": 1, "elapsed_s": 0.0, **changed}


@pytest.mark.parametrize(
    ("data", "code", "told"),
    [
        (None, Refusal.RECORD, "state: expected a map"),
        ([], Refusal.RECORD, "state"),
        ({}, Refusal.RECORD, "state"),
        (record(more=1), Refusal.RECORD, "state"),
        (record(plan="0" * 64), Refusal.OTHER_PLAN, "another plan"),
        (record(plan=5), Refusal.RECORD, "state.plan"),
        (record(author=""), Refusal.RECORD, "state.author"),
        (record(since_s="now"), Refusal.RECORD, "state.since_s"),
        (record(since_s=True), Refusal.RECORD, "state.since_s"),
        (record(since_s=float("nan")), Refusal.RECORD, "state.since_s"),
        (record(reason=None), Refusal.RECORD, "state.reason"),
        (record(approvals="bob"), Refusal.RECORD, "state.approvals"),
        (record(approvals=[]), Refusal.RECORD, "state.approvals"),
        (record(approvals=["ada"]), Refusal.RECORD, "state.approvals"),
        (record(approvals=["bob", "eve"]), Refusal.RECORD, "state.approvals"),
        (record(approvals=[1]), Refusal.RECORD, "state.approvals[0]"),
        (record(position="running"), Refusal.RECORD, "state.position.word"),
        (record(position={"word": "walking"}), Refusal.RECORD, "state.position.word"),
        (record(position={"word": []}), Refusal.RECORD, "state.position.word"),
        (record(position={"word": "waiting"}), Refusal.RECORD, "state.approvals"),
        (record(position={"word": "done"}), Refusal.RECORD, "state.measures"),
        (record(position={"word": "done", "stage": 1}), Refusal.RECORD, "state.position"),
        (record(position=running(stage=3)), Refusal.RECORD, "state.position.stage"),
        (record(position=running(stage=True)), Refusal.RECORD, "state.position.stage"),
        (record(position=running(run=0)), Refusal.RECORD, "state.position.run"),
        (record(position=running(elapsed_s=-1)), Refusal.RECORD, "state.position.elapsed_s"),
        (record(position={"word": "rolled-back", "breached": "rain"}), Refusal.RECORD, "state.position.breached"),
        (record(measures=measures(errors=[5])), Refusal.RECORD, "shares.errors"),
        (record(measures=measures(errors=[5, 1.5])), Refusal.RECORD, "shares.errors"),
        (record(measures=measures(errors=[5, 4])), Refusal.COUNTS, "5 of 4"),
        (record(measures=measures(rain=[5, 4])), Refusal.RECORD, "measures.old.shares"),
    ],
)
def test_a_damaged_record(data: Any, code: Refusal, told: str) -> None:
    with pytest.raises(RolloutError) as caught:
        restored(PLAN, data)
    assert caught.value.code is code and told in caught.value.message


@pytest.mark.parametrize("bins", [[[3, 1], [3, 2]], [[4, 1], [3, 2]], [[765, 1]], [[0, -1]], [[0]], {"0": 1}])
def test_damaged_bins(bins: Any) -> None:
    with pytest.raises(RolloutError):
        read_counts({"shares": {}, "spreads": {"total": bins}})


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(STATES[:7]), st.data())
@settings(max_examples=60, deadline=None)
def test_any_damage_is_a_rollout_error_or_a_good_state(state: RolloutState, data: st.DataObject) -> None:
    damaged = copy.deepcopy(state_to_dict(state))
    place: Any = damaged
    for _ in range(data.draw(st.integers(0, 3))):
        inner = [key for key, value in place.items() if isinstance(value, dict) and value]
        place = place[data.draw(st.sampled_from(inner))] if inner else place
    place[data.draw(st.sampled_from(sorted(place)))] = data.draw(_JUNK)
    try:
        good = restored(PLAN, damaged)
    except RolloutError:
        return
    assert restored(PLAN, state_to_dict(good)) == good
