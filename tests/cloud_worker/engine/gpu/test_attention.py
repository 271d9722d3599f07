"""Paged attention in the interpreter: right by the definition in float64 for every shape, and a row's bits its own."""

from __future__ import annotations

import random
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.engine.gpu.attention import prompt_tiles, row_tiles, split_keys
from cloud_worker.engine.gpu.batch import Sizes
from cloud_worker.engine.work import Segment
from tests.cloud_worker.engine.gpu.paged import Heads, Paged, tables

BF16, FP16 = torch.bfloat16, torch.float16
TOLERANCE = {torch.float32: 3e-6, FP16: 2e-3, BF16: 2e-2}
SHAPES = {
    "mqa-64-bf16": Heads(7, 1, 64, 0, BF16),
    "mha-80-fp16": Heads(2, 2, 80, 0, FP16),
    "mqa-96-window": Heads(6, 1, 96, 18),
    "gqa-128-window": Heads(4, 2, 128, 270, BF16),
    "mqa-wide": Heads(17, 1, 16),
}
SOAK_SHAPES = [
    Heads(heads, kv_heads, dim, window, dtype)
    for heads, kv_heads in ((4, 4), (14, 2), (9, 1))
    for dim in (64, 80, 96, 128)
    for window in (0, 70)
    for dtype in (torch.float32, FP16, BF16)
]


def check_against_the_definition(shape: Heads, seed: int) -> None:
    dice = random.Random(seed)
    split = split_keys(512)
    prompt, first, far, drafts = tables((70, 1, 330, split + 2), dice)
    segments = [
        Segment("prompt", prompt, 32, (0,) * 38, prompt=True),
        Segment("first", first, 0, (0,), prompt=False),
        Segment("far", far, 329, (0,), prompt=False),
        Segment("drafts", drafts, split - 2, (0,) * 4, prompt=False),
    ]
    paged = Paged(shape, seed=seed)
    queries = paged.queries(segments)
    found = paged.read(segments, queries)
    for segment in segments:
        for name, right in paged.plainly(segment, queries).items():
            error = float((found[name].double() - right).abs().max())
            assert error < TOLERANCE[shape.dtype], (name, error)


@pytest.mark.parametrize("name", SHAPES)
def test_it_is_right_by_the_definition(name: str) -> None:
    check_against_the_definition(SHAPES[name], seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("shape", SOAK_SHAPES, ids=str)
def test_it_is_right_for_every_shape(shape: Heads) -> None:
    for seed in range(3):
        check_against_the_definition(shape, seed)


BITS = {"gqa": Heads(3, 1, 32), "window": Heads(2, 1, 16, 40, BF16)}


@cache
def paged_of(name: str) -> Paged:
    return Paged(BITS[name])


def check_bits(name: str, seed: int) -> None:
    """One text's tokens in company and padding of all kinds, and each alone: equal bits, wherever its blocks lie."""
    paged, dice = paged_of(name), random.Random(seed)
    length, prompt_length = dice.choice((dice.randint(1, 250), dice.randint(254, 300))), dice.randint(1, 64)
    others = [dice.randint(1, 100) for _ in range(dice.randint(0, 2))]
    first, prompt, *tables_of_others = tables((length + 3, prompt_length, *others), dice)
    rows = Segment("rows", first, length - 1, (0,) * dice.randint(1, 4), prompt=False)
    tile = Segment("tile", prompt, 0, (0,) * prompt_length, prompt=True)
    company = [
        Segment(f"b{n}", table, other - 1, (0,), prompt=False)
        for n, (table, other) in enumerate(zip(tables_of_others, others, strict=True))
    ]
    segments = [rows, tile, *company]
    dice.shuffle(segments)
    queries = paged.queries(segments)
    together = paged.read(segments, queries, dice.choice((Sizes(96, 8), Sizes(None, 16), Sizes(64, None))))
    pieces = [Segment("rows", first, place, (0,), prompt=False) for place in range(rows.start, rows.stop)]
    tiles = [
        Segment("tile", prompt, at, (0,) * min(32, prompt_length - at), True) for at in range(0, prompt_length, 32)
    ]
    for piece in [*pieces, *tiles]:
        for token, alone in paged.read([piece], queries).items():
            assert torch.equal(together[token], alone), token


@settings(max_examples=3)
@given(st.sampled_from(sorted(BITS)), st.integers(0, 10**6))
def test_a_row_has_its_own_bits_in_any_company(name: str, seed: int) -> None:
    check_bits(name, seed)


@pytest.mark.soak
@settings(max_examples=200)
@given(st.sampled_from(sorted(BITS)), st.integers(0, 10**6))
def test_a_row_has_its_own_bits_in_any_company_at_length(name: str, seed: int) -> None:
    check_bits(name, seed)


@given(st.integers(1, 200), st.integers(4, 11), st.integers(1, 1 << 20))
def test_tiles_hold_their_tokens_and_splits_stay_few(group: int, power: int, context: int) -> None:
    rows, prompts = row_tiles(group), prompt_tiles(group, 1 << power)
    for tiles in (rows, prompts):
        assert tiles.tokens >= 1 and tiles.tokens * group <= tiles.lanes
        assert tiles.lanes >= 16 and tiles.lanes & (tiles.lanes - 1) == 0
    assert 32 % prompts.tokens == 0
    assert prompts.tokens == 1 or prompts.lanes << power <= 1 << 15
    assert split_keys(context) % 32 == 0 and -(-context // split_keys(context)) <= 64
