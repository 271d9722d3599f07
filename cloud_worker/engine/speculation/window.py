"""How many tokens one answer would like drafted, from how its latest drafts went. Pure; blind to load and cost.

    share of the last 20 drafted tokens that held        > 0.8: one more (to 8)    < 0.5: one fewer (to 2)
    every 50 tokens that were said                       the scene is judged anew, and the window brought into it

After a change the 20 are counted anew, so one good or bad stretch moves the window once. What a step can afford is
goodput.py's business.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from cloud_worker.engine.speculation.scenes import FEWEST_DRAFTS, MOST_DRAFTS, UNKNOWN, Scene, scene_of_share

JUDGED_TOKENS: Final = 20
"""Drafted tokens that decide."""
MORE_ABOVE: Final = 0.8
FEWER_BELOW: Final = 0.5
REJUDGED_EVERY: Final = 50
"""Tokens of the answer after which its scene is judged anew."""


class Window:
    """The drafts that one answer would like verified at a time: `size`."""

    def __init__(self, scene: Scene = UNKNOWN) -> None:
        self.scene = scene
        self.size = scene.start
        self._latest: deque[bool] = deque(maxlen=JUDGED_TOKENS)
        self._said = self._drafted = self._held = 0

    def observe(self, drafted: int, held: int, said: int) -> None:
        """A step verified `drafted` tokens, the first `held` of them were drawn, and `said` tokens came of it."""
        self._latest.extend(place < held for place in range(drafted))
        self._move()
        self._said, self._drafted, self._held = self._said + said, self._drafted + drafted, self._held + held
        if self._said >= REJUDGED_EVERY:
            self._judge_scene()

    def _move(self) -> None:
        """The rule over the last 20; they are counted from nothing after it moved."""
        if len(self._latest) < JUDGED_TOKENS:
            return
        share = sum(self._latest) / JUDGED_TOKENS
        if share > MORE_ABOVE and self.size < MOST_DRAFTS:
            self._resize(self.size + 1)
        elif share < FEWER_BELOW and self.size > FEWEST_DRAFTS:
            self._resize(self.size - 1)

    def _judge_scene(self) -> None:
        """By the drafts of the last 50 tokens; too few of them say nothing."""
        if self._drafted >= JUDGED_TOKENS:
            self.scene = scene_of_share(self._held / self._drafted)
            if (size := self.scene.brought_in(self.size)) != self.size:
                self._resize(size)
        self._said = self._drafted = self._held = 0

    def _resize(self, size: int) -> None:
        self.size = size
        self._latest.clear()
