"""Random texts in a paged store, read by the kernels in the interpreter and by the definition."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cloud_worker.engine.gpu.attention import PagedAttention
from cloud_worker.engine.gpu.batch import FAST, Kind, Sizes, calls_of
from cloud_worker.engine.gpu.inputs import Inputs
from cloud_worker.engine.gpu.plain import attend_plainly
from cloud_worker.engine.gpu.store import DeviceKvStore
from cloud_worker.engine.work import BLOCK_TOKENS, Segment
from tests.cloud_worker.engine.model.stepping import config_of

CPU = torch.device("cpu")
BLOCKS = 48


@dataclass(frozen=True)
class Heads:
    """A shape of attention, of one layer."""

    heads: int
    kv_heads: int
    dim: int
    window: int = 0
    dtype: torch.dtype = torch.float32


class Paged:
    """A store of random numbers, and its attention for texts of at most `context` tokens."""

    def __init__(self, shape: Heads, context: int = 512, seed: int = 0) -> None:
        config = config_of(
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.dim,
            num_hidden_layers=1,
        )
        self.shape, self.config = shape, replace(config, windows=(shape.window,))
        self.store = DeviceKvStore(config, BLOCKS, shape.dtype, CPU)
        self._dice = torch.Generator().manual_seed(seed)
        self.arena.copy_(self.random(*self.arena.shape))
        self.attention = PagedAttention(self.config, self.store, context)
        self.width = -(-context // BLOCK_TOKENS)

    @property
    def arena(self) -> Tensor:
        return self.store.layer(0)

    def random(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._dice).to(self.shape.dtype)

    def queries(self, segments: Sequence[Segment]) -> dict[tuple[str, int], Tensor]:
        """A query [heads, head_dim] for every token, by its text and position."""
        return {
            (segment.request, place): self.random(self.shape.heads, self.shape.dim)
            for segment in segments
            for place in range(segment.start, segment.stop)
        }

    def read(
        self, segments: Sequence[Segment], queries: dict[tuple[str, int], Tensor], sizes: Sizes = FAST
    ) -> dict[tuple[str, int], Tensor]:
        """What the kernels make of every token, by its text and position."""
        found = dict[tuple[str, int], Tensor]()
        unit_tokens = {kind: tiles.tokens for kind, tiles in self.attention.tiles.items()}
        for kind in Kind:
            mine = [each for each in segments if each.prompt is (kind is Kind.PROMPT)]
            names = [(each.request, place) for each in mine for place in range(each.start, each.stop)]
            for call in calls_of(mine, unit_tokens, sizes):
                called, names = names[: len(call.ids)], names[len(call.ids) :]
                inputs = Inputs(kind, call.rows, self.width, self.store.padding_slot, CPU)
                inputs.fill(call)
                query = torch.full((call.rows, self.shape.heads, self.shape.dim), torch.nan, dtype=self.shape.dtype)
                query[: len(called)] = torch.stack([queries[name] for name in called])
                mixed = self.attention(0, query, inputs.reads)
                assert not mixed[len(called) :].any(), "padding rows are not zero"
                found |= dict(zip(called, mixed, strict=False))
        return found

    def plainly(self, segment: Segment, queries: dict[tuple[str, int], Tensor]) -> dict[tuple[str, int], Tensor]:
        """The definition, in float64."""
        return {
            name: attend_plainly(queries[name], self.arena, segment.blocks, name[1] + 1, self.shape.window)
            for name in ((segment.request, place) for place in range(segment.start, segment.stop))
        }


def tables(lengths: Sequence[int], dice: random.Random) -> list[list[int]]:
    """Scattered blocks of their own for texts of so many tokens."""
    free = dice.sample(range(BLOCKS), BLOCKS)
    return [[free.pop() for _ in range(-(-length // BLOCK_TOKENS))] for length in lengths]
