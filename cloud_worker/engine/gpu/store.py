"""Keys and values on a device: for each layer one arena of tokens, and one block more than anybody owns.

    layer    | block 0 | block 1 | ... | last block | for padding |      32 tokens each
    a token  | k k v v |                                                  kv_heads keys, then kv_heads values

Padding rows of a call of fixed size write there; nothing reads it. Policy is blocks.py's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.kv_memory import KvElement


class DeviceKvStore:
    """Room for `blocks` blocks in the element type `dtype` on `device`."""

    def __init__(self, config: ModelConfig, blocks: int, dtype: torch.dtype, device: torch.device) -> None:
        if blocks < 1:
            raise ValueError(f"DeviceKvStore: {blocks} blocks; at least one is needed")
        self.blocks = blocks
        self.padding_slot = blocks * BLOCK_TOKENS
        shape = (config.layers, (blocks + 1) * BLOCK_TOKENS, 2 * config.kv_heads, config.head_dim)
        self._arena = torch.zeros(shape, dtype=dtype, device=device)
        element = KvElement(8 * self._arena.element_size())
        self.token_bytes = config.kv_bytes(1, element)
        self.size_bytes = config.kv_bytes(blocks * BLOCK_TOKENS, element)

    def layer(self, layer: int) -> Tensor:
        """The arena of a layer, [tokens, 2 · kv_heads, head_dim]."""
        return self._arena[layer]

    def write(self, layer: int, slots: Tensor, rows: Tensor) -> None:
        """Store the keys and values [n, 2 · kv_heads, head_dim] of n tokens at `slots` int64 [n]."""
        self._arena[layer].index_copy_(0, slots, rows)

    def copy_block(self, source: int, target: int, tokens: int = BLOCK_TOKENS) -> None:
        """Copy the first `tokens` tokens of a block to another, in every layer."""
        first, second = source * BLOCK_TOKENS, target * BLOCK_TOKENS
        self._arena[:, second : second + tokens] = self._arena[:, first : first + tokens]
