"""PrefixCache: keys and values of prompt beginnings that were read before, in whole chunks, the newest within a budget.

A chunk is named by everything up to its end, so a prompt finds its longest known beginning by walking the names:

    prompt   |--- chunk 0 ---|--- chunk 1 ---|- tail -|
    names      h0 = H(ids0)    h1 = H(h0, ids1)          never all of it: the last chunk's logits are wanted

Prompts are prefilled on a fixed chunk grid, so what is copied from here has the bits that reading it again would give.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from cloud_worker.engine.models.qwen2 import KVCache, block_bytes


@dataclass(frozen=True)
class _Block:
    """One chunk's keys and values, each [layers, kv_heads, chunk tokens, head_dim]."""

    keys: Tensor
    values: Tensor

    @property
    def size_bytes(self) -> int:
        return block_bytes(self.keys)


class PrefixCache:
    """Blocks of `chunk_tokens` within `max_bytes`; 0 keeps nothing. Not thread-safe, like the engine that owns it."""

    def __init__(self, chunk_tokens: int, max_bytes: int) -> None:
        self._chunk_tokens = chunk_tokens
        self._max_bytes = max_bytes
        self._blocks: OrderedDict[bytes, _Block] = OrderedDict()
        self.size_bytes = 0

    def fill(self, prompt_ids: tuple[int, ...], cache: KVCache) -> int:
        """Copy the longest known beginning of a prompt into an empty cache; how many tokens that was."""
        hits = []
        for name, _ in self._chunks(prompt_ids):
            if name not in self._blocks:
                break
            hits.append(name)
        for number, name in enumerate(hits):
            block, start = self._blocks[name], number * self._chunk_tokens
            cache.keys[:, :, start : start + self._chunk_tokens] = block.keys
            cache.values[:, :, start : start + self._chunk_tokens] = block.values
        self._touch(hits)
        cache.length = len(hits) * self._chunk_tokens
        return cache.length

    def keep(self, prompt_ids: tuple[int, ...], cache: KVCache) -> None:
        """Remember the whole chunks of a prompt that `cache` holds."""
        names = []
        for name, start in self._chunks(prompt_ids):
            if name not in self._blocks:
                part = slice(start, start + self._chunk_tokens)
                block = _Block(cache.keys[:, :, part].clone(), cache.values[:, :, part].clone())
                self._blocks[name] = block
                self.size_bytes += block.size_bytes
            names.append(name)
        self._touch(names)
        self._evict()

    def check_integrity(self) -> None:
        """The size is that of the blocks, and within the budget. Raises AssertionError."""
        assert self.size_bytes == sum(block.size_bytes for block in self._blocks.values()), "the size is wrong"
        assert self.size_bytes <= self._max_bytes, "over the budget"

    def _chunks(self, prompt_ids: tuple[int, ...]) -> Iterator[tuple[bytes, int]]:
        """Names and starts of the whole chunks that do not hold the prompt's last token."""
        if not self._max_bytes:
            return
        name = b""
        for start in range(0, len(prompt_ids) - self._chunk_tokens, self._chunk_tokens):
            ids = array("q", prompt_ids[start : start + self._chunk_tokens])
            name = hashlib.sha256(name + ids.tobytes()).digest()
            yield name, start

    def _touch(self, names: list[bytes]) -> None:
        """A chain was used: its beginning is the newest, so that the ends of chains are forgotten first."""
        for name in reversed(names):
            self._blocks.move_to_end(name)

    def _evict(self) -> None:
        while self.size_bytes > self._max_bytes:
            _, block = self._blocks.popitem(last=False)
            self.size_bytes -= block.size_bytes
