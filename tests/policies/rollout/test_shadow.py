"""Shadow evaluation: what counts as a change, and that tallies add up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import Decision, Mode, Terms, Timeouts
from policies.rollout import Share, Tally, differ

EDGE = Decision(Mode.EDGE, "r1", "why")
_DECISIONS = st.builds(
    Decision, st.sampled_from([Mode.EDGE, Mode.CLOUD]), st.sampled_from(["r1", "onError"]), st.just("")
)


@pytest.mark.parametrize(
    ("candidate", "changed"),
    [
        (Decision(Mode.EDGE, "r2", "another reason"), False),
        (Decision(Mode.CLOUD, "r1", "why"), True),
        (Decision(Mode.EDGE, "r1", "why", fallback=(Mode.CLOUD,)), True),
        (Decision(Mode.EDGE, "r1", "why", timeouts=Timeouts(total_s=2.0)), True),
        (Decision(Mode.EDGE, "r1", "why", terms=Terms(priority=3)), True),
    ],
)
def test_a_change_is_what_a_request_would_notice(candidate: Decision, changed: bool) -> None:
    assert differ(EDGE, candidate) is changed
    assert Tally.of(EDGE, candidate).changed == changed


def test_changes_are_counted_by_mode() -> None:
    cloud, failed = Decision(Mode.CLOUD, "r1", ""), Decision(Mode.REFUSE, "onError", "")
    pairs = [(EDGE, cloud), (EDGE, cloud), (cloud, EDGE), (EDGE, EDGE), (EDGE, failed)]
    tally = sum((Tally.of(*pair) for pair in pairs), Tally())
    assert tally.to_dict() == {
        "decided": 5,
        "changed": 4,
        "old_errors": 0,
        "candidate_errors": 1,
        "newly_leaving": 2,
        "modes": [
            {"old": "edge", "candidate": "cloud", "count": 2},
            {"old": "cloud", "candidate": "edge", "count": 1},
            {"old": "edge", "candidate": "refuse", "count": 1},
        ],
    }
    measured = tally.measures
    assert measured.candidate.shares == {"decisionChange": Share(4, 5), "decisionErrors": Share(1, 5)}
    assert measured.old.shares == {"decisionErrors": Share(0, 5)}


@given(st.lists(st.tuples(_DECISIONS, _DECISIONS), max_size=8), st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_tallies_of_several_gateways_add_up(pairs: list[tuple[Decision, Decision]], cut: int) -> None:
    def tally(some: list[tuple[Decision, Decision]]) -> Tally:
        return sum((Tally.of(*pair) for pair in some), Tally())

    assert tally(pairs[:cut]) + tally(pairs[cut:]) == tally(pairs)
    assert tally(pairs).changed == sum(differ(*pair) for pair in pairs)
