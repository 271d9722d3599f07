"""Prompt beginnings that were read before are not read again, and no answer can tell."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.state import Sampling
from tests.cloud_worker.engine.test_core import WARM, answer, drain, ids_of, make_engine, prompt, state
from tests.factories.states import GREEDY


@pytest.mark.parametrize("sampling", [GREEDY, WARM], ids=["greedy", "filtered"])
def test_a_shared_beginning_changes_no_answer(sampling: Sampling) -> None:
    engine, shared = make_engine(), prompt(3 * BLOCK_TOKENS, seed=99)
    for number in range(6):
        given = state(sampling, prompt_ids=shared[: BLOCK_TOKENS * (number % 4)] + prompt(11 + number, seed=number))
        engine.submit(f"a{number}", given)
        assert ids_of(drain(engine)[f"a{number}"]) == answer(given)
    assert engine.stats().reused_tokens == BLOCK_TOKENS * (1 + 2 + 1)


def test_the_same_prompt_is_read_again_from_its_last_whole_tile() -> None:
    engine, given = make_engine(), state(length=2 * BLOCK_TOKENS)
    for name in ("first", "second"):
        engine.submit(name, given)
        assert ids_of(drain(engine)[name]) == answer(given)
    assert engine.stats().reused_tokens == BLOCK_TOKENS  # the last tile gives the first token's logits


def test_equal_prompts_at_the_same_time_are_read_once() -> None:
    engine = make_engine()
    asked = {f"a{seed}": state(WARM, length=2 * BLOCK_TOKENS + 5, seed=seed) for seed in range(3)}
    for name, given in asked.items():
        engine.submit(name, given)
    outputs = drain(engine)
    assert {name: ids_of(each) for name, each in outputs.items()} == {n: answer(g) for n, g in asked.items()}
    assert engine.stats().prompt_tokens == 2 * BLOCK_TOKENS + 5


def test_an_answer_that_began_elsewhere_goes_on_after_a_hit() -> None:
    given = state(length=2 * BLOCK_TOKENS + 3)
    whole, engine = answer(given), make_engine()
    engine.submit("warm", given)
    drain(engine)
    engine.submit("resumed", state(length=2 * BLOCK_TOKENS + 3, output_ids=whole[:9]))
    assert whole[:9] + ids_of(drain(engine)["resumed"]) == whole
    assert engine.stats().reused_tokens == 2 * BLOCK_TOKENS


def test_owners_share_nothing_that_was_read() -> None:
    engine, given = make_engine(), state(length=2 * BLOCK_TOKENS + 3)
    reused = []
    for number, salt in enumerate((b"one", b"two", b"", b"one", b"two", b"")):
        before = engine.stats().reused_tokens
        engine.submit(str(number), replace(given, salt=salt))
        assert ids_of(drain(engine)[str(number)]) == answer(given)
        reused.append(engine.stats().reused_tokens - before)
    assert reused == [0, 0, 0, 2 * BLOCK_TOKENS, 2 * BLOCK_TOKENS, 2 * BLOCK_TOKENS]
