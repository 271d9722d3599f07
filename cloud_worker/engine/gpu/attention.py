"""Paged attention on a device: which tiles the kernels get for a model's heads, and their launches. The arithmetic is
kernels.py's, which is imported when the first attention is made, never by an engine on the CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from cloud_worker.engine.gpu.batch import Kind
from cloud_worker.engine.gpu.store import DeviceKvStore
from cloud_worker.engine.model.config import ModelConfig
from cloud_worker.engine.work import BLOCK_TOKENS

LEAST_SPLIT: Final = 256
_MOST_SPLITS: Final = 64
"""Fewest keys of a split, and the most splits of a text."""
_LEAST_LANES: Final = 16
"""Rows of the smallest product of matrix units."""
_PROMPT_LANES: Final = 128
_PROMPT_BYTES: Final = 1 << 15
"""Queries of a prompt's tile in shared memory, with as much again for keys and values: small GPUs have 99 KB."""
_WORKERS: Final = 32
"""Programs for the splits of one unit and kv head; a long text's splits are theirs in turn."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """`tokens` of a unit, with their query heads on `lanes` rows of one product."""

    tokens: int
    lanes: int

    @property
    def warps(self) -> int:
        """So many that their registers hold a tile: the compiler's own count, for heads of up to 128 values."""
        return 8 if self.lanes >= 64 else 4


def split_keys(context: int) -> int:
    """Keys that one program mixes for an output row: more for longer contexts, lest what is left to merge grow without
    end. A row's bits depend on it, so it is one for the life of an engine."""
    return max(LEAST_SPLIT, _power_of_two(-(-context // _MOST_SPLITS)))


def row_tiles(group: int) -> Tiles:
    """Tiles of output rows for `group` query heads to a kv head: the smallest that matrix units take."""
    lanes = max(_LEAST_LANES, _power_of_two(group))
    return Tiles(lanes // group, lanes)


def prompt_tiles(group: int, head_bytes: int) -> Tiles:
    """Tiles of prompts, whose heads have so many bytes (a power of two): as many tokens as fit, a power of two of them,
    so that units never cross a prompt tile."""
    tokens, most = BLOCK_TOKENS, min(_PROMPT_LANES, _PROMPT_BYTES // head_bytes)
    while tokens > 1 and tokens * group > most:
        tokens //= 2
    return Tiles(tokens, max(_LEAST_LANES, _power_of_two(tokens * group)))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()


@dataclass(frozen=True, slots=True)
class Reads:
    """What a call attends to; int64. `lengths` [rows] are the keys that each row sees, none for padding; `units` [n, 2]
    a first row and a number of tokens, none for padding; `tables` [n, blocks] the blocks of each unit's text."""

    kind: Kind
    lengths: Tensor
    units: Tensor
    tables: Tensor


class PagedAttention:
    """Attends over the keys and values of `store`, for texts of at most `context` tokens."""

    def __init__(self, config: ModelConfig, store: DeviceKvStore, context: int) -> None:
        from cloud_worker.engine.gpu import kernels

        self._kernels, self._config, self._store = kernels, config, store
        group = config.heads // config.kv_heads
        self.split_keys = split_keys(context)
        self._splits = -(-context // self.split_keys)
        self._dim = max(_LEAST_LANES, _power_of_two(config.head_dim))
        self._scale = math.log2(math.e) / math.sqrt(config.head_dim)
        arena = store.layer(0)
        head_bytes = self._dim * arena.element_size()
        self.tiles = {Kind.ROWS: row_tiles(group), Kind.PROMPT: prompt_tiles(group, head_bytes)}
        self._product = kernels.TYPES[torch.float32 if arena.device.type == "cpu" else arena.dtype]
        """What tiles are multiplied in: their own type; float32 in the interpreter, which has none of bfloat16."""

    def __call__(self, layer: int, query: Tensor, reads: Reads) -> Tensor:
        """Mixed values [rows, heads · head_dim] for query [rows, heads, head_dim]; rows of no length are zero."""
        config, rows = self._config, len(query)
        out = query.new_zeros(rows, config.heads * config.head_dim)
        if reads.kind is Kind.PROMPT:
            self._attend(layer, query, reads, out, out, out, splits=0)
            return out
        cells = rows, config.heads, self._splits
        partial = torch.empty(*cells, self._dim, device=query.device)
        stats = torch.empty(*cells, 2, device=query.device)
        self._attend(layer, query, reads, out, partial, stats, splits=self._splits)
        self._kernels.merge_kernel[(rows, config.heads)](
            partial, stats, out, reads.lengths,
            WINDOW=config.windows[layer], HEADS=config.heads, HEAD_DIM=config.head_dim, DIM=self._dim,
            SPLIT=self.split_keys, SPLITS=self._splits, num_warps=1,
        )  # fmt: skip
        return out

    def _attend(
        self, layer: int, query: Tensor, reads: Reads, out: Tensor, partial: Tensor, stats: Tensor, splits: int
    ) -> None:
        config, arena = self._config, self._store.layer(layer)
        tiles, workers = self.tiles[reads.kind], min(splits, _WORKERS) or 1
        self._kernels.attend_kernel[(len(reads.units), config.kv_heads, workers)](
            query, arena, out, partial, stats, reads.lengths, reads.units, reads.tables,
            query.stride(0), arena.stride(0), reads.tables.stride(0), self._scale,
            WINDOW=config.windows[layer], KV_HEADS=config.kv_heads, GROUP=config.heads // config.kv_heads,
            HEAD_DIM=config.head_dim, DIM=self._dim, BLOCK=BLOCK_TOKENS, ROWS=tiles.lanes,
            SPLIT=self.split_keys, SPLITS=splits, WORKERS=workers, DOT=self._product, PRECISION="ieee",
            num_warps=tiles.warps,
        )  # fmt: skip
