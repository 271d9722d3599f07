"""Attempts as the gateway sees them: what may come next (pure), and the inbox from which a reader takes chunks."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire.errors import EdgewiseError, TierError
from edgewise.wire.frames import AttemptTimings, Tokens

INBOX_MAX_CHARS = 1024 * 1024
_ENDED_KEPT = 1024


@dataclass(slots=True)
class _Progress:
    next_index: int
    max_tokens: int


class AttemptBook:
    """Open attempts of one session and how far each is. An attempt leaves once; late frames of it are recognised."""

    def __init__(self) -> None:
        self._open: dict[str, _Progress] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, attempt: str) -> bool:
        return attempt in self._open

    def open(self, attempt: str, state: GenerationState) -> None:
        """A new attempt; ids are never used twice. Raises TierError."""
        if attempt in self._open or attempt in self._ended:
            raise TierError(f"Attempt {attempt} exists already", expected="a fresh attempt id")
        self._open[attempt] = _Progress(len(state.output_ids), state.max_tokens)

    def end(self, attempt: str) -> bool:
        """Close an attempt; whether it was open."""
        if self._open.pop(attempt, None) is None:
            return False
        self.note_ended(attempt)
        return True

    def end_all(self) -> list[str]:
        """Close everything; returns what was open."""
        return [attempt for attempt in tuple(self._open) if self.end(attempt)]

    def is_stray(self, attempt: str) -> bool:
        """Whether nobody here ever heard of the attempt (one that ended lately is merely late)."""
        return attempt not in self._open and attempt not in self._ended

    def note_ended(self, attempt: str) -> None:
        """Remember that frames of this attempt are to be ignored."""
        self._ended[attempt] = None
        while len(self._ended) > _ENDED_KEPT:
            self._ended.popitem(last=False)

    def check(self, frame: Tokens) -> TierError | None:
        """Count the ids of an open attempt; the fault when they leave a gap or go over the budget."""
        progress = self._open[frame.attempt]
        if frame.n0 != progress.next_index and frame.ids:
            return TierError(
                f"The node sent token {frame.n0}",
                where=f"attempt {frame.attempt}",
                expected=f"token {progress.next_index}",
            )
        progress.next_index += len(frame.ids)
        if progress.next_index > progress.max_tokens:
            return TierError(
                f"The node sent {progress.next_index} tokens",
                where=f"attempt {frame.attempt}",
                expected=f"at most {progress.max_tokens}",
            )
        return None


class AttemptInbox:
    """What an attempt said and its reader has not taken yet: a slow reader gets longer chunks, never a queue.

    `next_index` is that of the first id that the attempt may say.
    """

    def __init__(self, max_chars: int = INBOX_MAX_CHARS, *, next_index: int = 0) -> None:
        self._max_chars = max_chars
        self._chars = 0
        self._waiting: list[Chunk] = []
        self._next_index = next_index
        self._last: Chunk | None = None
        self._error: EdgewiseError | None = None
        self._ended = False
        self._changed = asyncio.Event()

    def deliver(self, chunk: Chunk) -> bool:
        """Add a chunk; False when the reader is hopelessly behind and the attempt should be given up."""
        self._chars += len(chunk.text) + len(chunk.ids)
        self._waiting.append(chunk)
        self._next_index = chunk.n0 + len(chunk.ids)
        self._changed.set()
        return self._chars <= self._max_chars

    def end(
        self,
        finish: Finish | None,
        usage: Usage | None,
        error: EdgewiseError | None,
        text: str = "",
        timings: AttemptTimings | None = None,
    ) -> None:
        """Nothing more will come. `text` is what was held back; it is in one chunk with the finish."""
        self._ended = True
        self._error = error
        if finish is not None:
            self._last = Chunk(self._next_index, (), text, finish, usage, timings)
        self._changed.set()

    async def next(self) -> Chunk | None:
        """Everything that waits as one chunk; None after the end. Raises the error with which the attempt ended."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        if self._waiting:
            return self._take()
        if self._error is not None:
            raise self._error
        last, self._last = self._last, None
        return last

    def _take(self) -> Chunk:
        waiting, self._waiting, self._chars = self._waiting, [], 0
        if len(waiting) == 1:
            return waiting[0]
        ids = tuple(token for chunk in waiting for token in chunk.ids)
        return Chunk(waiting[0].n0, ids, "".join(chunk.text for chunk in waiting))
