"""Decoder: a Llama, Qwen2 or Qwen3 model that computes one step of many sequences at once, on the CPU.

Every part of it gives a token the same bits whatever stands beside it: products by rows, attention by the token's own
keys. The token's keys and values are written before anything attends. Requests and sampling are not known here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.attention import Attention
from cloud_worker.engine.model.base import DIGESTED_ROWS
from cloud_worker.engine.model.config import ModelConfig, load_config
from cloud_worker.engine.model.gate import gated
from cloud_worker.engine.model.kv import KvStore
from cloud_worker.engine.model.linear import AS_STORED
from cloud_worker.engine.model.rope import RopeTable, rotate
from cloud_worker.engine.model.step import Step, padded_rows
from cloud_worker.engine.model.weights import LayerWeights, Weights, load_weights
from cloud_worker.engine.work import Segment


class Decoder:
    """A model with its key-value store; not thread-safe, like the engine that owns it."""

    digested_rows, named = DIGESTED_ROWS, ""

    def __init__(self, config: ModelConfig, weights: Weights, blocks: int) -> None:
        self.config, self.weights = config, weights
        dtype = weights.norm.dtype
        self.kv = KvStore(config, blocks, dtype)
        self._rope = RopeTable(config.rope, config.head_dim, dtype)
        self._attention = Attention(config, self.kv, dtype)
        self._windows = tuple(sorted(set(config.windows)))
        self._multiple = weights.head.row_multiple

    @classmethod
    def load(cls, directory: Path, precision: str, blocks: int, kind: str = AS_STORED) -> Decoder:
        """Load a Hugging Face directory, with room for `blocks` blocks. Raises ManifestError, ConfigError."""
        config = load_config(directory)
        return cls(config, load_weights(directory, config, precision, kind), blocks)

    @torch.inference_mode()
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """Read the segments' tokens; final hidden states [n, hidden] of the wanted ones, in the segments' order.

        Raises ValueError for a segment that stands on no tile or is not covered by its blocks.
        """
        step = Step(segments, self._windows, self._multiple)
        x = functional.embedding(step.ids, self.weights.embedding)
        cos, sin = self._rope.rows(step.positions, step.highest)
        *inner, last = enumerate(self.weights.layers)
        for number, layer in inner:
            mixed = self._attend(number, layer, x, step, cos, sin)
            x = self._feed_forward(layer, x, mixed)
        return self._finish(*last, x, step, cos, sin)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [n, vocab] of hidden [n, hidden]."""
        rows = len(hidden)
        padded = functional.pad(hidden, (0, 0, 0, padded_rows(rows, self._multiple) - rows))
        return self.weights.head(padded)[:rows].float()

    def _attend(self, number: int, layer: LayerWeights, x: Tensor, step: Step, cos: Tensor, sin: Tensor) -> Tensor:
        """Write the keys and values of the step's tokens, and mix what each of them sees."""
        qkv = self._qkv(number, layer, x, step, cos, sin)
        return self._attention(number, qkv.narrow(1, 0, self.config.heads), step)

    def _qkv(self, number: int, layer: LayerWeights, x: Tensor, step: Step, cos: Tensor, sin: Tensor) -> Tensor:
        config = self.config
        qkv = layer.qkv(self._normed(x, layer.input_norm)).view(len(x), -1, config.head_dim)
        turned = qkv.narrow(1, 0, config.heads + config.kv_heads)
        if layer.qk_norm is not None:
            normed = functional.rms_norm(turned, (config.head_dim,), None, config.rms_norm_eps)
            torch.mul(normed, layer.qk_norm, out=turned)
        rotate(turned, cos, sin)
        if step.stale is not None:
            self.kv.clear(number, step.stale)
        self.kv.write(number, step.slots, qkv[: step.tokens, config.heads :])
        return qkv

    def _feed_forward(self, layer: LayerWeights, x: Tensor, mixed: Tensor) -> Tensor:
        """The rest of a layer behind its attention; `x` [n, hidden] is added to in place."""
        x.add_(layer.out(mixed))
        return x.add_(layer.down(gated(layer.gate_up(self._normed(x, layer.inner_norm)))))

    def _finish(self, number: int, layer: LayerWeights, x: Tensor, step: Step, cos: Tensor, sin: Tensor) -> Tensor:
        """The last layer: all tokens leave keys and values, only the wanted ones go on."""
        if not step.wanted:
            self._qkv(number, layer, x, step, cos, sin)
            return x[:0]
        mixed = self._attend(number, layer, x, step, cos, sin)
        lacking = padded_rows(len(step.wanted), self._multiple) - len(step.wanted)
        rows = torch.tensor(step.wanted + step.wanted[:1] * lacking)
        x = self._feed_forward(layer, x.index_select(0, rows), mixed.index_select(0, rows))
        return self._normed(x, self.weights.norm)[: len(step.wanted)]

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), weight, self.config.rms_norm_eps)
