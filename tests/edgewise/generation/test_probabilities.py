"""Log-probabilities against float64, the most likely tokens and their ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewise.generation.probabilities import most_likely, token_probability


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.1, 1.0, 6.0, 60.0]), st.sampled_from([2, 300, 20_000]))
def test_float32_is_near_enough(seed: int, spread: float, vocabulary: int) -> None:
    random = np.random.default_rng(seed)
    logits = (random.standard_normal(vocabulary) * spread + random.normal() * 50).astype(np.float32)
    exact = logits.astype(np.float64) - float(logits.max())
    exact -= np.log(np.exp(exact).sum())
    token = int(random.integers(vocabulary))
    got = token_probability(logits, token)
    assert got.logprob == pytest.approx(exact[token], abs=2e-5) and got.logprob <= 0
    assert got.entropy == pytest.approx(-(np.exp(exact) * exact).sum(), abs=2e-4, rel=1e-5)
    count = int(random.integers(1, 30))
    best = most_likely(logits, count)
    assert [token for token, _ in best] == np.argsort(-logits, kind="stable")[:count].tolist()
    assert [chance for _, chance in best] == pytest.approx([exact[token] for token, _ in best], abs=2e-5)


def test_ties_go_to_the_lowest_id() -> None:
    assert [token for token, _ in most_likely(np.array([1, 2, 2, 2, 0], np.float32), 2)] == [1, 2]
    assert most_likely(np.zeros(3, np.float32), 0) == ()
    assert len(most_likely(np.zeros(3, np.float32), 9)) == 3
