"""Chances by place, learnt from verified drafts and from those that nobody verified."""

from __future__ import annotations

import random

import pytest

from cloud_worker.engine.speculation.acceptance import FIRST_CHANCE, Acceptance


def test_what_was_never_seen_is_as_likely_as_any_drafter_is() -> None:
    assert Acceptance().chances(6) == (FIRST_CHANCE,) * 6
    assert Acceptance().chances(0) == ()


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.9, 1.0])
def test_chances_approach_what_happens(chance: float) -> None:
    acceptance, dice = Acceptance(), random.Random(3)
    for _ in range(300):
        guessed = [int(dice.random() < chance) for _ in range(8)]
        acceptance.observe(guessed, [1] * ((*guessed, 0).index(0) + 1))
    assert acceptance.chances(1)[0] == pytest.approx(chance, abs=0.2)


def test_a_draft_that_nobody_verified_is_judged_by_what_came() -> None:
    acceptance = Acceptance()
    for _ in range(40):
        acceptance.observe((5, 6, 7), (5,))
    first, second, *_ = acceptance.chances(8)
    assert 0.95 < first <= 1 and second == pytest.approx(first, abs=0.05), (
        "nothing was seen of the second: as the first"
    )


def test_places_are_told_apart_up_to_the_first_that_fails() -> None:
    acceptance = Acceptance()
    for _ in range(60):
        acceptance.observe((5, 6, 7), (5, 9))
    first, second, third = acceptance.chances(3)
    assert first > 0.9 and second < 0.1 and third < 0.1


def test_a_new_answer_begins_with_what_others_showed() -> None:
    pool = Acceptance()
    for _ in range(40):
        Acceptance(pool).observe((5,), (5,))
    assert Acceptance(pool).chances(1)[0] > 0.9


def test_what_held_long_ago_counts_no_more() -> None:
    acceptance = Acceptance()
    for _ in range(200):
        acceptance.observe((5,), (5,))
    for _ in range(45):
        acceptance.observe((5,), (6,))
    assert acceptance.chances(1)[0] < 0.2


def test_what_is_hoped_for_lies_above_what_is_likely_and_comes_down_to_it() -> None:
    pool, few = Acceptance(), 0.0
    for seen in range(1, 25):
        acceptance = Acceptance(pool)
        acceptance.observe((5, 6), (5, 7) if seen % 2 else (8,))
        above = acceptance.hoped(6)[0] - acceptance.chances(6)[0]
        assert above > 0 and all(hoped <= 1 for hoped in acceptance.hoped(6))
        few = few or above
    assert above < 0.7 * few
