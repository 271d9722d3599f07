"""What a step takes by the rows it has, in seconds, learnt from the engine's own steps. Pure.

Times are kept by sizes of step; sizes never run are taken from a line through those that were, or from the seed's
shape. The machine gets slower and faster as a whole; its pace is what a step's surprise against its own size tells.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

CPU_SEED: Final[Mapping[int, float]] = {1: 1.0, 8: 1.1, 16: 1.5, 32: 2.8}
"""Times by rows in any unit, linear between and after them: a 0.5 B decoder in bf16, two threads."""
GPU_SEED: Final[Mapping[int, float]] = {1: 1.0, 64: 1.1, 256: 1.6}
"""Reading the weights takes longer than a hundred rows of products."""
ROW_GRID: Final = 8
"""The engine pads the rows of a step to a multiple of it."""
PLAIN_SIZES: Final = 64
"""Up to here all steps of one size take the same; above, what lies between two sizes is taken from a line."""
SAMPLES: Final = 24
FEWEST_SAMPLES: Final = 3
FEW: Final = 6
FIRST_STEPS: Final = 5
"""What sets the scale; nothing is known before."""
PACE_STEPS: Final = 5
PACE_MARK: Final = 1.1
"""Ratio by which the latest steps must be off, in the median, for the machine's pace to have changed."""
DOUBTED: Final = 1.5
"""A size that was seen once or twice is not believed to take longer than its shortest time, nor so much over what was
foreseen: an interrupted step must not keep it from being run again."""
SHORTEST_S: Final = 1e-9


