"""A draw among the tokens that are allowed is the draw of a vocabulary of those tokens; the fast way gives the same."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.drawing import SMALL_VOCABULARY, draw, drawn_by_bounds
from edgewise.generation.sampling import LogitsError, next_token
from edgewise.generation.state import Sampling
from tests.edgewise.generation.test_drawing import VOCABULARY, rows, rules
from tests.edgewise.generation.test_sampling import naive_next_token
from tests.factories.states import make_state


def some(count: int, seed: int, size: int = VOCABULARY) -> np.ndarray:
    allowed = np.zeros(size, np.bool_)
    allowed[np.random.default_rng(seed).permutation(size)[:count]] = True
    return allowed


@settings(max_examples=100, deadline=None)
@given(
    rules,
    st.integers(0, 2**32),
    st.lists(st.integers(0, 19), max_size=4),
    st.sampled_from([0.0, 0.3, 1.0, 4.0, 30.0]),
    st.sampled_from([0.0, 0.01, 2.0]),
    st.sampled_from([1, 2, 40, SMALL_VOCABULARY - 1, SMALL_VOCABULARY, 2000, VOCABULARY - 1, VOCABULARY]),
    st.sampled_from([3, 256]),
)
def test_the_fast_way_draws_what_the_definition_does(
    sampling: Sampling, seed: int, said: list[int], spread: float, grid: float, count: int, near: int
) -> None:
    logits, allowed = rows(seed, spread, grid, 0.0), some(count, seed)
    state = make_state(sampling=sampling, seed=seed, output_ids=tuple(said))
    try:
        expected = next_token(logits, state, allowed)
    except LogitsError:  # a penalty made the best score infinite
        with pytest.raises(LogitsError):
            draw(logits, state, allowed)
        return
    assert allowed[expected]
    assert drawn_by_bounds(logits, state, near, allowed) in (None, expected)
    assert draw(logits, state, allowed) == expected


@settings(max_examples=60, deadline=None)
@given(rules, st.integers(0, 2**32), st.integers(1, 30))
def test_the_definition_draws_as_if_the_others_had_no_logit(sampling: Sampling, seed: int, count: int) -> None:
    """Tokens pushed far below all others by their bias alone are never drawn either: the naive form tells."""
    size = 30
    logits, allowed = rows(seed, 2.0, 0.0, 0.0)[:size], some(count, seed, size)
    sampling = Sampling(temperature=min(sampling.temperature, 2.0), top_p=sampling.top_p, top_k=sampling.top_k)
    low = Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        logit_bias={int(token): -1e6 for token in np.flatnonzero(~allowed)},
    )
    found = next_token(logits, make_state(sampling=sampling, seed=seed), allowed)
    assert found == naive_next_token(logits, make_state(sampling=low, seed=seed))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_p=0.6), Sampling(min_p=0.05), Sampling(temperature=0.0)])
def test_bounds_decide_and_weigh_nothing_that_is_not_allowed(sampling: Sampling) -> None:
    """A bias or a penalty gives no weight to a token that is out."""
    for seed in range(10):
        logits, allowed = rows(seed, 1.0, 0.0, 0.0), some(2000, seed)
        bias = dict.fromkeys(np.flatnonzero(~allowed)[:40].tolist(), 4.0)
        state = make_state(sampling=msgspec.structs.replace(sampling, logit_bias=bias), seed=seed)
        assert drawn_by_bounds(logits, state, 64, allowed) == next_token(logits, state, allowed)


def test_all_allowed_is_as_without() -> None:
    for seed in range(20):
        logits, state = rows(seed, 1.0, 0.0, 0.0), make_state(sampling=Sampling(top_p=0.9), seed=seed)
        assert draw(logits, state, np.ones(VOCABULARY, np.bool_)) == draw(logits, state)


@pytest.mark.parametrize("count", [5, 2000])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_none_is_an_error_wherever_it_is(count: int, bad: float) -> None:
    logits, allowed = rows(1, 1.0, 0.0, 0.0), some(count, 3)
    logits[np.flatnonzero(~allowed)[0]] = bad
    with pytest.raises(LogitsError):
        draw(logits, make_state(sampling=Sampling()), allowed)


def test_nothing_allowed_is_an_error() -> None:
    with pytest.raises(LogitsError):
        draw(rows(1, 1.0, 0.0, 0.0), make_state(), np.zeros(VOCABULARY, np.bool_))
