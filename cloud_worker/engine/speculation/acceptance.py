"""How likely drafted tokens hold, by their place in the draft, learnt from what was drawn. Pure.

What is drawn does not depend on what was drafted, so a draft that nobody verified is judged as well: its first token
against the one that came. Where drafts cost nothing to make, finding out whether they would pay costs nothing either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

PLACES: Final = 4
"""Places of a draft that are told apart; the last stands for all after it."""
DECAY: Final = 0.96
"""Of what was seen, with every draft that is judged: about the last 25 drafts count."""
FIRST_CHANCE: Final = 0.6
"""Of a drafter that nobody has seen draft."""
PRIOR_WEIGHT: Final = 2.0
HOPE: Final = 0.5
"""In standard errors of what was seen."""


class Acceptance:
    """Chances for the drafts of one drafter: of one answer, or (without `pool`) of all answers together.

    What has not been seen is taken from what comes nearest: a place from the place before it, the first place from
    the same drafter's other answers.
    """

    def __init__(self, pool: Acceptance | None = None) -> None:
        self._pool = pool
        self._held = [0.0] * PLACES
        self._tried = [0.0] * PLACES

    def chances(self, count: int) -> tuple[float, ...]:
        """For each of `count` drafted tokens the chance that it holds if those before it did."""
        found = list[float]()
        chance = self._pool.chances(1)[0] if self._pool else FIRST_CHANCE
        for place in range(min(count, PLACES)):
            chance = (self._held[place] + PRIOR_WEIGHT * chance) / (self._tried[place] + PRIOR_WEIGHT)
            found.append(chance)
        return (*found, *[chance] * (count - len(found)))

    def hoped(self, count: int) -> tuple[float, ...]:
        """As `chances`, and as much above them as these few drafts may be off by.

        For drafts that have a price: while they are thought not to pay there is next to nothing to learn from, and
        while they are thought to pay there is, in every step; so the one mistake lasts, and the other does not.
        """
        chances, seen = self.chances(count), self._tried
        pooled = self._pool._tried if self._pool else [0.0] * PLACES
        weights = [PRIOR_WEIGHT + seen[cell] + pooled[cell] for cell in range(PLACES)]
        return tuple(
            min(1.0, chance + HOPE * math.sqrt(chance * (1 - chance) / weights[min(place, PLACES - 1)]))
            for place, chance in enumerate(chances)
        )

    def observe(self, offered: Sequence[int], said: Sequence[int]) -> None:
        """`offered` was drafted, all or part or none of it verified, and `said` came instead of it or as it says."""
        for place in range(PLACES):
            self._held[place] *= DECAY
            self._tried[place] *= DECAY
        for place, (guessed, drawn) in enumerate(zip(offered, said, strict=False)):
            self._tried[cell := min(place, PLACES - 1)] += 1
            self._held[cell] += guessed == drawn  # nothing is said behind the first that did not hold
        if self._pool:
            self._pool.observe(offered, said)
