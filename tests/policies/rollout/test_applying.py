"""Which policy a key has: golden vectors, growing shares, missing keys."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.language.library.buckets import place
from policies.rollout import Applied, Because, RollBackAsked, applied
from policies.rollout.applying import PURPOSE, in_share
from tests.policies.rollout.rollouts import START_S, after, planned, ticks

_STAGES = [
    {"mode": "shadow", "percent": 50, "for": "1h"},
    {"mode": "shadow", "for": "1h"},
    {"mode": "enforce", "percent": 5, "for": "1h"},
    {"mode": "enforce", "percent": 10, "for": "1h"},
    {"mode": "enforce", "percent": 100, "for": "1h"},
]
PLAN = planned(stages=_STAGES)
SHADOW_HALF, SHADOW, FIVE, TEN, ALL, DONE = (after(PLAN, *ticks(*range(at + 1))) for at in range(6))
KEYS = [f"tablet-{at}" for at in range(400)]


def test_places_are_the_same_for_ever() -> None:
    golden = {("r42", "tablet-1"): 8_979_717, ("r42", "tablet-2"): 3_726_799, ("实验", "平板"): 9_491_802}
    assert {pair: place(PURPOSE, *pair) for pair in golden} == golden


def test_a_rollout_deals_its_keys_otherwise_than_a_rule_does() -> None:
    rule = {key for key in KEYS if place("edgewise/bucket/v1", "r42", key) < 5_000_000}
    rollout = {key for key in KEYS if in_share("r42", key, 50.0)}
    assert 60 < len(rule & rollout) < 140  # about a quarter: neither the same nor the opposite half


@given(st.text(), st.text(min_size=1), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
@settings(max_examples=60, deadline=None)
def test_a_smaller_share_is_inside_a_greater_one(salt: str, key: str, one: float, other: float) -> None:
    less, more = sorted((one, other))
    assert in_share(salt, key, more) or not in_share(salt, key, less)
    assert in_share(salt, key, 100.0) and not in_share(salt, key, 0.0)


def test_a_share_has_about_its_size() -> None:
    assert 20 <= sum(in_share("r42", key, 10.0) for key in KEYS) <= 60


def test_stages_grow_and_stick() -> None:
    five, ten = ({key for key in KEYS if applied(PLAN, state, key).candidate} for state in (FIVE, TEN))
    assert five and five < ten
    assert all(applied(PLAN, ALL, key) == Applied(True, False, Because.IN_SHARE) for key in KEYS)


def test_shadow_never_decides() -> None:
    answers = [applied(PLAN, SHADOW_HALF, key) for key in KEYS]
    assert {answer.shadow for answer in answers} == {True, False} and not any(one.candidate for one in answers)
    assert all(applied(PLAN, SHADOW, key).shadow for key in KEYS)


@pytest.mark.parametrize("key", [None, ""])
def test_a_missing_key_has_the_old_policy_until_the_end(key: str | None) -> None:
    assert [applied(PLAN, state, key) for state in (SHADOW_HALF, SHADOW, FIVE, ALL, DONE)] == [
        Applied(False, False, Because.NO_KEY),
        Applied(False, True, Because.NO_KEY),
        Applied(False, False, Because.NO_KEY),
        Applied(False, False, Because.NO_KEY),
        Applied(True, False, Because.DONE),
    ]


def test_before_and_after_a_roll_back_everybody_has_the_old_policy() -> None:
    back = after(PLAN, *ticks(0, 1, 2), RollBackAsked("ada", START_S))
    assert {applied(PLAN, after(PLAN), key) for key in KEYS} == {Applied(False, False, Because.NOT_BEGUN)}
    assert {applied(PLAN, back, key) for key in KEYS} == {Applied(False, False, Because.ROLLED_BACK)}
