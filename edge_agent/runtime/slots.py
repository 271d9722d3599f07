"""The few cache rows of a device and who sits in them; an emptied row keeps its prompt for the chat's next turn."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.runtime.session import CacheRow, OnnxGraph
from edgewise.generation.state import GenerationState


@dataclass
class Slot:
    """One row. `kept` are the prompt ids whose rows in the cache came from whole prefill chunks."""

    row: CacheRow | None = None
    kept: tuple[int, ...] = ()
    busy: bool = False


class Slots:
    """`count` rows of `capacity` tokens; memory is taken when a row is first used."""

    def __init__(self, graph: OnnxGraph, *, count: int, capacity: int, chunk: int) -> None:
        self._graph = graph
        self._chunk = chunk
        self._slots = [Slot() for _ in range(count)]
        self.capacity = capacity

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def kv_bytes(self) -> int:
        """Bytes of cache that are allocated now."""
        return sum(slot.row.kv_bytes for slot in self._slots if slot.row is not None)

    def take(self, state: GenerationState) -> tuple[Slot, CacheRow] | None:
        """A free row, rewound to the whole chunks that it shares with the prompt; None when all are busy."""
        free = [slot for slot in self._slots if not slot.busy]
        if not free:
            return None
        slot = max(free, key=lambda s: (self._shared(s.kept, state.prompt_ids), not s.kept))
        row = slot.row or self._graph.new_row(self.capacity)
        row.rewind(self._shared(slot.kept, state.prompt_ids))
        slot.row, slot.busy, slot.kept = row, True, ()
        return slot, row

    def give_back(self, slot: Slot, kept: tuple[int, ...]) -> None:
        """Free a row; `kept` are the prompt ids that it still holds from whole chunks."""
        slot.busy, slot.kept = False, kept

    def check_integrity(self) -> None:
        """Free rows hold what they claim to keep. Raises AssertionError."""
        for slot in self._slots:
            assert slot.busy or slot.row is None or slot.row.length >= len(slot.kept), "a kept prompt lost its rows"
            assert len(slot.kept) % self._chunk == 0, "a kept prompt ends inside a chunk"

    def _shared(self, kept: tuple[int, ...], prompt: tuple[int, ...]) -> int:
        """Tokens to reuse: whole equal chunks, and never all of the prompt, whose last call gives the logits."""
        most = min(len(kept), len(prompt) - 1)
        whole = 0
        while whole + self._chunk <= most and kept[whole : whole + self._chunk] == prompt[whole : whole + self._chunk]:
            whole += self._chunk
        return whole
