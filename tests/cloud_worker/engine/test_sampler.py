"""The torch sampler is the NumPy one, to the bit."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_worker.engine import sampler
from edgewise.generation import fixed_point, noise, sampling
from edgewise.generation.state import Sampling
from tests.factories.states import make_state

GOLDEN = Path(__file__).parents[2] / "edgewise" / "generation" / "golden_noise.json"
rules = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 1.7, 1e-310]),
    top_p=st.sampled_from([1.0, 0.95, 0.6, 0.1, 1e-9]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    min_p=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    frequency_penalty=st.sampled_from([0.0, 0.4]),
    presence_penalty=st.sampled_from([0.0, -1.1]),
    logit_bias=st.dictionaries(st.integers(0, 19), st.sampled_from([-100.0, 0.3, 100.0]), max_size=3),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.5]),
)


def test_golden_vectors() -> None:
    for case in json.loads(GOLDEN.read_text(encoding="utf-8")):
        got = sampler.gumbel(case["seed"], case["choice"], case["index"], torch.tensor(case["token_ids"]))
        assert (got * 2**noise.NOISE_BITS).long().tolist() == case["noise_q24"]


@settings(max_examples=50, deadline=None)
@given(st.integers(-(2**65), 2**65), st.integers(0, 9), st.integers(0, 10**6))
def test_noise_has_the_same_bits(seed: int, choice: int, index: int) -> None:
    ids = np.arange(1500)
    assert (
        sampler.gumbel(seed, choice, index, torch.from_numpy(ids)).numpy() == noise.Noise(seed, choice, index).of(ids)
    ).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 2**53 - 1), min_size=1), st.lists(st.integers(0, 70 << 24), min_size=1))
def test_fixed_point_has_the_same_bits(numbers: list[int], exponents: list[int]) -> None:
    assert (sampler.log2_fixed(torch.tensor(numbers)).numpy() == fixed_point.log2_fixed(np.array(numbers))).all()
    assert (sampler.exp2_fixed(torch.tensor(exponents)).numpy() == fixed_point.exp2_fixed(np.array(exponents))).all()


@settings(max_examples=300, deadline=None)
@given(
    rules,
    st.integers(0, 2**32),
    st.lists(st.integers(0, 19), max_size=5),
    st.sampled_from([0.0, 1.0, 8.0]),
    st.booleans(),
)
def test_draws_the_same_token(rule: Sampling, seed: int, said: list[int], spread: float, tied: bool) -> None:
    logits = (np.random.default_rng(seed).standard_normal(200) * spread).astype(np.float32)
    logits = np.round(logits) if tied else logits
    state = make_state(sampling=rule, seed=seed, output_ids=tuple(said))
    assert sampler.next_token(torch.from_numpy(logits), state) == sampling.next_token(logits, state)


def test_logits_in_double_are_not_written_to() -> None:
    logits = torch.zeros(20, dtype=torch.float64)
    sampler.next_token(logits, make_state(sampling=Sampling(temperature=0, logit_bias={3: 1.0})))
    assert not logits.any()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_logits_are_refused(bad: float) -> None:
    for logits in (torch.tensor([1.0, bad]), torch.zeros(0), torch.zeros(2, 3)):
        with pytest.raises(sampling.LogitsError):
            sampler.next_token(logits, make_state())
