"""What sort of answer it is, as far as drafts are concerned: where a window starts, and where it belongs later. Pure.

At the start whoever holds the text says so, by the words of the fact `request.task`; an engine sees ids only, so later
scenes are judged from how many of the drafted tokens held.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

FEWEST_DRAFTS: Final = 2
MOST_DRAFTS: Final = 8


class Scene(Enum):
    """The shortest and the longest draft that suits; the value is (word, shortest, longest)."""

    GREETING = ("greeting", 6, 8)
    CODE = ("code", 5, 6)
    FACTUAL = ("factual", 4, 5)
    CREATIVE = ("creative", 2, 3)

    def __init__(self, word: str, shortest: int, longest: int) -> None:
        self.word, self.shortest, self.longest = word, shortest, longest

    @property
    def start(self) -> int:
        """The middle of its drafts, rounded down."""
        return (self.shortest + self.longest) // 2

    def brought_in(self, drafts: int) -> int:
        """The number of drafts next to `drafts` that suits."""
        return min(max(drafts, self.shortest), self.longest)


UNKNOWN: Final = Scene.FACTUAL
"""What is taken where nobody said: the middle."""
_OF_TASK: Final = {scene.word: scene for scene in Scene} | {"tool": Scene.CODE, "other": UNKNOWN}
_LEAST_SHARE: Final = ((0.8, Scene.GREETING), (0.65, Scene.CODE), (0.5, Scene.FACTUAL))
"""Share of the drafted tokens that held, by which an answer is taken for one of the scene: the window rule's marks, and
one between them."""


def scene_of_task(task: str) -> Scene:
    """The scene of a request whose fact `request.task` is `task`; an unknown word is no error."""
    return _OF_TASK.get(task, UNKNOWN)


def scene_of_share(held: float) -> Scene:
    """The scene that an answer shows, of whose drafted tokens this share (0 to 1) held."""
    return next((scene for least, scene in _LEAST_SHARE if held >= least), Scene.CREATIVE)
