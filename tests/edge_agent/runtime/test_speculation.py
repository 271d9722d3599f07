"""How many ids are drafted: by gain and cost, back to none where drafts fail, never at more than its share of time.

That the text stays the same is test_speculative_answers.py's.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.speculation import EXPLORATION, MOST_CREDIT, Acceptance, Speculation, expected_tokens
from edge_agent.runtime.step_costs import StepCosts
from edgewise.speculation import Draft

LOOP = (1, 2, 3, 4, 5, 6, 7)


class Device:
    """Steps an answer: drafts hold as long as `holds` says, a call costs what `seconds` says of its rows."""

    def __init__(self, seconds: dict[int, float], *, pads: bool = False) -> None:
        self.costs = StepCosts(pads=pads)
        self.seconds = seconds
        self.speculation = Speculation(self.costs, LOOP * 4)
        self.text = list(LOOP * 4)
        self.tokens, self.spent_s = 0, 0.0

    def run(self, steps: int, *, holds: bool) -> list[int]:
        """How many ids were drafted in each step. The text goes on as drafted, or with a surprise each time."""
        drafted = []
        for _ in range(steps):
            draft = self.speculation.draft(room=100)
            held = len(draft.ids) if holds else 0
            follows = self.text[len(self.text) - len(LOOP) + held]
            said = [*draft.ids[:held], follows if holds else (follows % len(LOOP)) + 1]
            seconds = self.seconds[self.costs.run_rows(1 + len(draft.ids))]
            self.costs.observe(1 + len(draft.ids), seconds)
            self.speculation.verified(draft, said, held)
            self.text += said
            self.tokens, self.spent_s = self.tokens + len(said), self.spent_s + seconds
            drafted.append(len(draft.ids))
        return drafted


USUAL = {1: 0.010, 2: 0.0115, 4: 0.016}


def test_copied_text_is_drafted_to_the_full() -> None:
    drafted = Device(USUAL).run(100, holds=True)
    assert sum(count == 3 for count in drafted[10:]) > 80


def test_drafts_that_fail_end_and_cost_their_share_at_most() -> None:
    device = Device(USUAL)
    device.run(60, holds=False)
    before = device.spent_s
    drafted = device.run(400, holds=False)
    assert sum(count == 0 for count in drafted) > 300
    assert (device.spent_s - before) / (400 * USUAL[1]) < 1 + 2 * EXPLORATION


def test_drafting_comes_back_when_the_text_repeats_again() -> None:
    device = Device(USUAL)
    assert sum(device.run(200, holds=False)[-50:]) < 25
    assert sum(count == 3 for count in device.run(150, holds=True)[-50:]) > 40


def test_a_device_where_several_rows_cost_their_full_price_drafts_nothing() -> None:
    device = Device({1: 0.010, 2: 0.020, 4: 0.040})
    device.run(300, holds=True)
    before, tokens = device.spent_s, device.tokens
    drafted = device.run(300, holds=True)
    assert (device.spent_s - before) / (device.tokens - tokens) < 0.010 * (1 + 2 * EXPLORATION)
    assert drafted.count(2) == 0, "three rows cost what four do"


def test_a_call_that_is_padded_anyway_carries_a_draft() -> None:
    device = Device({2: 0.010, 4: 0.040}, pads=True)
    device.run(60, holds=False)
    assert device.run(100, holds=False).count(1) > 90


@pytest.mark.parametrize("room", [0, 1, 2])
def test_no_more_is_drafted_than_there_is_room_for(room: int) -> None:
    speculation = Speculation(StepCosts(), LOOP * 4)
    assert len(speculation.draft(room).ids) <= room
    assert speculation.draft(-1) == Draft()


@given(
    chances=st.lists(st.floats(0, 1), max_size=3),
)
def test_expected_tokens_are_the_sum_over_all_outcomes(chances: list[float]) -> None:
    outcomes, reached = 0.0, 1.0
    for place, chance in enumerate(chances):
        outcomes += (place + 1) * reached * (1 - chance)
        reached *= chance
    assert expected_tokens(chances) == pytest.approx(outcomes + (len(chances) + 1) * reached)


def test_chances_are_learnt_by_the_length_of_the_match() -> None:
    acceptance = Acceptance()
    for _ in range(40):
        acceptance.observe(Draft((5, 6, 7), 3), 3)
        acceptance.observe(Draft((5,), 1), 0)
    first, second, third = acceptance.chances(Draft((5, 6, 7), 1))
    assert first < 0.1 < second < 0.9 < third
    assert second == 0.5, "nothing was seen of it"


def test_what_held_long_ago_counts_no_more() -> None:
    acceptance, draft = Acceptance(), Draft((5,), 2)
    for _ in range(200):
        acceptance.observe(draft, 1)
    (sure,) = acceptance.chances(draft)
    for _ in range(40):
        acceptance.observe(draft, 0)
    (doubtful,) = acceptance.chances(draft)
    assert 0.9 < sure <= 1 and doubtful < 0.2


def test_what_is_saved_for_exploring_is_bounded() -> None:
    device = Device({1: 0.01, 2: 1.0, 4: 2.0})
    device.run(3000, holds=False)
    assert 0 <= device.speculation._credit <= MOST_CREDIT
