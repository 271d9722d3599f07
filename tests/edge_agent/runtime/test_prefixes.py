"""What a prompt shares with kept contexts, against comparing ids one by one; and which contexts a budget keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.runtime.prefixes import BLOCK_TOKENS, Chain, Context, Contexts, Prompt

TOKEN_BYTES = 8
# Runs that branch off each other inside blocks and at their borders, and little else.
runs = st.lists(
    st.tuples(st.sampled_from([7, 8]), st.sampled_from([1, 5, 31, 32, 33, 64])), max_size=5
).map(lambda parts: tuple(token for token, count in parts for _ in range(count)))  # fmt: skip


def context(ids: tuple[int, ...], *, salt: bytes = b"") -> Context:
    return Context(Chain.of(ids, salt), np.zeros((1, 1, len(ids), TOKEN_BYTES), np.int8))


def run(*parts: tuple[int, int]) -> tuple[int, ...]:
    return tuple(token for token, count in parts for _ in range(count))


def equal_ids(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    count = 0
    while count < min(len(left), len(right)) and left[count] == right[count]:
        count += 1
    return count


@given(prompt=runs, kept=runs)
def test_what_is_shared_is_equal_and_nothing_of_a_whole_block_is_missed(
    prompt: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    truth = min(equal_ids(prompt, kept), max(len(prompt) - 1, 0))
    shared = Prompt(prompt).shared(Chain.of(kept))
    assert shared <= truth and truth - shared < BLOCK_TOKENS
    if kept == prompt[: len(kept)]:
        assert shared == truth


@given(prompt=runs, kept=runs)
def test_owners_share_nothing(prompt: tuple[int, ...], kept: tuple[int, ...]) -> None:
    assert Prompt(prompt, b"one").shared(Chain.of(kept, b"two")) == 0
    assert Prompt(prompt, b"one").shared(Chain.of(kept)) == 0
    short = (*kept[:20], 3)
    assert not Chain.of(short, b"one").covers(Chain.of(short, b"two"))


@given(prompt=runs, share=st.floats(0, 1))
def test_a_beginning_is_known_as_if_it_stood_alone(prompt: tuple[int, ...], share: float) -> None:
    length = int(share * len(prompt))
    assert Prompt(prompt, b"s").beginning(length) == Chain.of(prompt[:length], b"s")


@given(left=runs, right=runs)
def test_what_covers_another_helps_every_prompt_as_much_but_for_a_tail(
    left: tuple[int, ...], right: tuple[int, ...]
) -> None:
    if Chain.of(left).covers(Chain.of(right)):
        assert len(right) - equal_ids(left, right) < BLOCK_TOKENS
        prompt = Prompt((*right, 99))
        assert prompt.shared(Chain.of(right)) - prompt.shared(Chain.of(left)) < BLOCK_TOKENS


def test_names_tell_the_order_of_blocks() -> None:
    one, other = run((7, 32)), run((8, 32))
    assert len({*Chain.of(one + other).names, *Chain.of(other + one).names}) == 4


def test_a_prompt_is_never_handed_out_whole() -> None:
    ids = run((7, 64))
    assert [Prompt(ids[:length]).shared(Chain.of(ids)) for length in (0, 1, 33, 64)] == [0, 0, 32, 63]
    assert Prompt((*ids, 9)).shared(Chain.of(ids)) == 64


def test_the_longest_context_is_found_and_among_equals_the_newest() -> None:
    contexts = Contexts(10_000)
    short, long, other = (context(run((7, 40))), context(run((7, 70), (9, 60))), context(run((7, 70), (8, 60))))
    for one in (short, other, long):
        contexts.keep(one)
    assert contexts.best(Prompt(run((7, 70), (8, 20)))) == (64, long)
    assert contexts.best(Prompt(run((7, 70), (8, 60)))) == (129, other)
    assert contexts.best(Prompt(run((5, 70)))) == (0, None)


def test_the_least_recently_used_is_forgotten_first_and_what_is_used_stays() -> None:
    contexts = Contexts(3 * 64 * TOKEN_BYTES)
    system = context(run((1, 64)))
    contexts.keep(system)
    for chat in range(2, 9):
        found = contexts.best(Prompt(run((1, 64), (chat, 40))))[1]
        assert found is system
        contexts.use(found)
        contexts.keep(context(run((chat, 64))))
        contexts.check_integrity()
    assert [kept.chain for kept in contexts] == [Chain.of(run((token, 64))) for token in (8, 1, 7)]


def test_a_longer_context_takes_the_place_of_its_beginning_and_a_beginning_adds_nothing() -> None:
    contexts = Contexts(10_000)
    contexts.keep(context(run((7, 64))))
    assert contexts.keep(context(run((7, 100)))) and contexts.keep(context(run((7, 32))))
    assert [kept.chain.length for kept in contexts] == [100]
    assert contexts.holds(Chain.of(run((7, 96)))) and not contexts.holds(Chain.of(run((7, 128))))


@pytest.mark.parametrize("budget", [0, 100])
def test_what_is_larger_than_the_budget_is_not_kept(budget: int) -> None:
    contexts = Contexts(budget)
    assert not contexts.keep(context(run((7, 64))))
    assert len(contexts) == 0


def test_shrinking_forgets_the_oldest() -> None:
    contexts = Contexts(10_000)
    for token in (1, 2, 3):
        contexts.keep(context(run((token, 64))))
    contexts.shrink(64 * TOKEN_BYTES)
    assert [kept.chain.tail or kept.chain.names for kept in contexts] == [Chain.of(run((3, 64))).names]
    contexts.shrink(0)
    assert contexts.size_bytes == 0


@given(
    budget=st.integers(0, 4000),
    steps=st.lists(st.tuples(st.sampled_from(["keep", "use", "shrink"]), runs, st.integers(0, 3000)), max_size=12),
)
def test_whatever_happens_the_budget_holds(budget: int, steps: list[tuple[str, tuple[int, ...], int]]) -> None:
    contexts = Contexts(budget)
    for what, ids, size in steps:
        if what == "keep":
            contexts.keep(context(ids))
        elif what == "shrink":
            contexts.shrink(size)
        elif found := contexts.best(Prompt((*ids, 1)))[1]:
            contexts.use(found)
        contexts.check_integrity()
