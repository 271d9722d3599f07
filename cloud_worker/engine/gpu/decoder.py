"""GpuDecoder: the model of model/decoder.py on a device, in calls of fixed sizes, so that they can be captured.

The same layers, written for static shapes: no host decides anything between the first kernel of a call and the last.
What a step is made of is batch.py's; replaying a captured call is graphs.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.gpu.attention import PagedAttention
from cloud_worker.engine.gpu.batch import EXACT, Call, Kind, Sizes, calls_of
from cloud_worker.engine.gpu.device import device_named
from cloud_worker.engine.gpu.inputs import Inputs
from cloud_worker.engine.gpu.store import DeviceKvStore
from cloud_worker.engine.model.base import DIGESTED_ROWS
from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.rope import RopeTable, rotate
from cloud_worker.engine.model.weights import LayerWeights, Weights
from cloud_worker.engine.work import BLOCK_TOKENS, Segment

Replay = Callable[[int, Callable[[], Tensor]], Tensor]
"""Runs the computation of so many rows, or a captured one in its place."""


def computed_now(_rows: int, compute: Callable[[], Tensor]) -> Tensor:
    """A Replay that captures nothing."""
    return compute()


class GpuDecoder:
    """A model.base.Model on the device of its weights, for texts of at most `context` tokens; not thread-safe."""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        blocks: int,
        context: int,
        sizes: Sizes = EXACT,
        replay: Replay = computed_now,
    ) -> None:
        self.config, self.weights, self.sizes = config, weights, sizes
        norm = weights.norm
        self.kv = DeviceKvStore(config, blocks, norm.dtype, norm.device)
        self._cos, self._sin = _rope_rows(config, context, norm)
        self.attention = PagedAttention(config, self.kv, context)
        self.unit_tokens = {kind: min(tiles.tokens, sizes.most(kind)) for kind, tiles in self.attention.tiles.items()}
        self.context_blocks = -(-context // BLOCK_TOKENS)
        self.digested_rows = tuple(size for size in (sizes.rows, sizes.prompt) if size) or DIGESTED_ROWS
        self.named = f"{device_named(norm.device)}, splits of {self.attention.split_keys} keys"
        self._inputs = dict[tuple[Kind, int], Inputs]()
        self._replay = replay
        self._here = torch.cuda.device(norm.device) if norm.is_cuda else nullcontext()
        """CUDA's current device is a thread's own, and who loads a model need not be who steps it."""

    @torch.inference_mode()
    def forward(self, segments: Sequence[Segment]) -> Tensor:
        """See model.base.Model."""
        wanted = sum(segment.wanted for segment in segments)
        hidden = self.weights.norm.new_empty(wanted, self.config.sizes.hidden_size)
        with self._here:
            for call in calls_of(segments, self.unit_tokens, self.sizes):
                found = self._run(call)
                if call.wanted:
                    rows, places = torch.tensor(call.wanted, device=hidden.device).unbind(1)
                    hidden.index_copy_(0, places, found.index_select(0, rows))
        return hidden

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Logits float32 [n, vocab] of hidden [n, hidden], on the host."""
        parts = torch.split(hidden, self.sizes.most(Kind.ROWS))
        with self._here:
            return torch.cat([self._head(part).float().cpu() for part in parts])

    def _head(self, hidden: Tensor) -> Tensor:
        rows = len(hidden)
        padding = self.sizes.padded(Kind.ROWS, rows) - rows if rows else 0
        return self.weights.head(functional.pad(hidden, (0, 0, 0, padding)))[:rows]

    def _run(self, call: Call) -> Tensor:
        key = call.kind, call.rows
        if key not in self._inputs:
            self._inputs[key] = Inputs(*key, self.context_blocks, self.kv.padding_slot, self.weights.norm.device)
        inputs = self._inputs[key]
        inputs.fill(call)
        if call.kind is Kind.PROMPT:
            return self._compute(inputs)
        return self._replay(call.rows, lambda: self._compute(inputs))

    def _compute(self, inputs: Inputs) -> Tensor:
        """Final hidden states [rows, hidden] of all rows; those of padding mean nothing."""
        positions = (inputs.lengths - 1).clamp(min=0)
        cos, sin = self._cos.index_select(0, positions), self._sin.index_select(0, positions)
        x = functional.embedding(inputs.ids, self.weights.embedding)
        for number, layer in enumerate(self.weights.layers):
            query = self._query(number, layer, x, inputs, cos, sin)
            x = x + layer.out(self.attention(number, query, inputs.reads))
            gate, up = layer.gate_up(self._normed(x, layer.inner_norm)).chunk(2, dim=-1)
            x = x + layer.down(functional.silu(gate) * up)
        return self._normed(x, self.weights.norm)

    def _query(self, number: int, layer: LayerWeights, x: Tensor, inputs: Inputs, cos: Tensor, sin: Tensor) -> Tensor:
        """Queries [rows, heads, head_dim]; keys and values are written."""
        config = self.config
        qkv = layer.qkv(self._normed(x, layer.input_norm)).view(inputs.rows, -1, config.head_dim)
        turned = qkv[:, : config.heads + config.kv_heads]
        if layer.qk_norm is not None:
            turned.copy_(functional.rms_norm(turned, (config.head_dim,), None, config.rms_norm_eps) * layer.qk_norm)
        rotate(turned, cos, sin)
        self.kv.write(number, inputs.slots, qkv[:, config.heads :])
        return qkv[:, : config.heads]

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.shape[-1],), weight, self.config.rms_norm_eps)


def _rope_rows(config: ModelConfig, context: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of every position, made on the host as for the CPU, where `like` lies."""
    table = RopeTable(config.rope, config.head_dim, like.dtype)
    cos, sin = table.rows(torch.arange(context), context - 1)
    return cos.to(like.device), sin.to(like.device)
