"""What the model does in one step: segments of consecutive tokens, as prompt tiles or as output rows.

The scheduler makes a StepPlan, the core reads it, the model gets its segments. Nothing here knows tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

BLOCK_TOKENS = 32
"""Tokens of one block of the KV pool, of one prompt tile and of one link of the hash chain."""


@dataclass(slots=True)
class Segment:
    """Consecutive tokens of one sequence in one step.

        blocks   |  7  |  2  |  3  |        token t lies in blocks[t // 32], row t % 32
        prompt   |=====|=====|==   |        start on a multiple of 32; so is the stop, but for the prompt's end
        rows               . . |***|        output tokens, anywhere behind the prompt

    A prompt segment is read in tiles, each with a causal mask of its own; of a segment of rows every token attends to
    exactly the keys before it and its own.
    """

    request: str
    """The id of the request that it belongs to."""
    blocks: Sequence[int]
    """The request's block table; covers at least `stop` tokens. Not to be changed by who reads it."""
    start: int
    """Position of the first token."""
    ids: tuple[int, ...]
    prompt: bool
    """Prompt tiles, or output rows (decode, drafts to verify, replay)."""
    wanted: int = 0
    """Logits are wanted of so many of its last tokens."""
    also: tuple[str, ...] = ()
    """Further requests with the very same prompt: the logits behind its last token are theirs too."""

    @property
    def stop(self) -> int:
        """Position behind the last token."""
        return self.start + len(self.ids)


@dataclass(slots=True)
class BlockCopy:
    """The first `tokens` rows of block `source` are to be copied to block `target`, in every layer."""

    source: int
    target: int
    tokens: int


@dataclass(slots=True)
class StepPlan:
    """One step: what the model reads, whom that made wait again, to whom it gave room.

    Good until the scheduler is told how the step went; it uses the segments of answers again for the next one.
    """

    segments: list[Segment]
    preempted: tuple[str, ...] = ()
    admitted: tuple[str, ...] = ()
    copies: list[BlockCopy] = field(default_factory=list)
    """Done in this order before any segment writes (copy-on-write of answers to one prompt)."""
