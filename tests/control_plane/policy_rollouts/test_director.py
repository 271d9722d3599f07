"""The director in memory: one policy for each key at every moment, and what answers and devices' records add."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.decisions.records import Decided, DecisionStatus, Finished
from control_plane.policy_rollouts.director import Director, Staged
from control_plane.policy_rollouts.totals import Totals
from policies import Policy
from policies.rollout import (
    Event,
    HoldAsked,
    Resumed,
    RollBackAsked,
    RolledBack,
    Share,
    Ticked,
    advance,
    applied,
)
from tests.control_plane.policy_rollouts.worlds import (
    KEYS,
    NEW_POLICY,
    NOON,
    OLD_POLICY,
    STAGES,
    START_S,
    ended,
    facts,
    staged,
    with_state,
)


def directing(found: Staged) -> Director:
    director = Director()
    director.stage(found)
    return director


def totals(director: Director) -> Totals:
    assert director.staged is not None
    return director.staged.meter.totals()


# one policy for each key ------------------------------------------------------------------------------------------

_EVENTS = st.lists(
    st.tuples(st.sampled_from(["tick", "hold", "resume", "roll back"]), st.floats(0.0, 2.0)), max_size=12
)


def event_of(word: str, at_s: float) -> Event:
    match word:
        case "tick":
            return Ticked(at_s)
        case "hold":
            return HoldAsked("ada", at_s)
        case "resume":
            return Resumed("ada", at_s)
        case _:
            return RollBackAsked("ada", at_s)


@given(_EVENTS, st.sampled_from(["device.id", "request.tenant"]))
@settings(max_examples=40, deadline=None)
def test_every_key_has_one_policy_and_shares_only_grow(events: list[tuple[str, float]], by: str) -> None:
    stages = [*STAGES[:2], {"mode": "enforce", "percent": 40, "for": "1h"}, STAGES[2]]
    here, at_s, before = staged(by=by, stages=stages), START_S, set[str]()
    for word, hours in events:
        at_s += hours * 3600
        here = with_state(here, advance(here.plan, here.state, event_of(word, at_s)).state)
        share = {key for key in KEYS[:60] if applied(here.plan, here.state, key).candidate}
        for key in KEYS[:60]:
            decision = here.decide(facts(**{"key": None, by: key}) if by == "device.id" else facts(**{by: key}))
            assert decision.policy_name == ("new" if key in share else "old")
            assert here.version_for(key) == (3 if key in share and by == "device.id" else 2)
        if isinstance(here.state.position, RolledBack):
            assert share == set()
            return
        assert share >= before
        before = share


def test_without_a_rollout_nothing_is_kept() -> None:
    director = Director()
    director.decided("s", OLD_POLICY.decide(facts()))
    director.finished("s", ended())
    director.heard([record("s")])
    assert director.versions == ()


def test_a_key_that_is_no_text_is_none() -> None:
    here = staged(0, stages=STAGES[2:])
    assert here.decide(facts(None)).policy_name == "old"
    assert here.decide(facts() | {"device.id": 5}).policy_name == "old"


# answers ----------------------------------------------------------------------------------------------------------


def test_answers_count_for_the_policy_that_decided_them() -> None:
    director = directing(staged(0, stages=STAGES[1:]))
    here = director.staged
    assert here is not None
    for key in KEYS:
        director.decided(key, here.decide(facts(key)))
        director.finished(key, ended("error"))
        director.finished(key, ended("error"))  # told twice
    director.finished("unknown", ended())
    share = sum(applied(here.plan, here.state, key).candidate for key in KEYS)
    found = totals(director).measures
    assert found.candidate.share("errors") == Share(share, share)
    assert found.old.share("errors") == Share(len(KEYS) - share, len(KEYS) - share)
    assert found.candidate.share("decisionErrors") == Share(0, share)


def test_an_answer_that_outlives_its_run_counts_for_nothing() -> None:
    director = directing(staged(0, stages=STAGES[1:]))
    here = director.staged
    assert here is not None
    director.decided("s", here.decide(facts()))
    director.stage(with_state(here, here.state))
    director.finished("s", ended("error"))
    assert totals(director) == Totals()


def test_the_answers_that_are_waited_for_are_bounded() -> None:
    director = Director(running_max=2)
    here = staged(0, stages=STAGES[1:])
    director.stage(here)
    for sid in ("a", "b", "c"):
        director.decided(sid, here.decide(facts(None)))
    for sid in ("a", "b", "c"):
        director.finished(sid, ended())
    assert totals(director).measures.old.share("errors") == Share(0, 2)


# what devices tell ------------------------------------------------------------------------------------------------


def record(sid: str, policy: Policy = OLD_POLICY, *, hours: float = 0.5, **changed: Any) -> Decided:
    """A device's decision, as telemetry brings it."""
    known = facts()
    decision = policy.decide(known)
    fields: dict[str, Any] = {
        "stream_id": sid,
        "at": NOON + timedelta(hours=hours),
        "tenant": "t",
        "key_id": "k",
        "origin": "device",
        "facts": known,
        "mode": str(decision.mode),
        "rule": decision.rule_id,
        "reason": "",
        "policy_digest": policy.digest,
    }
    return Decided(**fields | changed)


def answer(sid: str, status: DecisionStatus = "done") -> Finished:
    return Finished(stream_id=sid, at=NOON, status=status, first_token_s=0.1, total_s=0.5)


def test_in_shadow_a_devices_record_is_decided_again_by_both() -> None:
    director = directing(staged(0))
    director.heard([record("a"), record("b", mode="cloud"), record("c", rule="other"), answer("a")])
    found = totals(director)
    assert found.measures.candidate.share("replayUnknown") == Share(2, 3)
    assert found.tally.to_dict()["modes"] == [{"old": "edge", "candidate": "race", "count": 1}]


def test_records_of_another_policy_or_of_another_time_are_left_out() -> None:
    director = directing(staged(0))
    director.heard([record("a", policy_digest="x"), record("b", hours=-1), record("c", NEW_POLICY)])
    assert totals(director) == Totals()
    partly = directing(staged(0, stages=[{"mode": "shadow", "percent": 0.00001, "for": "1h"}, STAGES[2]]))
    partly.heard([record("a")])
    assert totals(partly) == Totals()


def test_where_the_candidate_decides_a_devices_record_counts_by_its_digest() -> None:
    director = directing(staged(0, stages=STAGES[1:]))
    events = [
        record("a"),
        record("b", NEW_POLICY),
        record("c", NEW_POLICY, rule="onError"),
        record("d", policy_digest="x"),
    ]
    director.heard([*events, answer("a"), answer("b", "failed"), answer("c", "cancelled"), answer("d")])
    found = totals(director).measures
    assert (found.old.share("decisionErrors"), found.candidate.share("decisionErrors")) == (Share(0, 1), Share(1, 2))
    assert (found.old.share("errors"), found.candidate.share("errors")) == (Share(0, 1), Share(1, 1))
    assert found.candidate.spread("firstToken").total == 2
