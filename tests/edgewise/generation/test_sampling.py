"""next_token: against a naive model in whole numbers, the order of the filters, ties, bad logits, frequencies."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.noise import Noise
from edgewise.generation.sampling import LogitsError, check_sampling, kept_ids, mass_target, next_token, weights
from edgewise.generation.state import GenerationState, Sampling
from edgewise.wire.errors import BadRequestError
from tests.factories.states import make_state

LOGITS = np.array([1.0, 3.0, 3.0, 0.5, -2.0, 2.0], dtype=np.float32)


def naive_next_token(logits: np.ndarray, state: GenerationState) -> int:
    """One token at a time, sorted lists and fractions: slow, obvious, same arithmetic."""
    rules, scores = state.sampling, [float(x) for x in logits]
    for token in range(len(scores)):
        if token in state.prompt_ids + state.output_ids:
            scores[token] = max(scores[token] / rules.repetition_penalty, 0) + min(
                scores[token] * rules.repetition_penalty, 0
            )
        count = state.output_ids.count(token)
        change = -(count * rules.frequency_penalty) - rules.presence_penalty if count else 0.0
        scores[token] += change + rules.logit_bias.get(token, 0.0)
    if rules.temperature == 0:
        return min(range(len(scores)), key=lambda t: (-scores[t], t))
    gaps = [(max(scores) - score) / rules.temperature for score in scores]
    mass = [int(w) for w in weights(np.array(gaps))]
    left = sorted(range(len(scores)), key=lambda t: (gaps[t], t))
    left = left[: rules.top_k or None]
    if rules.top_p < 1:
        target, total, kept = Fraction(rules.top_p) * sum(mass[t] for t in left), 0, []
        for token in left:
            kept.append(token)
            total += mass[token]
            if total >= target:
                break
        left = kept
    left = [t for t in left if Fraction(mass[t], 2**40) >= Fraction(rules.min_p)]
    drawn = Noise(state.seed, state.choice, len(state.output_ids))
    noise = {t: drawn.of(np.array([t]))[0] for t in left}
    return min(left, key=lambda t: (-(noise[t] - gaps[t]), t))


rough = st.floats(-4, 4, width=16).map(lambda x: round(x * 2) / 2)
rules = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7]),
    top_p=st.sampled_from([1.0, 0.95, 0.6, 0.1, 1e-9]),
    top_k=st.integers(0, 12),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    frequency_penalty=st.sampled_from([0.0, 0.4]),
    presence_penalty=st.sampled_from([0.0, -1.1]),
    logit_bias=st.dictionaries(st.integers(0, 3), st.sampled_from([-100.0, 0.25, 100.0]), max_size=2),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.5]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(rough, min_size=4, max_size=20),
    rules,
    st.lists(st.integers(0, 3), max_size=5),
    st.integers(0, 2**64),
    st.integers(0, 3),
)
def test_equals_the_naive_model(
    scores: list[float], sampling: Sampling, said: list[int], seed: int, choice: int
) -> None:
    logits = np.array(scores, dtype=np.float32)
    state = make_state(prompt_ids=(2, 0), sampling=sampling, output_ids=tuple(said), seed=seed, choice=choice)
    assert next_token(logits, state) == naive_next_token(logits, state)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([0.01, 0.5, 0.95, 0.9999, 1.0]), st.sampled_from([0, 40]), st.floats(0.3, 8)
)
def test_equals_the_naive_model_on_wide_vocabularies(seed: int, top_p: float, top_k: int, spread: float) -> None:
    logits = (np.random.default_rng(seed).standard_normal(700) * spread).astype(np.float32)
    state = make_state(sampling=Sampling(top_p=top_p, top_k=top_k), seed=seed)
    assert next_token(logits, state) == naive_next_token(logits, state)


def test_a_far_token_wins_where_its_noise_lifts_it() -> None:
    """Nine nats below the best, there are so many that one of them is drawn at times, as the naive model says."""
    logits = np.zeros(5000, np.float32)
    logits[17] = 9.0
    drawn = [next_token(logits, make_state(sampling=Sampling(), seed=seed)) for seed in range(40)]
    noises = [Noise(seed, 0, 0).of(np.arange(5000)) + logits for seed in range(40)]
    assert drawn == [int(noise.argmax()) for noise in noises]
    assert 5 < sum(token != 17 for token in drawn) < 35


def test_greedy_ties_go_to_the_lowest_id() -> None:
    assert next_token(LOGITS, make_state()) == 1


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(), None),
        (Sampling(top_k=1), [1]),
        (Sampling(top_k=3), [1, 2, 5]),
        (Sampling(top_k=6), None),
        (Sampling(top_p=0.01), [1]),
        (Sampling(top_p=0.6), [1, 2]),
        (Sampling(top_p=0.9), [1, 2, 5]),
        (Sampling(min_p=0.2), [1, 2, 5]),
        (Sampling(min_p=1.0), [1, 2]),
        (Sampling(top_k=2, top_p=0.5), [1]),
    ],
)
def test_filters_keep_the_best_first(sampling: Sampling, kept: list[int] | None) -> None:
    got = kept_ids(3.0 - LOGITS.astype(np.float64), sampling)
    assert kept == (None if got is None else got.tolist())


@pytest.mark.parametrize(
    ("total", "top_p", "target"),
    [(3, 0.5, 2), (2, 0.5, 1), (2**60 + 1, 1.0, 2**60 + 1), (2**61, 0.25, 2**59), (9, 1e-12, 1)],
)
def test_the_mass_to_reach_is_not_rounded(total: int, top_p: float, target: int) -> None:
    assert mass_target(total, top_p) == target


def test_every_token_has_its_probability() -> None:
    """Chi-square over 20,000 positions against the exact softmax (5 degrees of freedom, 99.9 % bound 20.5)."""
    draws = 20_000
    counts = np.zeros(len(LOGITS))
    key = make_state(sampling=Sampling(temperature=1.3))
    for seed in range(draws):
        counts[next_token(LOGITS, make_state(sampling=key.sampling, seed=seed))] += 1
    expected = np.exp(LOGITS.astype(np.float64) / 1.3)
    expected *= draws / expected.sum()
    assert ((counts - expected) ** 2 / expected).sum() < 20.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_refused(bad: float, temperature: float) -> None:
    logits = LOGITS.copy()
    logits[4] = bad
    with pytest.raises(LogitsError):
        next_token(logits, make_state(sampling=Sampling(temperature=temperature)))


@pytest.mark.parametrize("shape", [(0,), (2, 3)])
def test_logits_of_a_wrong_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LogitsError):
        next_token(np.zeros(shape, dtype=np.float32), make_state())


def test_tiny_temperature_is_greedy_and_quiet() -> None:
    assert next_token(LOGITS, make_state(sampling=Sampling(temperature=1e-310))) in (1, 2)


def test_penalties_count_what_was_said() -> None:
    state = make_state(
        sampling=Sampling(temperature=0, presence_penalty=0.5, frequency_penalty=0.4), output_ids=(1, 1, 2)
    )
    assert next_token(LOGITS, state) == 2
    assert next_token(LOGITS, make_state(sampling=state.sampling, output_ids=(1, 2, 2, 1))) == 5


@pytest.mark.parametrize(
    ("sampling", "where"),
    [
        (Sampling(temperature=-1), "temperature"),
        (Sampling(temperature=math.nan), "temperature"),
        (Sampling(top_p=0), "top_p"),
        (Sampling(top_p=1.5), "top_p"),
        (Sampling(top_k=-1), "top_k"),
        (Sampling(min_p=2), "min_p"),
        (Sampling(frequency_penalty=math.inf), "frequency_penalty"),
        (Sampling(repetition_penalty=0.0), "repetition_penalty"),
        (Sampling(repetition_penalty=math.nan), "repetition_penalty"),
        (Sampling(presence_penalty=math.nan), "presence_penalty"),
        (Sampling(logit_bias={10: 1.0}), "logit_bias"),
        (Sampling(logit_bias={1: math.inf}), "logit_bias"),
    ],
)
def test_values_out_of_range_are_named(sampling: Sampling, where: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        check_sampling(sampling, vocab_size=10)
    assert caught.value.where == where


def test_usual_values_are_accepted() -> None:
    check_sampling(Sampling(temperature=2, top_p=1, top_k=50, min_p=0.1, logit_bias={9: -100.0}), vocab_size=10)
