"""Drafts from the text so far (prompt lookup): what followed the last time that the newest ids were seen.

ids    ... 7 8 9 4 5 ... 7 8 9 |          the longest end of 3, 2 or 1 ids that stood before; of several, the latest
draft                            4 5 ...   what came after it, copied on past the end of the text where it gets there
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_MATCH: Final = 3
MOST_DRAFTS: Final = 3
WINDOW_TOKENS: Final = 4096
"""How far back matches are looked for: at most 3 entries of about 200 bytes for each token, under 3 MB."""


@dataclass(frozen=True)
class Draft:
    """Guessed ids, and how many ids before them matched (0: nothing did, and there are none)."""

    ids: tuple[int, ...] = ()
    matched: int = 0


class PromptLookup:
    """The ids of one answer, prompt and output, and where each short run of them was last followed by something.

    An id is taken in, and a draft found, in constant time; memory is bounded by `window` beside the ids themselves.
    """

    def __init__(self, ids: Iterable[int] = (), window: int = WINDOW_TOKENS) -> None:
        self._ids: list[int] = []
        self._window = window
        self._followed: tuple[dict[tuple[int, ...], int], ...] = tuple({} for _ in range(LONGEST_MATCH))
        self.extend(ids)

    def __len__(self) -> int:
        return len(self._ids)

    def extend(self, ids: Iterable[int]) -> None:
        """More ids at the end; of a great many only those that the window will hold are looked at."""
        new = list(ids)
        if (passed := len(new) - self._window) > 0:
            for followed in self._followed:
                followed.clear()
            self._ids += new[:passed]
            del new[:passed]
        for token in new:
            self._note(len(self._ids))
            self._ids.append(token)
            self._forget(len(self._ids) - self._window - 1)

    def draft(self, most: int = MOST_DRAFTS) -> Draft:
        """At most `most` ids that may come next."""
        if most < 1:
            return Draft()
        for length in range(min(LONGEST_MATCH, len(self._ids)), 0, -1):
            start = self._followed[length - 1].get(self._run(len(self._ids), length))
            if start is not None:
                return Draft(_copied(self._ids, start, most), length)
        return Draft()

    def _note(self, place: int) -> None:
        """The runs that end before `place` are followed by what will stand there."""
        for length in range(1, min(LONGEST_MATCH, place) + 1):
            self._followed[length - 1][self._run(place, length)] = place

    def _forget(self, place: int) -> None:
        """What is followed by `place` is too long ago, unless it was seen again since."""
        for length in range(1, min(LONGEST_MATCH, place) + 1):
            run = self._run(place, length)
            if self._followed[length - 1].get(run) == place:
                del self._followed[length - 1][run]

    def _run(self, stop: int, length: int) -> tuple[int, ...]:
        return tuple(self._ids[stop - length : stop])


def _copied(ids: Sequence[int], start: int, count: int) -> tuple[int, ...]:
    """`count` ids from `start`; the copy feeds itself, so that a short loop goes on."""
    copied: list[int] = []
    for place in range(start, start + count):
        copied.append(ids[place] if place < len(ids) else copied[place - len(ids)])
    return tuple(copied)
