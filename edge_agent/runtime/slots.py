"""The few cache rows of a device: who sits in them, what they hold, and how a prompt gets a row with its beginning.

free row      rewound to what it shares with the prompt: costs nothing
other rows    a running answer's beginning, a context in memory (prefixes.py) or on disk (kv_disk.py): copied
overwritten   what a row held and would lose is copied into memory first
for a moment  that copy, or what is read from disk, adds no more than the contexts in memory may have (ADR 0034)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from edge_agent.runtime.adapters import salted
from edge_agent.runtime.kv_disk import KvDisk, Read
from edge_agent.runtime.kv_file import KvFileError
from edge_agent.runtime.prefixes import BLOCK_TOKENS, Chain, Context, Contexts, Prompt
from edgewise.generation.state import GenerationState
from edgewise.graphs import Adapter, CacheRow, DecoderGraph, KvRows

NOTHING: Final = Chain()
LEAST_ROW_TOKENS: Final = 256
"""The shortest row; longer ones are twice as long, and so on up to the context."""
Owner = Callable[[GenerationState], bytes]
"""The salt of a state: states with different ones never reuse each other's rows."""


@dataclass(eq=False)
class Slot:
    """One row. `chain` is what its first rows hold and keep while it runs; a `private` one is not written to disk.

    `offers` is what of it may be copied: nothing once rows were dropped (context.py), since others took their places.
    """

    row: CacheRow | None = None
    chain: Chain = NOTHING
    private: bool = False
    busy: bool = False
    used: int = 0

    @property
    def offers(self) -> Chain:
        return self.chain if self.row is not None and self.row.whole else NOTHING