class StepCosts:
    """Times of steps with any number of rows; `seed` is their shape until steps of such sizes were seen.

    Times that are kept `beside` others (a draft model's beside its engine's) have the pace of those: calls that come
    now and then cannot tell a slow machine from cold caches, and what counts is how the two compare.
    """

    def __init__(self, seed: Mapping[int, float] = CPU_SEED, beside: StepCosts | None = None) -> None:
        self._beside = beside
        self._seed_rows, self._seed_times = zip(*sorted(seed.items()), strict=True)
        self._recent: deque[tuple[int, float]] = deque(maxlen=PACE_STEPS)
        self._first: list[tuple[int, float]] = []
        self._samples: dict[int, deque[float]] = {}
        self._known: list[int] = []
        self._foreseen: dict[int, float] = {}
        self._typical: dict[int, float] = {}
        self._levels: dict[int, float] = {}
        self._cache: dict[int, float] = {}
        self._pace = 0.0
        self.steps = 0
        """How many were observed."""

    def seconds(self, rows: int) -> float:
        """What a step of `rows` rows takes now; 0 rows take nothing. Before any step, in the seed's unit."""
        if rows < 1:
            return 0.0
        size = size_of(rows)
        if rows < size > PLAIN_SIZES:
            below = size - _grain(size)
            return _between(rows, below, self._of_size(below), size, self._of_size(size))
        return self._of_size(size)

    @property
    def pace(self) -> float:
        """Seconds of the unit that times are kept in; 0 while nothing is known."""
        return self._pace

    def _of_size(self, size: int) -> float:
        if self._beside is not None and self._beside.pace != self._pace:
            self._pace = self._beside.pace
            self._cache.clear()
        if (found := self._cache.get(size)) is None:
            found = self._cache[size] = self._time(size) * (self._pace or 1.0)
        return found

    def knows_down_to(self, rows: int) -> bool:
        """Whether steps of `rows` rows or fewer were seen, often enough to be compared with."""
        return bool(self._known) and self._known[0] <= size_of(rows)

    def samples(self, rows: int) -> int:
        """How many times what `seconds` says of this size is known by."""
        return len(self._samples.get(size_of(rows), ()))

    def observe(self, rows: int, seconds: float) -> None:
        """A step of `rows` rows took `seconds`. Times that a coarse clock gives (0, or next to it) say nothing."""
        if rows < 1 or seconds < SHORTEST_S:
            return
        self.steps += 1
        if self._beside is not None:
            if (pace := self._beside.pace) == 0:
                return
            self._pace = pace
            self._cache.clear()
        if rows > PLAIN_SIZES:
            seconds *= self.seconds(size_of(rows)) / self.seconds(rows)
        if self.steps > FIRST_STEPS or self._beside is not None:
            self._learn(size_of(rows), seconds)
        else:
            self._set_pace(size_of(rows), seconds)
        self._known = sorted(self._samples)
        self._levels = self._level()
        self._cache.clear()

    def _set_pace(self, size: int, seconds: float) -> None:
        """The first steps tell it together: one of them alone may have been interrupted."""
        self._first.append((size, seconds))
        if len(self._first) == FIRST_STEPS:
            self._pace = sorted(seconds / self._seeded(size) for size, seconds in self._first)[FIRST_STEPS // 2]
            for first in self._first:
                self._learn(*first)

    def _learn(self, size: int, seconds: float) -> None:
        self._foreseen.setdefault(size, self._time(size))
        kept = self._samples.setdefault(size, deque(maxlen=SAMPLES))
        if len(kept) >= FEWEST_SAMPLES:
            self._recent.append((size, seconds / self._pace / self._typical[size]))
        kept.append(seconds / self._pace)
        self._judge(size)
        if len(self._recent) == PACE_STEPS and self._beside is None:
            self._judge_pace()

    def _judge(self, size: int) -> None:
        kept = self._samples[size]
        few = len(kept) < FEWEST_SAMPLES
        self._typical[size] = min(*kept, DOUBTED * self._foreseen[size]) if few else _middle(kept)

    def _judge_pace(self) -> None:
        """When the latest steps all took longer or shorter than their sizes do, the machine did; noise is let be."""
        surprise = sorted(ratio for _, ratio in self._recent)[PACE_STEPS // 2]
        if not 1 / PACE_MARK < surprise < PACE_MARK:
            for size, _ in self._recent:
                self._samples[size].pop()
                self._judge(size)
            self._pace *= surprise
            self._recent.clear()

    def _level(self) -> dict[int, float]:
        """What sizes take, brought into order: more rows never take less, so times that say it are one and the same
        (the pool-adjacent-violators rule of isotonic regression, Ayer et al., 1955)."""
        levels = list[tuple[float, int, list[int]]]()
        for size in self._known:
            time, samples, sizes = self._typical[size], len(self._samples[size]), [size]
            while levels and levels[-1][0] > time:
                before, count, smaller = levels.pop()
                time = (before * count + time * samples) / (count + samples)
                samples, sizes = count + samples, smaller + sizes
            levels.append((time, samples, sizes))
        return {size: time for time, _, sizes in levels for size in sizes}

    def _time(self, size: int) -> float:
        """At the pace that the first steps set."""
        known, times = self._known, self._levels
        if not known:
            return self._seeded(size)
        place = bisect_left(known, size)
        if place < len(known) and known[place] == size:
            return times[size]
        if place == 0:
            return min(1.0, self._seeded(size) / self._seeded(known[0])) * times[known[0]]
        below = known[place - 1]
        if place < len(known):
            return _between(size, below, times[below], known[place], times[known[place]])
        return max(times[below], self._beyond(size, below))

    def _beyond(self, size: int, last: int) -> float:
        """On the line through the last size that was seen and one at most half of it, else by the seed's shape."""
        place = bisect_right(self._known, last // 2)
        if not place:
            return self._levels[last] * self._seeded(size) / self._seeded(last)
        half = self._known[place - 1]
        return _between(size, half, self._levels[half], last, self._levels[last])

    def _seeded(self, size: int) -> float:
        rows, times = self._seed_rows, self._seed_times
        after = min(max(bisect_left(rows, size), 1), len(rows) - 1)
        return _between(size, rows[after - 1], times[after - 1], rows[after], times[after])


@lru_cache(maxsize=4096)
def size_of(rows: int) -> int:
    """The size under which a step of `rows` rows is kept: each number to 8, padded to 8 to 64, then an eighth apart."""
    grain = _grain(rows)
    return -(-rows // grain) * grain


def _grain(rows: int) -> int:
    """How far the size of `rows` rows stands from the one before it."""
    return 1 if rows <= ROW_GRID else max(ROW_GRID, 1 << ((rows - 1).bit_length() - 3))


def _between(place: int, left: int, left_time: float, right: int, right_time: float) -> float:
    """On the line through two points, also beyond them."""
    return left_time + (place - left) / (right - left) * (right_time - left_time)


def _middle(samples: Iterable[float]) -> float:
    """The lower median of a few, of more the mean between the lowest eighth and the median: interruptions only add."""
    ordered = sorted(samples)
    count = len(ordered)
    if count < FEW:
        return ordered[(count - 1) // 2]
    kept = ordered[count // 8 : (count + 1) // 2]
    return sum(kept) / len(kept)
