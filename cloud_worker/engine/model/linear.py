"""Linear layers of the engine, behind one small protocol. Each promises: a row's bits do not depend on its companions.

An integer kind of weight comes as one more class here; who uses a layer sees no difference.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

ROW_MULTIPLE: Final = 4
"""Rows of a step are padded to a multiple of it: float32 products have the same bits for every row count of at least 4,
bfloat16 ones for every count, and 4 rows cost what one costs."""

_PACKED_ROWS: Final = 4
"""The row count that oneDNN is told when it chooses the layout of packed weights."""


class Linear(Protocol):
    """x [n, in] to [n, out], n a multiple of ROW_MULTIPLE."""

    out_features: int
    size_bytes: int

    def __call__(self, x: Tensor) -> Tensor: ...


class PlainLinear:
    """The weight [out, in] as it is, of any float type."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.out_features = weight.shape[0]
        self.size_bytes = weight.numel() * weight.element_size()
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._weight, self._bias)


class PackedLinear:
    """A bfloat16 weight [out, in] in oneDNN's own order: the bits of PlainLinear, in less time at few rows."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.out_features = weight.shape[0]
        self.size_bytes = weight.numel() * weight.element_size()
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_ROWS)
        self._bias = bias
        self._product = torch.ops.mkldnn._linear_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = self._product(x, self._weight, self._bias, "none", [], "")
        return product


def make_linear(weight: Tensor, bias: Tensor | None = None) -> Linear:
    """The fastest exact layer for a weight [out, in] on the CPU: packed where oneDNN can, plain otherwise."""
    packable = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return PackedLinear(weight, bias) if packable else PlainLinear(weight, bias)
