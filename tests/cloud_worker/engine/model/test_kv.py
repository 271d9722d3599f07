"""The key-value store: what is read of a sequence is what was written of it, wherever its blocks lie."""

from __future__ import annotations

import random

import torch
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.model.kv import KvStore, Span, slots_of
from cloud_worker.engine.work import BLOCK_TOKENS
from tests.cloud_worker.engine.model.stepping import blocks_for, config_of

BLOCKS = 12
CONFIG = config_of()


def written(seed: int) -> tuple[KvStore, torch.Tensor]:
    """A store all of whose slots hold random numbers, and those numbers by slot."""
    store = KvStore(CONFIG, BLOCKS, torch.float32)
    source = torch.Generator().manual_seed(seed)
    rows = torch.randn(BLOCKS * BLOCK_TOKENS, 2 * CONFIG.kv_heads, CONFIG.head_dim, generator=source)
    for layer in range(CONFIG.layers):
        store.write(layer, torch.arange(len(rows)), rows + layer)
    return store, rows


@given(st.integers(1, 150), st.integers(0, 149), st.booleans(), st.integers(0, 2**32))
def test_what_is_read_is_what_was_written(stop: int, start: int, scattered: bool, seed: int) -> None:
    start %= stop
    dice, (store, rows) = random.Random(seed), written(seed)
    first = dice.randrange(BLOCKS - blocks_for(stop) + 1)
    blocks = list(range(first, first + blocks_for(stop)))
    if scattered:
        blocks = dice.sample(range(BLOCKS), len(blocks))
    span = Span(blocks, start, stop)
    wanted = rows[slots_of(blocks, start, stop)].transpose(0, 1).unsqueeze(0)
    for layer in range(CONFIG.layers):
        found = torch.cat([each.narrow(2, span.origin, stop - start) for each in store.read(layer, span)], dim=1)
        assert torch.equal(found, wanted + layer)


def test_blocks_in_a_run_are_not_copied() -> None:
    store, _ = written(1)
    keys, values = store.read(0, Span((3, 4, 5), 40, 96))
    again, _ = store.read(0, Span((3, 4, 5), 40, 96))
    assert keys.data_ptr() == again.data_ptr()
    assert values.data_ptr() - keys.data_ptr() == store.size_bytes // CONFIG.layers // 2


def test_cleared_slots_are_zero_in_one_layer_and_a_copy_takes_the_tokens_it_is_told() -> None:
    store, rows = written(2)
    store.clear(1, torch.tensor([7, 40]))
    store.copy_block(1, 6, 10)
    for layer, lost in enumerate((False, True)):
        keys, values = store.read(layer, Span(range(BLOCKS), 0, BLOCKS * BLOCK_TOKENS))
        found = torch.cat((keys, values), 1)[0].transpose(0, 1)
        expected = rows + layer
        expected[[7, 40]] *= not lost
        expected[192:202] = expected[32:42]
        assert torch.equal(found, expected)
