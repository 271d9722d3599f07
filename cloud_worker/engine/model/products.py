"""Products of whole numbers in 8 bits: sums of integers have no order, so a row's bits are its own by construction.

Two kernels of torch give the very same bits; what they multiply, and what the scales are, is integers.py's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Protocol

import torch
from torch import Tensor

from edgewise.wire.errors import ConfigError

MOST: Final = 127
"""The largest level of a weight, and of an activation in one byte."""
_HALF: Final = 128
"""Both kernels multiply unsigned by signed bytes: activations are moved up by it, and what that adds is taken off."""


class Product(Protocol):
    """Whole numbers -128..127 as float32 [n, in] to float32 [n, out]: exact sums, each times its output's scale."""

    def __call__(self, x: Tensor) -> Tensor: ...


class FbgemmProduct:
    """FBGEMM's kernel, which reads weights fastest at few rows."""

    def __init__(self, levels: Tensor, scales: Tensor) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that quantized tensors will go; the other kernel stays
            middles = torch.zeros(len(scales), dtype=torch.int64)
            weight = torch._make_per_channel_quantized_tensor(levels, scales.double(), middles, 0)
            self._packed = torch.ops.quantized.linear_prepack(weight, None)
        self._multiply = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32.default

    def __call__(self, x: Tensor) -> Tensor:
        """See Product."""
        product: Tensor = self._multiply(x, 1.0, _HALF, self._packed)
        return product


class OnednnProduct:
    """oneDNN's kernel."""

    def __init__(self, levels: Tensor, scales: Tensor) -> None:
        self._packed = torch.ops.onednn.qlinear_prepack(levels, None)
        self._scales, self._middles = scales, torch.zeros(len(scales), dtype=torch.int32)
        self._multiply = torch.ops.onednn.qlinear_pointwise.default

    def __call__(self, x: Tensor) -> Tensor:
        """See Product."""
        bytes_ = (x + _HALF).to(torch.uint8)
        product: Tensor = self._multiply(
            bytes_, 1.0, _HALF, self._packed, self._scales, self._middles, None, 1.0, 0, torch.float32, "none", [], ""
        )
        return product


Kernel = Callable[[Tensor, Tensor], Product]
KERNELS: Final[tuple[Kernel, ...]] = (FbgemmProduct, OnednnProduct)
"""The faster first."""


def new_product(levels: Tensor, scales: Tensor, kernels: Sequence[Kernel] = KERNELS) -> Product:
    """By levels int8 [out, in] in ±127 with scales float32 [out], in the first kernel that is right on this machine.

    Raises ConfigError where none is: without 8-bit dot products, pairs are cut at 16 bits, and sums are wrong.
    """
    for kernel in kernels:
        if is_whole(kernel):
            return kernel(levels, scales)
    raise ConfigError(
        "This processor's 8-bit products are not whole sums",
        where="weights",
        expected="a processor with 8-bit dot products (AVX-512 VNNI, AVX-VNNI)",
        remedy="choose int4 or as-stored",
    )


@cache
def is_whole(kernel: Kernel) -> bool:
    """Whether a kernel is there and sums as integers do: the largest sums, both signs, few rows and many."""
    levels = torch.full((48, 320), MOST, dtype=torch.int8)
    levels[1::2, ::3] = -MOST
    try:
        product = kernel(levels, torch.ones(len(levels)))
        return all(_right(product, levels, rows) for rows in (1, 4, 33))
    except (RuntimeError, AttributeError):
        return False


def _right(product: Product, levels: Tensor, rows: int) -> bool:
    x = torch.full((rows, levels.shape[1]), MOST, dtype=torch.int32)
    x[::2, ::5] = -_HALF
    return torch.equal(product(x.float()), (x @ levels.t().int()).float())
