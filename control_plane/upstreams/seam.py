"""The seam of an answer that goes on by text: white space that was shown already is not shown again."""

from __future__ import annotations


class Seam:
    """Joins what comes to a text that ended with the white space `tail`, which the engine may or may not say again.

    As much of `tail` as the reply begins with is left out, however the reply is split; nothing else ever is.
    """

    def __init__(self, tail: str) -> None:
        self._tail = tail

    def join(self, text: str) -> str:
        """What of `text` is new."""
        if not self._tail or not text:
            return text
        again = shared(self._tail, text)
        self._tail = self._tail[again:] if again == len(text) else ""
        return text[again:]


def shared(one: str, other: str) -> int:
    """How long the beginning is that both have."""
    pairs = zip(one, other, strict=False)
    return next((count for count, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
