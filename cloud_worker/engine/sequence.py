"""One sequence of the engine: its state, its KV cache, and how much of it the model has read. No model here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from cloud_worker.engine.models.qwen2 import KVCache, Qwen2Config, block_bytes
from edgewise.generation.state import GenerationState


class RowCache(KVCache):
    """The same storage as another cache with a length of its own: what one decode row may see.

    Rows of one sequence that stand in order in a batch write in that order, so a row sees those before it; this is
    what makes a replayed token take the very path of a decoded one.
    """

    def __init__(self, cache: KVCache, length: int) -> None:
        self.keys, self.values, self.capacity, self.length = cache.keys, cache.values, cache.capacity, length


@dataclass(frozen=True)
class Row:
    """One token on its way through the model: `last` when the logits behind it are wanted."""

    sequence: Sequence
    token: int
    position: int
    last: bool


@dataclass(eq=False)
class Sequence:
    """`prefilled` prompt tokens and `replayed` output tokens are in the cache; `limit` output tokens end it."""

    attempt: str
    state: GenerationState
    limit: int
    eos_ids: frozenset[int]
    prefilled: int = 0
    replayed: int = 0
    _cache: KVCache | None = field(default=None, repr=False)

    @property
    def cache(self) -> KVCache:
        assert self._cache is not None, "a sequence is admitted before it is read"
        return self._cache

    @property
    def admitted(self) -> bool:
        return self._cache is not None

    @property
    def in_prefill(self) -> bool:
        return self.prefilled < len(self.state.prompt_ids)

    @property
    def over(self) -> bool:
        """Whether no more output tokens may come."""
        return len(self.state.output_ids) >= self.limit

    @property
    def kv_bytes(self) -> int:
        """Bytes of its cache, 0 before admission."""
        return block_bytes(self._cache.keys) if self._cache is not None else 0

    def admit(self, config: Qwen2Config, dtype: torch.dtype, device: str) -> None:
        """Allocate the cache for everything that may come."""
        self._cache = KVCache(config, len(self.state.prompt_ids) + self.limit, dtype, device)

    def next_chunk(self, tokens: int) -> tuple[int, ...]:
        """The next prompt ids on the chunk grid."""
        return self.state.prompt_ids[self.prefilled : self.prefilled + tokens]

    def rows(self, most: int) -> Iterator[Row]:
        """The next output tokens that the model has not read, as rows; normally the one sampled last."""
        said = self.state.output_ids
        for index in range(self.replayed, min(len(said), self.replayed + most)):
            yield Row(self, said[index], len(self.state.prompt_ids) + index, index == len(said) - 1)

    def say(self, token: int) -> None:
        """Append a sampled token."""
        self.state = self.state.advanced((token,), "")
