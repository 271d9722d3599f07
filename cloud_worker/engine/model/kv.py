"""Keys and values of all sequences: one arena of tokens for each layer, addressed by block tables. No policy here.

    layer    | block 0 | block 1 | block 2 | ...      32 tokens each
    a token  | k k v v |                              kv_heads keys, then kv_heads values, head_dim each

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
    """Room for `blocks` blocks in the element type `dtype`; memory is taken by the system as it is first written."""

    def __init__(self, config: ModelConfig, blocks: int, dtype: torch.dtype) -> None:
        if blocks < 1:
            raise ValueError(f"KvStore: {blocks} blocks; at least one is needed")
        self.blocks = blocks
        shape = (config.layers, blocks * BLOCK_TOKENS, 2 * config.kv_heads, config.head_dim)
        self._arena = torch.zeros(shape, dtype=dtype)
        element = KvElement(8 * self._arena.element_size())
        self.token_bytes = config.kv_bytes(1, element)
        self.size_bytes = config.kv_bytes(blocks * BLOCK_TOKENS, element)
        self._tokens = list(self._arena)
        self._halves = [_halves(tokens) for tokens in self._tokens]

    def write(self, layer: int, slots: Tensor, rows: Tensor) -> None:
        """Store the keys and values [n, 2 · kv_heads, head_dim] of n tokens at `slots` int64 [n]."""
        self._tokens[layer].index_copy_(0, slots, rows)

    def clear(self, layer: int, slots: Tensor) -> None:
        """Make `slots` zero: what an earlier owner left there may be no number, which no mask would hide."""
        self._tokens[layer].index_fill_(0, slots, 0)

    def read(self, layer: int, span: Span) -> tuple[Tensor, Tensor]:
        """Keys and values [1, kv_heads, tokens, head_dim] of a span: views where its blocks follow one another."""
        if span.slots is not None:
            return _halves(self._tokens[layer].index_select(0, span.slots))
        keys, values = self._halves[layer]
        return keys.narrow(2, span.first_slot, span.tokens), values.narrow(2, span.first_slot, span.tokens)

    def copy_block(self, source: int, target: int, tokens: int = BLOCK_TOKENS) -> None:
        """Copy the first `tokens` tokens of a block to another, in every layer."""
        first, second = source * BLOCK_TOKENS, target * BLOCK_TOKENS
        self._arena[:, second : second + tokens] = self._arena[:, first : first + tokens]


class Span:
    """Tokens `start` to `stop` of a sequence as they lie in the arena: in one run, or at `slots`."""

    __slots__ = ("first_slot", "slots", "tokens")

    def __init__(self, blocks: Sequence[int], start: int, stop: int) -> None:
        used = blocks[start // BLOCK_TOKENS : -(-stop // BLOCK_TOKENS)]
        self.tokens = stop - start
        self.first_slot = used[0] * BLOCK_TOKENS + start % BLOCK_TOKENS
        one_run = all(after == before + 1 for before, after in pairwise(used))
        self.slots = None if one_run else slots_of(blocks, start, stop)


def slots_of(blocks: Sequence[int], start: int, stop: int) -> Tensor:
    """Slots in the arena of tokens `start` to `stop` of a sequence; int64 [stop - start]."""
    first = start // BLOCK_TOKENS
    table = torch.tensor(blocks[first : -(-stop // BLOCK_TOKENS)], dtype=torch.int64)
    positions = torch.arange(start, stop)
    return table[positions // BLOCK_TOKENS - first] * BLOCK_TOKENS + positions % BLOCK_TOKENS


def _halves(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """[tokens, 2 · kv_heads, head_dim] as keys and values [1, kv_heads, tokens, head_dim]."""
    keys, values = tokens.transpose(0, 1).unsqueeze(0).chunk(2, dim=1)
    return keys, values
