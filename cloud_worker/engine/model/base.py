"""What an engine asks of a model and its store, whatever computes it: decoder.py on the CPU, or gpu/decoder.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from torch import Tensor

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.weights import Weights
from cloud_worker.engine.work import Segment

DIGESTED_ROWS: Final[tuple[int, ...]] = (4, 36)
"""Rows of the products that stand for all of a model whose kernels promise one result for every number of rows."""


class Store(Protocol):
    """Room for keys and values."""

    blocks: int
    token_bytes: int
    size_bytes: int

    def copy_block(self, source: int, target: int, tokens: int = ...) -> None:
        """Copy the first `tokens` tokens of a block to another, in every layer."""
        ...


class Model(Protocol):
    """A decoder with its store; not thread-safe, like the engine that owns it."""

    config: ModelConfig
    weights: Weights
    digested_rows: tuple[int, ...]
    """Rows of the products that tell how its kernels compute."""
    named: str
    """What else chooses its bits, in words: the device, releases of libraries, cuts of its own."""

    @property
    def kv(self) -> Store: ...

    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """Read the segments' tokens; final hidden states [n, hidden] of the wanted ones, in the segments' order.

        Raises ValueError for a segment that stands on no tile or is not covered by its blocks.
        """
        ...

    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [n, vocab] of hidden [n, hidden], on the host."""
        ...
