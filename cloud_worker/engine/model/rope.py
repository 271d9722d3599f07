"""Rotary positions: the table of cosines and sines by position, and turning queries and keys by its rows.

A row of the table depends on its position alone: it is made in chunks that never move, in float64 where torch's float32
kernels would differ between the ends and the middle of a tensor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cloud_worker.engine.model.config import Rope

_CHUNK = 1024


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """Angle of each of the head_dim / 2 pairs per position, stretched as `rope` says; float32 [head_dim / 2]."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim
    plain = 1.0 / (rope.theta**exponents)
    if rope.kind == "linear":
        return plain / rope.factor
    if rope.kind == "llama3":
        return _llama3(plain, rope)
    return _yarn(plain, rope, head_dim) if rope.kind == "yarn" else plain


def _llama3(plain: Tensor, rope: Rope) -> Tensor:
    """Long waves are stretched, short ones kept, those between blended (Llama 3.1's configuration)."""
    length = 2 * math.pi / plain
    longest = rope.original_context / rope.low_freq_factor
    shortest = rope.original_context / rope.high_freq_factor
    keep = (rope.original_context / length - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    blended = (1 - keep) * plain / rope.factor + keep * plain
    return torch.where(length > longest, plain / rope.factor, torch.where(length < shortest, plain, blended))


def _yarn(plain: Tensor, rope: Rope, head_dim: int) -> Tensor:
    """NTK by parts (Peng et al., 2023, section 3.2): pairs that turn often are kept, slow ones stretched."""

    def pair(turns: float) -> float:
        return head_dim * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair(rope.beta_fast), pair(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    high = high + 0.001 if low == high else high
    ramp = ((torch.arange(head_dim // 2, dtype=torch.float32) - low) / (high - low)).clamp(0, 1)
    return plain / rope.factor * ramp + plain * (1 - ramp)


class RopeTable:
    """Cosines and signed sines by position, grown when a position asks for it."""

    def __init__(self, rope: Rope, head_dim: int, dtype: torch.dtype) -> None:
        self._frequencies = inverse_frequencies(rope, head_dim)
        self._factor, self._dtype = rope.attention_factor, dtype
        self._cos = self._sin = torch.empty(0, 1, head_dim, dtype=dtype)

    def rows(self, positions: Tensor, highest: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines [n, 1, head_dim] of `positions` int64 [n], none above `highest`."""
        while highest >= len(self._cos):
            self._grow()
        return self._cos.index_select(0, positions), self._sin.index_select(0, positions)

    def _grow(self) -> None:
        start = len(self._cos)
        positions = torch.arange(start, start + _CHUNK, dtype=torch.float32)
        angles = (positions[:, None, None] * self._frequencies).double()
        cos, sin = (angles.cos() * self._factor).float(), (angles.sin() * self._factor).float()
        self._cos = torch.cat((self._cos, torch.cat((cos, cos), -1).to(self._dtype)))
        self._sin = torch.cat((self._sin, torch.cat((-sin, sin), -1).to(self._dtype)))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Turn x [n, heads, head_dim] in place by the table's rows; half-split layout.

    Multiplications and additions stand apart on purpose: a fused one rounds otherwise where a tensor's end is handled
    value by value, and a row's bits would depend on its place.
    """
    tokens, heads, width = x.shape
    swapped = x.view(tokens, heads, 2, width // 2).flip(2).view(tokens, heads, width)
    x.mul_(cos).add_(swapped.mul_(sin))
