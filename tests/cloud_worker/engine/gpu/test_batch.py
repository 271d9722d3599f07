"""Calls hold every token of a step once, in order, in units that a tile holds, and no larger than their sizes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.gpu.batch import EXACT, FAST, Kind, Sizes, calls_of
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

SIZES = (EXACT, FAST, Sizes(prompt=64, rows=8))


def a_segment(number: int, prompt: bool, dice: random.Random) -> Segment:
    """A text in scattered blocks, of which some tokens are read and some of these wanted."""
    start = dice.randrange(5) * BLOCK_TOKENS if prompt else dice.randrange(150)
    ids = tuple(dice.randrange(100) for _ in range(dice.randint(1, 130 if prompt else 20)))
    blocks = dice.sample(range(1000), -(-(start + len(ids)) // BLOCK_TOKENS) + dice.randrange(3))
    return Segment(f"r{number}", blocks, start, ids, prompt, dice.randint(0, len(ids)))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 999), st.sampled_from(SIZES), st.integers(0, 5))
def test_every_token_is_in_one_call_as_its_segment_says(
    prompts: list[bool], seed: int, sizes: Sizes, power: int
) -> None:
    dice = random.Random(seed)
    segments = [a_segment(number, prompt, dice) for number, prompt in enumerate(prompts)]
    unit_tokens = {Kind.PROMPT: 1 << power, Kind.ROWS: dice.choice((1, 2, 3, 16))}
    unit_tokens = {kind: min(tokens, sizes.most(kind)) for kind, tokens in unit_tokens.items()}
    calls = calls_of(segments, unit_tokens, sizes)

    found = [(c.kind, *token) for c in calls for token in zip(c.ids, c.lengths, c.slots, strict=True)]
    expected = []
    for kind in Kind:
        for each in (s for s in segments if s.prompt is (kind is Kind.PROMPT)):
            for place, token in enumerate(each.ids, each.start):
                slot = each.blocks[place // BLOCK_TOKENS] * BLOCK_TOKENS + place % BLOCK_TOKENS
                expected.append((kind, token, place + 1, slot))
    assert found == expected

    answer = {place: (c.kind, c.lengths[row], c.slots[row]) for c in calls for row, place in c.wanted}
    wanted = [(s, place) for s in segments for place in range(s.stop - s.wanted, s.stop)]
    assert sorted(answer) == list(range(len(wanted)))
    for number, (segment, place) in enumerate(wanted):
        assert answer[number][:2] == (Kind.PROMPT if segment.prompt else Kind.ROWS, place + 1)

    for call in calls:
        assert len(call.ids) <= call.rows <= max(sizes.most(call.kind), BLOCK_TOKENS)
        rows = [row for first, tokens in call.units for row in range(first, first + tokens)]
        assert rows == list(range(len(call.ids)))
        for (first, tokens), table in zip(call.units, call.tables, strict=True):
            assert 1 <= tokens <= unit_tokens[call.kind]
            lengths = call.lengths[first : first + tokens]
            assert lengths == list(range(lengths[0], lengths[0] + tokens))
            places = range(lengths[0] - 1, lengths[-1])
            slots = [table[n // BLOCK_TOKENS] * BLOCK_TOKENS + n % BLOCK_TOKENS for n in places]
            assert slots == call.slots[first : first + tokens]


@given(st.integers(1, 3000))
def test_exact_calls_have_two_sizes_and_fast_ones_are_the_smallest(rows: int) -> None:
    assert {EXACT.padded(Kind.PROMPT, rows), EXACT.padded(Kind.ROWS, rows)} == {256, 64}
    padded = FAST.padded(Kind.ROWS, rows)
    assert rows <= padded < 2 * rows and padded & (padded - 1) == 0
    assert rows <= FAST.padded(Kind.PROMPT, rows) < rows + BLOCK_TOKENS


@pytest.mark.parametrize(
    ("segment", "what"),
    [
        (Segment("r", [0, 1], 7, (1,), True), "stands on no tile"),
        (Segment("r", [0], 0, (), False), "stands on no tile"),
        (Segment("r", [0], 32, (1,), False), "do not cover"),
        (Segment("r", [0], 0, (1,), False, 2), "2 logits of 1"),
    ],
)
def test_a_segment_that_no_step_can_read_is_refused(segment: Segment, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        calls_of([segment], {Kind.PROMPT: 32, Kind.ROWS: 4}, FAST)
