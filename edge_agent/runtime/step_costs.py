"""What a call with several rows costs on this device, in calls of one row, learnt from the device's own calls. Pure.

The device gets slower and faster as a whole (heat, other work). How much, its latest calls tell against earlier ones of
as many rows; times are kept without it, so calls that were made at different moments can be compared.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from edgewise.graphs import TILE_ROWS

RESEARCH_COSTS: Final = {1: 1.0, 2: 1.14, 3: 1.37, 4: 1.58}
"""Measured on a 0.5 B decoder with 4-bit weights, two threads; what is taken until a device has calls of its own."""
SAMPLES: Final = 16
FEWEST_SAMPLES: Final = 3
PACE_SHARE: Final = 0.5
"""How much of a call's surprise is put down to the device's pace (as a power); the rest is noise of that call."""
MOST_SURPRISE: Final = 8.0
SHORTEST_S: Final = 1e-9


class StepCosts:
    """Costs of calls with 1 to 4 rows. `pads`: calls of one row are padded like all others, so that none is alone."""

    def __init__(self, *, pads: bool = False) -> None:
        self._pads = pads
        self._seconds = {rows: deque[float](maxlen=SAMPLES) for rows in sorted(RESEARCH_COSTS)}
        self._typical: dict[int, float] = {}
        self._costs = dict(RESEARCH_COSTS)
        self._pace = 1.0

    def run_rows(self, rows: int) -> int:
        """The rows that a call of `rows` really has: whole tiles, but for one row where it is not padded."""
        return rows if rows == 1 and not self._pads else -(-rows // TILE_ROWS) * TILE_ROWS

    def of(self, rows: int) -> float:
        """The cost of a call of `rows` rows."""
        return self._costs[self.run_rows(rows)]

    def observe(self, rows: int, seconds: float) -> None:
        """A call of `rows` rows took `seconds`. Times that a coarse clock gives (0, or next to it) say nothing."""
        if seconds < SHORTEST_S:
            return
        rows = self.run_rows(rows)
        kept = self._seconds[rows]
        if kept:
            surprise = seconds / self._pace / self._typical[rows]
            self._pace *= min(max(surprise, 1 / MOST_SURPRISE), MOST_SURPRISE) ** PACE_SHARE
        kept.append(seconds / self._pace)
        self._typical[rows] = _middle_mean(kept)
        self._compare()

    def _compare(self) -> None:
        """Costs anew: what was run often enough is measured against the fewest such rows, the rest as researched."""
        known = [rows for rows, kept in self._seconds.items() if len(kept) >= FEWEST_SAMPLES]
        if known:
            unit_s = self._typical[known[0]] / RESEARCH_COSTS[known[0]]
            for rows in known:
                self._costs[rows] = self._typical[rows] / unit_s


def _middle_mean(samples: Iterable[float]) -> float:
    """The mean of the middle half: a call that was interrupted moves it little."""
    ordered = sorted(samples)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)
