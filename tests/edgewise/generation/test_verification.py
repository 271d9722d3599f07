"""next_tokens: drafts never change an answer; every pair over a tiny vocabulary; ends, budgets, bad rows."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.drawing import Rough
from edgewise.generation.penalties import Tally
from edgewise.generation.probabilities import token_probability
from edgewise.generation.sampling import LogitsError, next_token
from edgewise.generation.state import GenerationState, Sampling
from edgewise.generation.verification import Ask, Said, next_tokens, verified
from tests.factories.states import make_state

TINY = 4


def tiny_state(**fields: Any) -> GenerationState:
    return make_state(**{"prompt_ids": (3,), **fields})


def model(ids: tuple[int, ...], vocabulary: int = TINY) -> Rough:
    """Logits that depend on all of `ids`."""
    seed = sum((token + 1) * 7**place for place, token in enumerate(ids))
    return (np.random.default_rng(seed).standard_normal(vocabulary) * 1.5).astype(np.float32)


def rows_of(state: GenerationState, drafts: tuple[int, ...], vocabulary: int = TINY) -> Rough:
    known = state.prompt_ids + state.output_ids
    return np.stack([model(known + drafts[:count], vocabulary) for count in range(len(drafts) + 1)])


def one_by_one(state: GenerationState, count: int) -> tuple[int, ...]:
    ids = list[int]()
    for _ in range(count):
        ids.append(next_token(model(state.prompt_ids + state.output_ids), state))
        state = state.advanced((ids[-1],), "")
    return tuple(ids)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(), Sampling(top_p=0.7, repetition_penalty=1.4)])
def test_whatever_pair_is_drafted_the_answer_is_the_same(sampling: Sampling) -> None:
    """All pairs, all at once in one step, for several answers."""
    for seed in range(12):
        state = tiny_state(sampling=sampling, seed=seed)
        asks = [Ask(state, drafts) for drafts in product(range(TINY), repeat=2)]
        answer = one_by_one(state, 3)
        logits = np.concatenate([rows_of(state, tuple(ask.drafts)) for ask in asks])
        for ask, said in zip(asks, next_tokens(logits, asks), strict=True):
            held = 0 if ask.drafts[0] != answer[0] else 1 + (ask.drafts[1] == answer[1])
            assert (said.held, said.ids) == (held, answer[: held + 1])
            assert said.state.output_ids == said.ids and said.finish is None


def test_every_pair_comes_as_often_as_its_probability_says() -> None:
    """All 16 pairs, drawn in one step with drafts that hold or not: 15 degrees of freedom, 99.9 % bound 37.7."""
    draws, counts, wanted = 2000, np.zeros((TINY, TINY)), np.zeros((TINY, TINY))
    for first, second in product(range(TINY), repeat=2):
        before, after = model((3,)).astype(np.float64), model((3, first)).astype(np.float64)
        chance = np.exp(before[first] + after[second]) / (np.exp(before).sum() * np.exp(after).sum())
        wanted[first, second] = draws * chance
    for seed in range(draws):
        state = tiny_state(sampling=Sampling(), seed=seed)
        said = next_tokens(rows_of(state, (seed % TINY,)), [Ask(state, (seed % TINY,))])[0]
        ids = said.ids
        if len(ids) == 1:
            ids += next_tokens(rows_of(said.state, ()), [Ask(said.state)])[0].ids
        counts[ids] += 1
    assert ((counts - wanted) ** 2 / wanted).sum() < 37.7


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, TINY - 1), max_size=4).map(tuple),
    st.sets(st.integers(0, TINY - 1), max_size=2),
    st.integers(1, 6),
)
def test_an_answer_ends_where_it_would_one_by_one(
    seed: int, drafts: tuple[int, ...], stops: set[int], most: int
) -> None:
    state = tiny_state(sampling=Sampling(temperature=1.5), seed=seed)
    answer = one_by_one(state, len(drafts) + 1)
    said = next_tokens(rows_of(state, drafts), [Ask(state, drafts, stops, most)])[0]
    stop = next((place for place, token in enumerate(answer) if token in stops), len(answer))
    assert said.ids == answer[: len(said.ids)] and len(said.ids) <= min(stop, most)
    if said.finish == "stop":
        assert len(said.ids) == stop < most
    elif said.finish == "length":
        assert len(said.ids) == most
    else:
        assert len(said.ids) == said.held + 1


def test_the_budget_of_the_state_ends_an_answer() -> None:
    state = tiny_state(max_tokens=2, output_ids=(1,))
    answer = one_by_one(state, 2)
    assert next_tokens(rows_of(state, answer), [Ask(state, answer)])[0].ids == answer[:1]
    assert next_tokens(rows_of(state, answer), [Ask(state, answer)])[0].finish == "length"


def test_a_bad_row_ends_its_own_answer_alone() -> None:
    state = tiny_state()
    answer = one_by_one(state, 2)
    rows = rows_of(state, answer)
    first, later = rows.copy(), rows.copy()
    first[0, 2], later[1, 0] = np.nan, np.inf
    asks = [Ask(state, answer)] * 3
    bad, half, good = next_tokens(np.concatenate((first, later, rows)), asks)
    assert isinstance(bad.error, LogitsError) and bad.ids == () and bad.state == state
    assert isinstance(half.error, LogitsError) and half.ids == answer[:1] and half.held == 1
    assert good.error is None and good.ids[:2] == answer


def test_a_bad_row_behind_a_draft_that_fell_is_not_looked_at() -> None:
    state = tiny_state()
    wrong = (one_by_one(state, 1)[0] + 1) % TINY
    rows = rows_of(state, (wrong,))
    rows[1] = np.nan
    assert next_tokens(rows, [Ask(state, (wrong,))])[0].error is None


def test_probabilities_come_for_each_id_and_the_end() -> None:
    state = tiny_state(probabilities=True)
    answer = one_by_one(state, 2)
    rows = rows_of(state, answer)
    end = next(place for place, token in enumerate(answer) if token == answer[-1])
    said = next_tokens(rows, [Ask(state, answer, (answer[-1],))])[0]
    assert said.finish == "stop" and said.ids == answer[:end]
    assert said.probabilities == tuple(token_probability(rows[place], answer[place]) for place in range(end + 1))


def test_rows_and_asks_must_agree() -> None:
    with pytest.raises(LogitsError):
        next_tokens(np.zeros((2, TINY), np.float32), [Ask(tiny_state())])
    assert next_tokens(np.zeros((0, TINY), np.float32), []) == list[Said]()


@given(seed=st.integers(0, 99), drafts=st.lists(st.integers(0, 3), min_size=12, max_size=12))
@settings(max_examples=15, deadline=None)
def test_a_tally_that_is_kept_over_the_steps_changes_no_answer(seed: int, drafts: list[int]) -> None:
    """Of a vocabulary in which tokens are found by bounds, drafts right and wrong."""
    few = dict.fromkeys(range(8), 6.0)
    rules = Sampling(temperature=0.05, repetition_penalty=1.7, frequency_penalty=0.9, logit_bias=few)
    state = kept = tiny_state(sampling=rules, seed=seed, max_tokens=99)
    tally, said = Tally(kept), list[int]()
    for wrong in drafts:
        answer = next_token(model(state.prompt_ids + tuple(said), 1200), state)
        guess = (answer,) if wrong else (answer + 1,)
        step = verified(rows_of(kept, guess, 1200), Ask(kept, guess, tally=tally))
        kept, said = step.state, [*said, *step.ids]
        for token in step.ids:
            assert token == next_token(model(state.prompt_ids + state.output_ids, 1200), state)
            state = state.advanced((token,), "")
    assert kept == state
