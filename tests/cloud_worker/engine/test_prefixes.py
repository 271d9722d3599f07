"""Prompt beginnings that were read before are not read again, and no answer can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cloud_worker.engine.models.qwen2 import KVCache
from cloud_worker.engine.prefixes import PrefixCache
from edgewise.generation.state import Sampling
from tests.cloud_worker.engine.test_core import (
    OPTIONS,
    WARM,
    answer,
    drain,
    ids_of,
    make_engine,
    prompt,
    shared_model,
    state,
)
from tests.factories.states import GREEDY

CHUNK = OPTIONS.chunk_tokens
COLD = replace(OPTIONS, prefix_cache_mb=0)


@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "filtered"])
def test_a_shared_beginning_changes_no_answer(sampling: Sampling) -> None:
    engine = make_engine()
    shared = prompt(3 * CHUNK, seed=99)
    for number in range(6):
        given = state(sampling, prompt_ids=shared[: CHUNK * (number % 4)] + prompt(11 + number, seed=number))
        engine.submit(f"a{number}", given)
        assert ids_of(drain(engine)[f"a{number}"]) == answer(given, COLD)
    assert engine.reused_tokens == CHUNK * (1 + 2 + 1)


def test_the_same_prompt_is_read_again_from_its_last_whole_chunk() -> None:
    engine, given = make_engine(), state(length=2 * CHUNK)
    for name in ("first", "second"):
        engine.submit(name, given)
        assert ids_of(drain(engine)[name]) == answer(given, COLD)
    assert engine.reused_tokens == CHUNK  # the last chunk gives the first token's logits


def test_an_answer_that_began_elsewhere_goes_on_after_a_hit() -> None:
    given = state(length=2 * CHUNK + 3)
    whole, engine = answer(given, COLD), make_engine()
    engine.submit("warm", given)
    drain(engine)
    engine.submit("resumed", state(length=2 * CHUNK + 3, output_ids=whole[:9]))
    assert whole[:9] + ids_of(drain(engine)["resumed"]) == whole
    assert engine.reused_tokens == 2 * CHUNK


def test_no_budget_keeps_nothing() -> None:
    engine = make_engine(COLD)
    for name in ("first", "second"):
        engine.submit(name, state(length=40))
        drain(engine)
    assert (engine.reused_tokens, engine.stats().kv_bytes) == (0, 0)


def cache_of(ids: tuple[int, ...]) -> KVCache:
    """A cache whose every value tells which prompt it was read for, and where."""
    cache = KVCache(shared_model().config, len(ids))
    for place, token in enumerate(ids):
        cache.keys[:, :, place] = sum(ids[: place + 1]) + place / 1000
        cache.values[:, :, place] = token
    cache.length = len(ids)
    return cache


def ids_of_kinds(*kinds: int) -> tuple[int, ...]:
    """A prompt of whole chunks, each of one kind."""
    return tuple(kind for kind in kinds for _ in range(CHUNK))


def block_bytes() -> int:
    probe = PrefixCache(CHUNK, 2**30)
    probe.keep(ids_of_kinds(0, 0), cache_of(ids_of_kinds(0, 0)))
    return probe.size_bytes


def test_the_ends_of_chains_are_forgotten_before_their_beginnings() -> None:
    prefixes, long, other = PrefixCache(CHUNK, 2 * block_bytes()), ids_of_kinds(1, 1, 1), ids_of_kinds(2, 2)
    for ids in (long, other):
        prefixes.keep(ids, cache_of(ids))
    assert prefixes.fill(long, KVCache(shared_model().config, len(long))) == CHUNK


@given(
    prompts=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), min_size=1, max_size=12),
    blocks=st.integers(1, 6),
)
def test_whatever_was_kept_and_forgotten_a_hit_is_what_was_read(prompts: list[list[int]], blocks: int) -> None:
    """Prompts of up to six chunks over three kinds of chunk; the budget is a few blocks."""
    prefixes = PrefixCache(CHUNK, blocks * block_bytes())
    for kinds in prompts:
        ids = ids_of_kinds(*kinds)
        expected, found = cache_of(ids), KVCache(shared_model().config, len(ids))
        length = prefixes.fill(ids, found)
        assert length % CHUNK == 0
        assert length < len(ids)
        assert torch.equal(found.keys[:, :, :length], expected.keys[:, :, :length])
        assert torch.equal(found.values[:, :, :length], expected.values[:, :, :length])
        prefixes.keep(ids, expected)
        prefixes.check_integrity()
    if len(ids) // CHUNK - 1 <= blocks:
        assert prefixes.fill(ids, KVCache(shared_model().config, len(ids))) == len(ids) - CHUNK
