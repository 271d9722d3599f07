"""Linear layers of the engine, behind one small protocol. Each promises: a row's bits do not depend on its companions.

Float weights are here, integer ones in integers.py; who uses a layer sees no difference.
"""

from __future__ import annotations

from typing import Final, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.integers import GROUP, Int4Linear, Int8Linear

ROW_MULTIPLE: Final = 4
"""Rows of a step of float weights are padded to a multiple of it: float32 products have the same bits for every row
count of at least 4, bfloat16 ones for nearly every count, and 4 rows cost what one costs."""

_PACKED_ROWS: Final = 4
"""The row count that oneDNN is told when it chooses the layout of packed weights."""


AS_STORED: Final = "as-stored"
KINDS: Final = (AS_STORED, "int8", "int8-dynamic", "int4")
"""`int8` and `int4` round weights only, `int8-dynamic` rounds every row of activations to 8 bits, too."""


class Linear(Protocol):
    """x [n, in] to [n, out], n a multiple of `row_multiple`."""

    row_multiple: int
    out_features: int
    size_bytes: int

    def __call__(self, x: Tensor) -> Tensor: ...


class PlainLinear:
    """The weight [out, in] as it is, of any float type."""

    row_multiple = ROW_MULTIPLE

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.out_features = weight.shape[0]
        self.size_bytes = weight.numel() * weight.element_size()
        self._weight, self._bias = weight, bias

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self._weight, self._bias)


class PackedLinear:
    """A bfloat16 weight [out, in] in oneDNN's own order: the bits of PlainLinear, in less time at few rows."""

    row_multiple = ROW_MULTIPLE

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.out_features = weight.shape[0]
        self.size_bytes = weight.numel() * weight.element_size()
        self._weight: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, _PACKED_ROWS)
        self._bias = bias
        self._product = torch.ops.mkldnn._linear_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        product: Tensor = self._product(x, self._weight, self._bias, "none", [], "")
        return product


def make_linear(weight: Tensor, bias: Tensor | None = None, kind: str = AS_STORED) -> Linear:
    """The fastest exact layer of a kind for a weight [out, in] on the CPU; `as-stored` is packed where oneDNN can.

    `int4` takes a matrix whose rows are no whole groups in 8 bits. Raises ConfigError where the machine cannot compute
    the kind.
    """
    if kind == "int4" and weight.shape[1] % GROUP == 0:
        return Int4Linear(weight, bias)
    if kind != AS_STORED:
        return Int8Linear(weight, bias, two_bytes=kind != "int8-dynamic")
    on_cpu = weight.device.type == "cpu"
    packable = on_cpu and weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return PackedLinear(weight, bias) if packable else PlainLinear(weight, bias)
