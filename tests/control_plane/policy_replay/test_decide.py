"""Whole decisions in bulk are those of Policy.decide, invariants held."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.policy_replay.decide import decide, facts_table
from policies import MODES, Policy
from tests.policies.documents import with_rules
from tests.policies.strategies import bools, sound_facts, unsound_facts
from tests.policies.test_equivalence import loaded


def compare(policy: Policy, facts: list[dict[str, Any]]) -> None:
    """Every row against the scalar decision."""
    found = decide(policy, facts_table(facts))
    for row, given_ in enumerate(facts):
        decision = policy.decide(given_)
        assert (found.rules[found.rule[row]], MODES[found.mode[row]]) == (decision.rule_id, decision.mode)
        assert bool(found.failed[row] | found.clamped[row]) == bool(decision.errors)
        assert bool(found.clamped[row]) == bool(decision.clamped_by)


WORLD = {"request.sensitivity": "public", "request.origin": "control_plane", "device.present": True}


def test_invariants_and_errors() -> None:
    rules = [
        ("request.needs_fresh", "cloud"),
        ("request.turns > 3", "prefer-edge"),
        ("1 / request.turns > 0", "refuse"),
    ]
    policy = Policy.load(
        with_rules(rules, invariants=[{"name": "none", "never": "decision.mode == 'edge' && request.turns > 8"}])
    )
    private = {**WORLD, "request.origin": "device", "request.sensitivity": "secret"}
    compare(
        policy,
        [
            WORLD,
            private,
            {**private, "request.needs_fresh": True},
            {**private, "request.needs_fresh": True, "device.present": False},
            {**private, "request.turns": 5},
            {**private, "request.turns": 9},
            {**WORLD, "request.turns": 0},
            {**WORLD, "request.turns": "many"},
            {**private, "request.turns": 0, "device.present": 1},
            {},
        ],
    )  # fmt: skip


@settings(max_examples=20, deadline=None)
@given(
    st.tuples(bools, bools, bools),
    st.lists(sound_facts | unsound_facts, min_size=1, max_size=6),
)
def test_decisions_are_those_of_the_policy(texts: tuple[str, str, str], facts: list[dict[str, Any]]) -> None:
    params = {"level": {"type": "request.sensitivity", "default": "personal"}}
    variables = [{"name": "number", "expr": "request.turns"}, {"name": "flag", "expr": "device.present"}]
    text = with_rules(
        [(texts[0], "prefer-edge"), (texts[1], "edge")],
        params=params,
        variables=variables,
        invariants=[{"name": "mine", "never": f"decision.mode != 'cloud' && {texts[2]}"}],
    )
    compare(loaded(text), facts)
