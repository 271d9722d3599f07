"""A histogram over a stream of values: fixed memory, exact ends and counts, bins that widen as the range grows."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 2048


class Histogram:
    """`bins` equal bins over [-reach, reach]. When a value lies outside, the reach doubles and bins join in pairs.

    So no value is ever dropped, and the result does not depend on how the stream was cut (but for the reach that the
    first values set). Values must be finite.
    """

    def __init__(self, bins: int = BINS) -> None:
        if bins < 4 or bins % 4:
            raise ValueError(f"a histogram of {bins} bins cannot join them in pairs around zero; take a multiple of 4")
        self.counts: NDArray[np.float64] = np.zeros(bins)
        self.reach = 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, values: NDArray[np.floating]) -> None:
        """Count values of any shape. Raises ValueError for one that is not finite."""
        flat = np.asarray(values, np.float64).ravel()
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not np.isfinite((low, high)).all():
            raise ValueError("a value is not finite: the model overflows on the calibration rows")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(abs(low), abs(high)))
        self.counts += np.histogram(flat, len(self.counts), (-self.reach, self.reach))[0]

    def _widen(self, largest: float) -> None:
        if self.reach == 0.0:
            self.reach = largest or 1e-6
        while largest > self.reach:
            half, quarter = len(self.counts) // 2, len(self.counts) // 4
            joined = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.zeros(2 * half)
            self.counts[quarter : quarter + half] = joined
            self.reach *= 2

    @property
    def total(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    @property
    def width(self) -> float:
        """Width of one bin."""
        return 2 * self.reach / len(self.counts)

    @property
    def centres(self) -> NDArray[np.float64]:
        """Centre of every bin."""
        return np.asarray(-self.reach + self.width * (np.arange(len(self.counts)) + 0.5), np.float64)

    def quantile(self, share: float) -> float:
        """The value below which `share` (0..1) of all values lie, to one bin's width; within the exact ends."""
        if not self.total:
            raise ValueError("an empty histogram has no quantile")
        sums = np.concatenate(([0.0], np.cumsum(self.counts)))
        edges = -self.reach + self.width * np.arange(len(sums))
        place = float(np.interp(share * sums[-1], sums, edges))
        return min(max(place, self.low), self.high)
