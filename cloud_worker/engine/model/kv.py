"""Keys and values of all sequences: one arena of tokens for each layer, addressed by block tables. No policy here.

    layer     | key head 0 | key head 1 | value head 0 | ...      kv_heads keys, then kv_heads values
    a head    | block 0 | block 1 | block 2 | ...                 32 tokens each, head_dim numbers a token

Which block belongs to whom is blocks.py's; the bits of what is read do not depend on where it lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.work import BLOCK_TOKENS
from edgewise.generation.kv_memory import KvElement


class KvStore:
    """Room for `blocks` blocks in the element type `dtype`; memory is taken by the system as it is first written.

    A head's keys lie together because attention reads them head by head: rows of 500 bfloat16 tokens take two thirds of
    the time that they took with all heads of a token side by side.
    """

    def __init__(self, config: ModelConfig, blocks: int, dtype: torch.dtype) -> None:
        if blocks < 1:
            raise ValueError(f"KvStore: {blocks} blocks; at least one is needed")
        self.blocks = blocks
        shape = (config.layers, 2 * config.kv_heads, blocks * BLOCK_TOKENS, config.head_dim)
        self._arena = torch.zeros(shape, dtype=dtype)
        element = KvElement(8 * self._arena.element_size())
        self.token_bytes = config.kv_bytes(1, element)
        self.size_bytes = config.kv_bytes(blocks * BLOCK_TOKENS, element)
        self._layers = [_Layer(heads) for heads in self._arena]

    def write(self, layer: int, slots: Tensor, rows: Tensor) -> None:
        """Store the keys and values [n, 2 · kv_heads, head_dim] of n tokens at `slots` int64 [n]."""
        self._layers[layer].tokens.index_copy_(0, slots, rows)

    def clear(self, layer: int, slots: Tensor) -> None:
        """Make `slots` zero: what an earlier owner left there may be no number, which no mask would hide."""
        self._layers[layer].tokens.index_fill_(0, slots, 0)

    def read(self, layer: int, span: Span) -> tuple[Tensor, Tensor]:
        """Keys and values [1, kv_heads, many, head_dim] among which a span's begin at `span.origin`.

        Views of all there are where its blocks follow one another, a copy of its blocks where not.
        """
        found = self._layers[layer]
        if span.table is None:
            return found.halves
        heads = found.blocks.index_select(1, span.table)
        return _halves(heads.view(len(heads), -1, self._arena.shape[-1]))

    def copy_block(self, source: int, target: int, tokens: int = BLOCK_TOKENS) -> None:
        """Copy the first `tokens` tokens of a block to another, in every layer."""
        first, second = source * BLOCK_TOKENS, target * BLOCK_TOKENS
        self._arena[:, :, second : second + tokens] = self._arena[:, :, first : first + tokens]


class _Layer:
    """Views of a layer's heads [2 · kv_heads, slots, head_dim], for those who read and write."""

    __slots__ = ("blocks", "halves", "tokens")

    def __init__(self, heads: Tensor) -> None:
        self.tokens = heads.transpose(0, 1)
        self.blocks = heads.view(len(heads), -1, BLOCK_TOKENS * heads.shape[-1])
        self.halves = _halves(heads)


class Span:
    """Tokens `start` to `stop` of a sequence as they lie in the arena: in one run, or in the blocks of `table`."""

    __slots__ = ("origin", "table")

    def __init__(self, blocks: Sequence[int], start: int, stop: int) -> None:
        used = blocks[start // BLOCK_TOKENS : -(-stop // BLOCK_TOKENS)]
        one_run = all(after == before + 1 for before, after in pairwise(used))
        self.table = None if one_run else torch.tensor(used, dtype=torch.int64)
        self.origin = start % BLOCK_TOKENS + (used[0] * BLOCK_TOKENS if one_run else 0)


def slots_of(blocks: Sequence[int], start: int, stop: int) -> Tensor:
    """Slots in the arena of tokens `start` to `stop` of a sequence; int64 [stop - start]."""
    first = start // BLOCK_TOKENS
    table = torch.tensor(blocks[first : -(-stop // BLOCK_TOKENS)], dtype=torch.int64)
    positions = torch.arange(start, stop)
    return table[positions // BLOCK_TOKENS - first] * BLOCK_TOKENS + positions % BLOCK_TOKENS


def _halves(heads: Tensor) -> tuple[Tensor, Tensor]:
    """[2 · kv_heads, tokens, head_dim] as keys and values [1, kv_heads, tokens, head_dim]."""
    keys, values = heads.unsqueeze(0).chunk(2, dim=1)
    return keys, values
