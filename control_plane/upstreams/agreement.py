"""Whether an engine means by its ids what they mean here: its text beside ours, for as long as that can be told."""

from __future__ import annotations

from collections.abc import Iterable

from control_plane.upstreams.seam import shared
from edgewise.generation.detokenize import Detokenizer, TokenBytes

LOOKED_AT_CHARS = 512
"""Another tokenizer shows at once; comparing to the end would only cost."""


class Agreement:
    """Compares the text that came beside ids with the text of the ids, as far as both are known.

    White space does not count (engines tidy it), and nothing is told any more after bytes that are no character, where
    everybody has a way of their own: an answer that goes on in the middle of a character begins with such.
    """

    def __init__(self, tokenizer: TokenBytes) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        self._left = LOOKED_AT_CHARS
        self._ours = self._theirs = ""

    def holds(self, ids: Iterable[int], text: str) -> bool:
        """Whether all is well as far as `ids` and the `text` beside them."""
        if self._left <= 0:
            return True
        ours = self._detokenizer.push(ids)
        self._left -= len(ours)
        if "\ufffd" in ours or "\ufffd" in text:
            self._left = 0
            return True
        self._ours, self._theirs = self._ours + _dense(ours), self._theirs + _dense(text)
        same = shared(self._ours, self._theirs)
        self._ours, self._theirs = self._ours[same:], self._theirs[same:]
        return not (self._ours and self._theirs)


def _dense(text: str) -> str:
    return "".join(text.split())
