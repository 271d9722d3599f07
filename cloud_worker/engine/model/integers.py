"""Integer weights: matrices in 8 or 4 bits with scales, and the layers that multiply by them. ADR 0042 says why so.

A row's bits do not depend on its companions: 8-bit products are whole numbers (products.py), and the 4-bit kernel goes
row by row. What is exact is the arithmetic, not the rounding of the weights.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.products import MOST, new_product

GROUP: Final = 32
"""Neighbours in a row of a 4-bit matrix that share scale and middle; rows must be made of whole groups."""
_FINE: Final = 128
"""Steps of the second byte to one of the first: a power of two, and what is left is never more than half of it."""
_TINY: Final = 1e-30
"""Keeps rows of zeros from being divided by zero."""
_SLICE: Final = 8192
"""Rows of a matrix that are rounded at a time: no wide copy of all of it is in memory."""
_TILE: Final = 16
"""Outputs of a 4-bit matrix come in whole tiles."""
_LEVELS: Final = 15


class Int8Linear:
    """The weight in 8 bits, one scale an output. A row of `x` goes in as whole numbers of two bytes or of one.

    Two bytes (weights only): 15 bits below the row's largest value, finer than bfloat16 wherever it matters. Both bytes
    are rows of one product, which costs little while reading the weights is what takes time. One byte has 8 bits.
    """

    row_multiple = 1

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, two_bytes: bool = True) -> None:
        """Raises ConfigError on a machine whose 8-bit products are not whole sums."""
        levels, scales = by_rows(weight)
        self.out_features = weight.shape[0]
        self.size_bytes = _size(levels) + _size(scales)
        self._product = new_product(levels, scales / _FINE if two_bytes else scales)
        self._bias = None if bias is None else bias.float()
        self._two_bytes = two_bytes

    def __call__(self, x: Tensor) -> Tensor:
        """See Linear."""
        wide = x.float()
        step = wide.abs().amax(1, keepdim=True).mul_(1 / MOST).clamp_min_(_TINY)
        steps = wide / step
        if self._two_bytes:
            rows, whole = len(x), steps.round()
            both = self._product(torch.cat((whole, steps.sub_(whole).mul_(_FINE).round_())))
            y = both[rows:].add_(both[:rows], alpha=_FINE).mul_(step)
        else:
            y = self._product(steps.round_()).mul_(step)
        return (y if self._bias is None else y.add_(self._bias)).to(x.dtype)


class Int4Linear:
    """The weight in 4 bits, scale and middle for every group of GROUP inputs; `x` stays as it is."""

    row_multiple = 1

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """`weight` [out, in], `in` a multiple of GROUP."""
        self.out_features = weight.shape[0]
        filled = functional.pad(weight, (0, 0, 0, -len(weight) % _TILE))
        parts, grids = list[Tensor](), list[Tensor]()
        for start in range(0, len(filled), _SLICE):
            levels, grid = by_groups(filled[start : start + _SLICE])
            parts.append(torch.ops.aten._convert_weight_to_int4pack_for_cpu(levels, 1))
            grids.append(grid)
        self._levels, self._grid, self._bias = torch.cat(parts), torch.cat(grids, dim=1), bias
        self.size_bytes = _size(self._levels) + _size(self._grid)

    def __call__(self, x: Tensor) -> Tensor:
        """See Linear."""
        y: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(x, self._levels, GROUP, self._grid)
        y = y[:, : self.out_features]
        return y if self._bias is None else y + self._bias


def by_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Levels int8 [out, in] in ±127 and scales float32 [out]: weight ≈ level · scale, the largest of a row exactly."""
    levels = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight))
    for start in range(0, len(weight), _SLICE):
        rows = weight[start : start + _SLICE].float()
        peak = rows.abs().amax(1, keepdim=True).clamp_min_(_TINY)
        levels[start : start + _SLICE] = (rows * (MOST / peak)).round_()
        scales[start : start + _SLICE] = peak[:, 0] / MOST
    return levels, scales


def by_groups(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Levels int32 [out, in] in 0..15 and the grid [in / GROUP, out, 2] of scales and middles, of the weight's type.

    weight ≈ (level - 8) · scale + middle.
    """
    groups = weight.float().view(len(weight), -1, GROUP)
    low, high = groups.aminmax(dim=2, keepdim=True)
    scale = ((high - low) / _LEVELS).clamp_min_(_TINY).to(weight.dtype)
    middle = (low + 8 * scale.float()).to(weight.dtype)
    levels = ((groups - middle.float()) / scale.float()).round_().add_(8).clamp_(0, _LEVELS).to(torch.int32)
    return levels.view(weight.shape), torch.cat((scale, middle), dim=2).transpose(0, 1)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
