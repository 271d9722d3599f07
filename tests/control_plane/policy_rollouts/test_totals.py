"""What a gateway counts: what each happening adds, sums over gateways, and records that nobody here wrote."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.policy_rollouts.totals import RunMeter, Totals, total
from policies import Decision, Mode
from policies.decision import ON_ERROR_RULE_ID
from policies.rollout import RolloutError, Share, Tally

EDGE, RACE = Decision(Mode.EDGE, "a", ""), Decision(Mode.RACE, "b", "")
FAILED = Decision(Mode.EDGE, ON_ERROR_RULE_ID, "")


def measured() -> RunMeter:
    meter = RunMeter()
    for old, candidate in ((EDGE, RACE), (EDGE, EDGE), (FAILED, RACE)):
        meter.compared(old, candidate)
    meter.repeated(True)
    meter.repeated(False)
    meter.decided(ON_ERROR_RULE_ID, candidate=True)
    meter.ended(False, 0.2, 1.0, candidate=True)
    meter.ended(True, None, 3.0, candidate=True)
    meter.ended(None, 0.5, 0.6, candidate=False)
    return meter


def test_what_is_counted() -> None:
    meter = measured()
    totals = meter.totals()
    old, candidate = totals.measures.old, totals.measures.candidate
    assert candidate.shares == {
        "decisionErrors": Share(1, 4), "decisionChange": Share(2, 3), "replayUnknown": Share(1, 2),
        "errors": Share(1, 2),
    }  # fmt: skip
    assert old.shares == {"decisionErrors": Share(1, 3)}
    assert (candidate.spread("firstToken").total, candidate.spread("total").total) == (1, 1)
    assert (old.spread("firstToken").total, old.spread("total").total) == (1, 0)  # its client did not wait for the end
    assert totals.modes == {(Mode.EDGE, Mode.RACE): 2} and meter.revision == 9


def test_the_tally_is_of_shadow_alone() -> None:
    tally = measured().totals().tally
    assert (tally.decided, tally.changed, tally.old_errors, tally.newly_leaving) == (3, 2, 1, 2)
    enforced = RunMeter()
    enforced.decided(ON_ERROR_RULE_ID, candidate=True)
    assert enforced.totals().tally == Tally()


def test_sums_and_records() -> None:
    totals = measured().totals()
    assert Totals.from_dict(json.loads(json.dumps(totals.to_dict()))) == totals
    both = total([totals, totals])
    assert both.measures.holds(totals.measures) and both.measures.candidate.share("errors") == Share(2, 4)
    assert both.tally.to_dict()["modes"] == [{"old": "edge", "candidate": "race", "count": 4}]
    assert total([]) == Totals()


@pytest.mark.parametrize(
    "damage",
    [
        {"old": 1}, {"modes": [["edge", "moon", 1]]}, {"modes": [[1]]}, {"modes": [["edge", "race", -1]]},
        {"more": 1}, {"candidate": {"shares": {"errors": [2, 1]}, "spreads": {}}},
        {"modes": [["edge", "race", True]]}, {"modes": None},
    ],
)  # fmt: skip
def test_damaged_records_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(RolloutError):
        Totals.from_dict(measured().totals().to_dict() | damage)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(_JSON | st.fixed_dictionaries({"old": _JSON, "candidate": _JSON, "modes": _JSON}))
@settings(max_examples=100, deadline=None)
def test_any_record_is_read_or_refused(data: Any) -> None:
    with contextlib.suppress(RolloutError):
        assert isinstance(Totals.from_dict(data), Totals)
