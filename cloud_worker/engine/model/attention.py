"""Attention of a step: prompt tiles with a causal mask, output rows over exactly their own keys.

    tile at 64    keys 0..96, 32 queries (padded), masked      the same call wherever the prompt ends
    row at 70     keys 0..71, no mask                          the same call alone, in a batch, as a draft, in replay

Neither call sees anything of its companions, which is why a row's bits are its own. Keys and values are kv.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.model.kv import KvStore
from cloud_worker.engine.model.step import RowsRead, Step, TileRead
from cloud_worker.engine.work import BLOCK_TOKENS

_LEAST_ROWS = 4
"""Rows of a head's query below which the products take another kernel, whose bits depend on where a thread's memory
happens to lie."""
_LEAST_MASK_TOKENS = 1024
"""The shortest mask that is made; longer ones double."""


class Attention:
    """Attends for the layers of one decoder, over the keys and values of `store`."""

    def __init__(self, config: ModelConfig, store: KvStore, dtype: torch.dtype) -> None:
        self._heads, self._kv_heads = config.heads, config.kv_heads
        self._shared = config.heads // config.kv_heads
        self._lacking = max(0, _LEAST_ROWS - self._shared)
        self._width = config.heads * config.head_dim
        self._store, self._dtype, self._windows = store, dtype, config.windows

    def __call__(self, layer: int, query: Tensor, step: Step) -> Tensor:
        """Mixed values [padded, heads · head_dim] for query [padded, heads, head_dim]; padding rows are zero."""
        mixed = query.new_zeros(query.shape) if step.padded > step.tokens else query.new_empty(query.shape)
        reads = step.reads[self._windows[layer]]
        for tile in reads.tiles:
            self._tile(layer, query, tile, mixed)
        if reads.rows:
            self._rows(layer, query, step, reads.rows, mixed)
        return mixed.view(step.padded, self._width)

    def _tile(self, layer: int, query: Tensor, read: TileRead, mixed: Tensor) -> None:
        tile = query.narrow(0, read.row, read.rows)
        if read.rows < BLOCK_TOKENS:
            tile = functional.pad(tile, (0, 0, 0, 0, 0, BLOCK_TOKENS - read.rows))
        before = read.start - read.base
        keys, values = (
            each.narrow(2, read.span.origin, before + BLOCK_TOKENS) for each in self._store.read(layer, read.span)
        )
        queries = tile.transpose(0, 1).unsqueeze(0)
        if self._heads == 1:
            queries, keys, values = _twice(queries), _twice(keys), _twice(values)
        found = functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=_mask(self._windows[layer], before, self._dtype),
            enable_gqa=self._shared > 1,
        )
        mixed.narrow(0, read.row, read.rows).copy_(found[0].transpose(0, 1)[: read.rows])

    def _rows(self, layer: int, query: Tensor, step: Step, reads: tuple[RowsRead, ...], mixed: Tensor) -> None:
        first, count = step.prompt_tokens, step.tokens - step.prompt_tokens
        rows, out = (
            each.narrow(0, first, count).view(count, self._kv_heads, self._shared, -1) for each in (query, mixed)
        )
        if self._lacking:
            rows = functional.pad(rows, (0, 0, 0, self._lacking))
        found = list(self._each_row(layer, rows.unsqueeze(1).unbind(), first, reads))
        if self._lacking:
            out.copy_(torch.cat(found)[:, :, : self._shared])
        else:
            torch.cat(found, out=out)

    def _each_row(
        self, layer: int, queries: tuple[Tensor, ...], first_row: int, reads: tuple[RowsRead, ...]
    ) -> Iterator[Tensor]:
        attend = _attend_twice if self._kv_heads == 1 else functional.scaled_dot_product_attention
        for read in reads:
            keys, values = self._store.read(layer, read.span)
            for number, (first, length) in enumerate(read.cuts, read.row - first_row):
                yield attend(queries[number], keys.narrow(2, first, length), values.narrow(2, first, length))


def _attend_twice(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """For a single head: the kernel gives each head to a thread, but a lone one's products to all threads, with other
    bits. So it computes the head twice, in two threads."""
    return functional.scaled_dot_product_attention(_twice(query), _twice(keys), _twice(values))[:1]


def _twice(heads: Tensor) -> Tensor:
    return heads.expand(2, -1, -1, -1)


def _mask(window: int, before: int, dtype: torch.dtype) -> Tensor:
    """What is added to the scores [32, before + 32] of a tile with `before` keys in front of it: 0, or -inf.

    Query i sees key j when i + before - window < j <= i + before. One strip serves every tile, cut at another place.
    """
    longest = max(_LEAST_MASK_TOKENS, 1 << before.bit_length())
    return _strip(window, longest, dtype).narrow(1, longest - before, before + BLOCK_TOKENS)


@cache
def _strip(window: int, longest: int, dtype: torch.dtype) -> Tensor:
    query = torch.arange(BLOCK_TOKENS)[:, None]
    behind = query + longest - torch.arange(longest + BLOCK_TOKENS)
    hidden = behind < 0
    if window:
        hidden = hidden | (behind >= window)
    return torch.zeros(hidden.shape, dtype=dtype).masked_fill(hidden, float("-inf"))
