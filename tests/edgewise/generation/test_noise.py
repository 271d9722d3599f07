"""Gumbel noise: golden vectors, agreement with a plain-integer model, and the true distribution."""

import json
import math
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.generation.noise import MASK64, NOISE_BITS, Noise, gumbel_of_uniform, mix64, noise_key

GOLDEN_CASES = json.loads(Path(__file__).with_name("golden_noise.json").read_text(encoding="utf-8"))
LAST_UNIFORM = 2**40 - 1


@pytest.mark.parametrize("case", GOLDEN_CASES, ids=lambda case: f"{case['seed']}-{case['choice']}-{case['index']}")
def test_golden_vectors(case: dict[str, Any]) -> None:
    ids = np.array(case["token_ids"], dtype=np.int64)
    got = Noise(case["seed"], case["choice"], case["index"]).of(ids)
    assert [int(value * 2**NOISE_BITS) for value in got] == case["noise_q24"]


def test_mixer_is_splitmix64() -> None:
    """First outputs of SplitMix64 from state 1234567 (Vigna's reference program)."""
    golden = 0x9E3779B97F4A7C15
    got = [mix64((1234567 + n * golden) & MASK64) for n in (1, 2, 3)]
    assert got == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(st.integers(-(2**70), 2**70), st.integers(0, 100), st.integers(0, 2**20), st.integers(0, 2**20))
def test_arrays_agree_with_single_numbers(seed: int, choice: int, index: int, token: int) -> None:
    hashed = mix64(noise_key(seed, choice, index) + (token + 1) * 0x9E3779B97F4A7C15)
    expected = gumbel_of_uniform(np.array([hashed >> 24], dtype=np.int64))[0] / 2**NOISE_BITS
    assert Noise(seed, choice, index).of(np.array([token]))[0] == expected


def test_noise_of_a_token_does_not_depend_on_its_neighbours() -> None:
    everything = Noise(5, 0, 3).of(np.arange(20_000))
    some = np.array([19_999, 8192, 8191, 0])
    assert (Noise(5, 0, 3).of(some) == everything[some]).all()


def _true_gumbel(uniform: int) -> float:
    with localcontext() as context:
        context.prec = 40
        return float(-(-(Decimal(2 * uniform + 1) / Decimal(2) ** 41).ln()).ln())


def test_precision_and_range() -> None:
    spread = (2.0 ** np.random.default_rng(3).uniform(0, 40, 2_000)).astype(np.int64)
    uniforms = np.unique(np.concatenate(([0, LAST_UNIFORM], spread, LAST_UNIFORM - spread)).clip(0, LAST_UNIFORM))
    got = gumbel_of_uniform(uniforms) / 2**NOISE_BITS
    truth = np.array([_true_gumbel(int(u)) for u in uniforms])
    error = np.abs(got - truth)
    assert error[truth < 21].max() < 2**-13
    assert error.max() < 0.019
    assert (np.diff(got) >= 0).all()
    assert (got[0], got[-1]) == (pytest.approx(-3.347, abs=1e-3), pytest.approx(28.401, abs=1e-3))


def test_distribution_is_gumbel() -> None:
    """Kolmogorov-Smirnov distance to exp(-exp(-x)), and the moments, over seeds, positions and tokens."""
    draws = np.concatenate([Noise(seed, 0, index).of(np.arange(1000)) for seed in range(20) for index in range(10)])
    draws.sort()
    cumulative = np.exp(-np.exp(-draws))
    steps = np.arange(len(draws) + 1) / len(draws)
    distance = max(np.abs(cumulative - steps[:-1]).max(), np.abs(cumulative - steps[1:]).max())
    assert distance < 1.95 / math.sqrt(len(draws))
    assert draws.mean() == pytest.approx(0.5772157, abs=0.01)
    assert draws.var() == pytest.approx(math.pi**2 / 6, abs=0.02)
    assert draws.max() > 10


def test_neighbouring_keys_are_independent() -> None:
    base = Noise(9, 0, 0).of(np.arange(20_000))
    for other in (
        Noise(10, 0, 0).of(np.arange(20_000)),
        Noise(9, 1, 0).of(np.arange(20_000)),
        Noise(9, 0, 1).of(np.arange(20_000)),
    ):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.03


@pytest.mark.parametrize("least", [-10.0, -3.0, 0.0, 2.5, 6.0, 9.5, 28.0, 40.0])
def test_the_sieve_never_drops_a_token_that_reaches(least: float) -> None:
    noise, ids = Noise(3, 0, 7), np.arange(60_000)
    kept, reached = noise.may_reach(ids, least), noise.of(ids) >= least
    assert not (reached & ~kept).any()
    assert kept.sum() <= 1.1 * reached.sum() + 5  # and it is a sieve


@pytest.mark.parametrize("vocab_size", [1, 5000, 32768, 70_001])
@pytest.mark.parametrize("least", [-4.0, 0.0, 2.5, 6.0, 9.5, 30.0])
def test_the_sieve_of_a_whole_vocabulary_drops_as_few(vocab_size: int, least: float) -> None:
    noise = Noise(11, 2, 5)
    kept, reached = noise.reaching(vocab_size, least), np.flatnonzero(noise.of(np.arange(vocab_size)) >= least)
    assert np.isin(reached, kept).all() and (np.diff(kept) > 0).all()
    assert len(kept) <= 1.1 * len(reached) + 5
