"""How sure a model was of a token: its log-probability and the entropy of its distribution. Never decides a token."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray


class TokenProbability(msgspec.Struct, frozen=True):
    """Of one token, in nats, by the model's own logits: before temperature, filters, penalties and bias."""

    logprob: float
    entropy: float


def token_probability(logits: NDArray[np.float32], token: int) -> TokenProbability:
    """What finite `logits` [vocabulary] say of `token`: ln softmax(logits)[token], and -Σ p ln p."""
    below = logits.astype(np.float64) - float(logits.max())
    weights = np.exp(below)
    total = float(weights.sum())
    entropy = np.log(total) - float(weights @ below) / total
    return TokenProbability(float(below[token] - np.log(total)), max(float(entropy), 0.0))
