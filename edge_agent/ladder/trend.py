"""How fast a reading rises or falls, and its smoothed value. Pure arithmetic; times are given."""

from __future__ import annotations

import math


class Trend:
    """Mean and slope (per second) of a series, both weighted by age with time constants in seconds.

    The slope is a mean of increments, so a sensor of whole degrees that flickers between two of them has none.
    """

    def __init__(self, *, mean_s: float, slope_s: float) -> None:
        self._mean_s = mean_s
        self._slope_s = slope_s
        self._last: tuple[float, float] | None = None
        self.mean = 0.0
        self.slope = 0.0

    def add(self, value: float, now_s: float) -> None:
        """Take a reading in; one that is no later than the last is left out."""
        if self._last is None:
            self.mean = value
        else:
            before, then_s = self._last
            passed_s = now_s - then_s
            if passed_s <= 0:
                return
            self.mean += _weight(passed_s, self._mean_s) * (value - self.mean)
            self.slope += _weight(passed_s, self._slope_s) * ((value - before) / passed_s - self.slope)
        self._last = (value, now_s)


def _weight(passed_s: float, constant_s: float) -> float:
    return -math.expm1(-passed_s / constant_s)
