"""How far a quantized graph is from the float one on the same token rows: agreement, gap, KL, perplexity. NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloud_worker.forge.stepping import rows_after
from edgewise.graphs import CacheRow, Logits


@dataclass(frozen=True, slots=True)
class TrialRow:
    """Token ids, of which those from `start` on are predicted (start >= 1)."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """Over `tokens` predicted positions: share of equal arg-maxes, largest and mean squared logit difference, mean
    KL(float ‖ quantized) in nats, and both perplexities of the rows' own tokens."""

    tokens: int
    agreement: float
    largest_gap: float
    logit_mse: float
    kl: float
    perplexity: float
    float_perplexity: float


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Natural logarithm of the softmax over the last axis."""
    wide = np.asarray(logits, np.float64)
    wide = wide - wide.max(-1, keepdims=True)
    result: NDArray[np.float64] = wide - np.log(np.exp(wide).sum(-1, keepdims=True))
    return result


def forced_rows(
    decoder: CacheRow, rows: Sequence[TrialRow], advance: Callable[[int], None] = lambda count: None
) -> Iterator[Logits]:
    """Logits [predicted, vocabulary] of each row, as decoding gives them."""
    for row in rows:
        yield rows_after(decoder, row.ids[:-1], row.start)
        advance(1)


def divergence(rows: Sequence[TrialRow], expected: Sequence[Logits], found: Sequence[Logits]) -> Divergence:
    """Compare logits of the same rows. Raises ValueError for no rows."""
    if not rows:
        raise ValueError("there are no rows to compare on")
    target = np.concatenate([np.array(row.ids[row.start :]) for row in rows])
    wanted, given = np.concatenate(list(expected)), np.concatenate(list(found))
    float_logs, logs = log_softmax(wanted), log_softmax(given)
    place = np.arange(len(target))
    difference = np.abs(given.astype(np.float64) - wanted)
    return Divergence(
        tokens=len(target),
        agreement=float((given.argmax(-1) == wanted.argmax(-1)).mean()),
        largest_gap=float(difference.max()),
        logit_mse=float((difference**2).mean()),
        kl=max(0.0, float((np.exp(float_logs) * (float_logs - logs)).sum(-1).mean())),
        perplexity=math.exp(-float(logs[place, target].mean())),
        float_perplexity=math.exp(-float(float_logs[place, target].mean())),
    )