class Slots:
    """`count` rows of at most `capacity` tokens, as long as the longest answer that each has had.

    `contexts` are kept beyond the rows, `disk` beyond the process. All of it has the bits that reading the tokens again
    would give, as long as what `give_back` is told to keep came from calls of the same numerics as prompts.
    """

    def __init__(
        self,
        graph: DecoderGraph,
        *,
        count: int,
        capacity: int,
        contexts: Contexts | None = None,
        disk: KvDisk | None = None,
        owner: Owner = lambda state: b"",
    ) -> None:
        self._graph = graph
        self._slots = [Slot() for _ in range(count)]
        self._contexts = Contexts(0) if contexts is None else contexts
        self._disk = disk
        self._owner = owner
        self._turn = 0
        self._keeps_idle = True
        self._context_bytes = self._contexts.max_bytes
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def kv_bytes(self) -> int:
        """Bytes of cache that take memory now, kept contexts included: a row's buffer takes it as it is written."""
        return self._contexts.size_bytes + sum(slot.row.touched_bytes for slot in self._slots if slot.row is not None)

    @property
    def has_free(self) -> bool:
        """Whether `take` would find a row."""
        return not all(slot.busy for slot in self._slots)

    @property
    def idle_bytes(self) -> int:
        """Bytes that no running answer is using: kept contexts, and what free rows have touched."""
        return self._contexts.size_bytes + sum(
            slot.row.touched_bytes for slot in self._slots if slot.row is not None and not slot.busy
        )

    def give_up(self, count: int) -> None:
        """Free `count` idle bytes, or all there are: contexts in memory first, then rows; the least recently used."""
        if count > 0 and self._disk is not None:
            self._disk.stop_saving()  # it holds the rows of what it writes
        budget, before = self._contexts.max_bytes, self._contexts.size_bytes
        self._contexts.shrink(max(before - count, 0))
        count -= before - self._contexts.size_bytes
        self._contexts.shrink(budget)
        for slot in sorted(self._slots, key=lambda slot: slot.used):
            if count > 0 and not slot.busy and slot.row is not None:
                count -= slot.row.touched_bytes
                slot.row, slot.chain = None, NOTHING

    def save_to(self, disk: KvDisk | None) -> None:
        """Keep contexts beyond the process there from now on."""
        self._disk = disk

    def close(self) -> None:
        """Let go of every row and context, in use or not; nothing can be asked afterwards."""
        if self._disk is not None:
            self._disk.stop_saving()
        for slot in self._slots:
            slot.row, slot.chain = None, NOTHING
        self._slots.clear()
        del self._contexts, self._disk, self._graph

    def limit(self, share: float, *, keep_idle: bool) -> None:
        """Keep contexts within this share of their budget, 0 saves none to disk either; without `keep_idle` every row
        that no answer is using is given up, now and later."""
        if share <= 0 and self._disk is not None:
            self._disk.stop_saving()
        self._contexts.shrink(int(self._context_bytes * share))
        self._keeps_idle = keep_idle
        if not keep_idle:
            self.give_up(self.idle_bytes)

    def hand_on(self) -> Contexts:
        """All that is kept in rows and memory, for another engine of the same graph and numerics; the disk goes along.

        What running answers still read can be handed on when they have ended.
        """
        for slot in sorted(self._slots, key=lambda slot: slot.used):
            if slot.offers.length:
                self._save(slot, 0)
        if self._disk is not None:
            self._disk.stop_saving()
        handed, self._contexts, self._disk = self._contexts, Contexts(self._contexts.max_bytes), None
        self.give_up(self.idle_bytes)
        return handed

    def take_over(self, contexts: Contexts) -> None:
        """Keep what another engine handed on, within the budget of this one."""
        for context in reversed(list(contexts)):
            self._contexts.keep(context)

    def take(self, state: GenerationState, adapter: Adapter | None = None) -> tuple[Slot, CacheRow] | None:
        """A free row that holds the longest known beginning of the prompt (`row.length`); None when all are busy.

        It reads with `adapter` (None: without), and holds nothing that another one read.
        Whatever it raises (MemoryError), rows stay free and hold what they claim to.
        """
        adapter = adapter or self._graph.bare
        prompt = Prompt(state.prompt_ids, salted(self._owner(state), adapter))
        while free := [slot for slot in self._slots if not slot.busy]:
            try:
                slot, row = self._prepared(free, prompt, adapter, len(state.prompt_ids) + state.max_tokens)
            except KvFileError:
                continue  # the disk has dropped that file, and something else may do
            slot.busy, slot.private = True, state.local_only
            slot.chain = prompt.beginning(row.length)
            return slot, row
        return None

    def _prepared(self, free: list[Slot], prompt: Prompt, adapter: Adapter, tokens: int) -> tuple[Slot, CacheRow]:
        """A free row for `tokens` tokens with the longest known beginning of the prompt.

        Raises KvFileError when a file was dropped.
        """
        # Among equals the row that loses least, then one that has its memory already.
        slot = max(free, key=lambda slot: (prompt.shared(slot.chain), -slot.chain.length, slot.row is not None))
        shared = prompt.shared(slot.chain)
        pieces = self._elsewhere(prompt, shared + BLOCK_TOKENS - 1)
        if pieces is not None:
            slot, shared = min(free, key=lambda slot: (slot.chain.length > 0, slot.row is None, slot.used)), 0
        self._save(slot, shared)
        row = slot.row = self._fitting(slot.row, tokens, shared)
        row.rewind(shared)
        row.use(adapter)
        slot.chain = prompt.beginning(shared)
        for piece in pieces or ():
            row.write(row.length, piece)
        return slot, row

    def _fitting(self, row: CacheRow | None, tokens: int, shared: int) -> CacheRow:
        """`row` if it is long enough, else a longer one that holds its first `shared` tokens.

        Not as long as the context from the start: attention takes scratch memory by the length of the buffer.
        """
        wanted = min(self.capacity, max(LEAST_ROW_TOKENS, 1 << (tokens - 1).bit_length()))
        if row is not None and row.capacity >= wanted:
            return row
        longer = self._graph.new_row(wanted)
        if row is not None and shared:
            longer.use(row.adapter)
            longer.write(0, row.read(0, shared))
        return longer

    def give_back(self, slot: Slot, kept_ids: tuple[int, ...]) -> None:
        """Free a row; its first rows are those of `kept_ids`, as reading them as a prompt would leave them."""
        held = slot.row.length if slot.row and slot.row.whole else 0
        self._turn += 1
        slot.busy, slot.used = False, self._turn
        slot.chain = Chain.of(kept_ids[:held], slot.chain.salt)
        if not self._keeps_idle:
            slot.row, slot.chain = None, NOTHING

    def forget(self, adapter: Adapter) -> None:
        """Give up the free rows that hold an adapter: it takes memory as long as one does."""
        for slot in self._slots:
            if not slot.busy and slot.row is not None and slot.row.adapter is adapter:
                slot.row, slot.chain = None, NOTHING

    def idle_work(self) -> float | None:
        """Save a piece to disk while nobody asks. Seconds after which to ask again; None for not before an answer."""
        return self._disk.idle_work(self._savable()) if self._disk is not None else None

    def check_integrity(self) -> None:
        """Rows hold what they claim to. Raises AssertionError."""
        for slot in self._slots:
            held = slot.row.length if slot.row else 0
            assert slot.chain.length <= held, "a kept context lost its rows"
            assert slot.busy or slot.offers.length == slot.chain.length, "a context whose rows were dropped is kept"
        self._contexts.check_integrity()

    def _elsewhere(self, prompt: Prompt, more_than: int) -> Iterator[KvRows] | None:
        """The longest beginning that is not in a free row, in pieces; None when it has no more than `more_than` tokens.

        From disk it is no more than the contexts in memory may have: it is read before anything is given up for it.
        """
        running = [(prompt.shared(slot.offers), slot.row) for slot in self._slots if slot.busy]
        in_row, row = max(running, key=lambda found: found[0], default=(0, None))
        in_memory, context = self._contexts.best(prompt)
        on_disk, saved = self._disk.best(prompt) if self._disk is not None else (0, None)
        on_disk = min(on_disk, self._room)
        if self._disk is not None and saved is not None and on_disk > max(more_than, in_row, in_memory):
            return self._disk.read(saved, on_disk)
        if max(in_row, in_memory) <= more_than:
            return None
        if context is not None and in_memory >= in_row:
            self._contexts.use(context)
            return iter((context.rows[:, :, :in_memory],))
        return _pieces(row, in_row) if row is not None else None

    def _save(self, slot: Slot, shared: int) -> None:
        """Copy what a row will lose into memory: all of it, or the beginning that fits in the budget."""
        if slot.row is None or slot.chain.length - shared < BLOCK_TOKENS:
            return
        chain = slot.chain
        if chain.length > self._room:
            chain = Chain(chain.names[: self._room // BLOCK_TOKENS], salt=chain.salt)
        if chain.length > shared and not self._contexts.holds(chain):
            self._contexts.keep(Context(chain, slot.row.read(0, chain.length), slot.private))

    @property
    def _room(self) -> int:
        """Tokens that the contexts in memory may have."""
        return self._contexts.max_bytes // self._graph.shape.kv_bytes_per_token

    def _savable(self) -> Iterator[tuple[Chain, Read]]:
        """What may be written to disk, and how it is read; the newest first. Nothing when nothing could be read."""
        if self._room < BLOCK_TOKENS:
            return
        for slot in sorted(self._slots, key=lambda slot: -slot.used):
            if not slot.busy and not slot.private:
                yield slot.chain, partial(_rows_of_slot, slot, slot.chain)
        for context in self._contexts:
            if not context.private:
                yield context.chain, partial(_rows_of_context, context)


def _pieces(row: CacheRow, tokens: int) -> Iterator[KvRows]:
    """Copies of the first rows, a block at a time: there is never a second copy of them all."""
    for start in range(0, tokens, BLOCK_TOKENS):
        yield row.read(start, min(start + BLOCK_TOKENS, tokens))


def _rows_of_slot(slot: Slot, chain: Chain, start: int, stop: int) -> KvRows | None:
    return slot.row.read(start, stop) if slot.row is not None and slot.chain is chain and not slot.busy else None


def _rows_of_context(context: Context, start: int, stop: int) -> KvRows:
    return context.rows[:, :, start:stop]
