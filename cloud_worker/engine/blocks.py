"""BlockPool: who has which block of the KV arena, which blocks hold known prompt tiles, and which may be forgotten.

    free ──allocate──► used, by so many ──release──► free, or idle if it holds a named tile (a link of the chain):
    kept for prompts that begin alike, and forgotten, the oldest first, when the room is needed

Numbers only: the bytes are model/kv.py's.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence

from cloud_worker.engine.free_runs import FreeRuns
from cloud_worker.engine.work import BLOCK_TOKENS, BlockCopy

_ID_BYTES = 8


class BlockPool:
    """`count` blocks of BLOCK_TOKENS tokens, all free at first. Every operation is O(1) for each block it touches."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._runs = FreeRuns(count)
        self._references = [0] * count
        self._link_of: list[bytes | None] = [None] * count
        self._block_of: dict[bytes, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def free(self) -> int:
        """Blocks that hold nothing."""
        return len(self._runs)

    @property
    def idle(self) -> int:
        """Blocks that nobody has, kept for prompts that begin alike."""
        return len(self._idle)

    @property
    def room(self) -> int:
        """How many blocks can be allocated now."""
        return len(self._runs) + len(self._idle)

    @property
    def used(self) -> int:
        """Blocks that somebody has."""
        return self.count - self.room

    def known(self, link: bytes) -> bool:
        return link in self._block_of

    def match(self, links: Iterable[bytes]) -> list[int]:
        """The blocks of the longest known beginning of a chain. Nobody's yet: `share` them before allocating."""
        found = []
        for link in links:
            block = self._block_of.get(link)
            if block is None:
                break
            found.append(block)
        return found

    def cost(self, blocks: Sequence[int]) -> int:
        """How much less room there is once these are shared: those that are idle now."""
        return sum(not self._references[block] for block in blocks)

    def share(self, blocks: Sequence[int]) -> None:
        """One more reference to each of these used or idle blocks."""
        for block in blocks:
            if not self._references[block]:
                del self._idle[block]
            self._references[block] += 1

    def allocate(self, count: int, after: int | None = None) -> list[int]:
        """Blocks of the caller's own, in runs where it can be, behind block `after` first; idle ones are forgotten.

        Raises ValueError, and takes nothing, when there is less `room`.
        """
        if count > self.room:
            raise ValueError(f"{count} blocks are wanted, {self.room} of {self.count} can be had")
        while len(self._runs) < count:
            self._forget_oldest()
        taken: list[int] = []
        while len(taken) < count:
            taken += self._runs.take(count - len(taken), taken[-1] if taken else after)
        for block in taken:
            self._references[block] = 1
        return taken

    def name(self, block: int, link: bytes) -> None:
        """A used block holds the tile that `link` names from now on; a tile that is known elsewhere stays there."""
        if link not in self._block_of and self._link_of[block] is None:
            self._link_of[block] = link
            self._block_of[link] = block

    def release(self, blocks: Sequence[int]) -> None:
        """One reference less to each. The ends of a chain are forgotten before its beginning.

        Raises ValueError for a block that nobody has.
        """
        start, length = 0, 0
        for block in reversed(blocks):
            left = self._references[block] - 1
            if left < 0:
                raise ValueError(f"block {block} is nobody's")
            self._references[block] = left
            if left:
                continue
            if self._link_of[block] is not None:
                self._idle[block] = None
            elif block == start - 1 and length:
                start, length = block, length + 1
            else:
                self._give(start, length)
                start, length = block, 1
        self._give(start, length)

    def fork(self, blocks: Sequence[int]) -> list[int]:
        """The same table for somebody else. Who writes into a block of it makes it its `own` first."""
        self.share(blocks)
        return list(blocks)

    def shared(self, block: int) -> bool:
        """Whether more than one has it."""
        return self._references[block] > 1

    def own(self, blocks: list[int], index: int, tokens: int) -> BlockCopy | None:
        """Copy on write: put a block of one's own at `index` of a table, where it is shared, and say what to copy.

        The last one to have it needs no copy. Raises ValueError when there is no room.
        """
        source = blocks[index]
        if not self.shared(source):
            return None
        (target,) = self.allocate(1, after=blocks[index - 1] if index else None)
        self._references[source] -= 1
        blocks[index] = target
        return BlockCopy(source, target, tokens)

    def check_integrity(self, tables: Iterable[Sequence[int]] | None = None) -> None:
        """Every block is free, idle or used; links are one to one; references are those of `tables`, when given.

        Raises AssertionError.
        """
        self._runs.check_integrity()
        free = {block for block in range(self.count) if block in self._runs}
        used = {block for block, references in enumerate(self._references) if references > 0}
        assert len(free) + len(used) + len(self._idle) == self.count, "a block is lost, or in two places"
        assert not (free & used or free & self._idle.keys() or used & self._idle.keys()), "a block is in two places"
        named = {block: link for block, link in enumerate(self._link_of) if link is not None}
        assert {link: block for block, link in named.items()} == self._block_of, "links and blocks differ"
        assert not free & named.keys() and self._idle.keys() <= named.keys(), (
            "an idle block has no name, or a free one has"
        )
        if tables is not None:
            counted = Counter(block for table in tables for block in table)
            assert all(counted[block] == self._references[block] for block in range(self.count)), "wrong references"

    def _give(self, start: int, length: int) -> None:
        if length:
            self._runs.give(start, length)

    def _forget_oldest(self) -> None:
        block, _ = self._idle.popitem(last=False)
        link = self._link_of[block]
        if link is not None:
            del self._block_of[link]
        self._link_of[block] = None
        self._runs.give(block)


def chain(prompt_ids: Sequence[int], salt: bytes = b"", extra: Mapping[str, bytes] | None = None) -> tuple[bytes, ...]:
    """SHA-256 links of a prompt's tiles: each names the tiles before it too; the last is that of the rest, if any.

        root = H(salt, tagged extra keys)      link i = H(link i-1, ids of tile i)

    `salt` keeps prompts of different owners apart, `extra` whatever else changes what a token's rows hold (an adapter,
    a picture). Every part is preceded by its length, so that no two different inputs are hashed as the same bytes.
    """
    root = hashlib.sha256(_sized(salt))
    for tag, value in sorted((extra or {}).items()):
        root.update(_sized(tag.encode()) + _sized(value))
    ids = memoryview(array("q", prompt_ids)).cast("B")
    link, links, step = root.digest(), [], BLOCK_TOKENS * _ID_BYTES
    for start in range(0, len(ids), step):
        link = hashlib.sha256(link + ids[start : start + step]).digest()
        links.append(link)
    return tuple(links)


def blocks_for(tokens: int) -> int:
    """How many blocks hold so many tokens."""
    return -(-tokens // BLOCK_TOKENS)


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(8, "little") + value
