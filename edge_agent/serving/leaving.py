"""Where an answer that is handed over may leave: behind a sentence, or after so many tokens without an end. Pure."""

from __future__ import annotations

from typing import Final

from edgewise.routing.tier import Chunk

ENDS: Final = frozenset(".!?…\n。！？")
CLOSERS: Final = "\"'”’)]）】」』» \t"
"""What may stand between the end of a sentence and the next one."""
MOST_TOKENS: Final = 64
"""So many tokens after it was asked to leave, an answer without sentences (a table, code) leaves all the same."""


class Leaving:
    """Watches one answer. Text that a chunk's ids have not released yet is the next tier's to say."""

    def __init__(self, most_tokens: int = MOST_TOKENS) -> None:
        self._most_tokens = most_tokens
        self._waited = 0

    def may_leave_after(self, chunk: Chunk, *, wanted: bool) -> bool:
        """Whether the answer is to leave behind this chunk, should that be `wanted` now."""
        if not wanted:
            self._waited = 0
            return False
        self._waited += len(chunk.ids)
        return ends_sentence(chunk.text) or self._waited >= self._most_tokens


def ends_sentence(text: str) -> bool:
    """Whether this piece of text ends with a sentence, quotation marks and spaces aside."""
    return text.rstrip(CLOSERS)[-1:] in ENDS
