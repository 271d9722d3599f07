"""FreeRuns: free block numbers as runs of neighbours, found by size and joined with their neighbours in O(1) a block.

blocks    0 1 2 3 4 5 6 7 8        a run's length stands at its first and its last block (boundary tags, Knuth
free      . . . # # . # . .        1973), and its start in the class of its size, as in TLSF (Masmano et al. 2004)
length    3   3 0 0 1 0 2 2        classes: 1 {5}, 2-3 {0, 7}
"""

from __future__ import annotations

from itertools import pairwise


class FreeRuns:
    """The free ones of blocks 0 … count - 1; all of them at first. The same calls give the same blocks."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._free = bytearray(count + 2)
        """1 for a free block; the entry before block 0 (the last one) and behind the last are never free."""
        self._length = [0] * (count + 2)
        self._classes: list[dict[int, None]] = [{} for _ in range(count.bit_length() + 1)]
        self._filled = 0
        """A bit for each class that has a run."""
        self._size = count
        if count:
            self._free[:count] = b"\x01" * count
            self._insert(0, count)

    def __len__(self) -> int:
        return self._size

    def __contains__(self, block: int) -> bool:
        return bool(self._free[block])

    def take(self, count: int, after: int | None = None) -> list[int]:
        """At most `count` blocks from one run: the one behind block `after`, else one that holds all, else a large one.

        Empty when nothing is free.
        """
        if count <= 0 or not self._size:
            return []
        follows = after is not None and self._free[after + 1] > self._free[after]
        start = after + 1 if after is not None and follows else self._run_for(count)
        length = self._length[start]
        taken = min(length, count)
        self._remove(start, length)
        if taken < length:
            self._insert(start + taken, length - taken)
        self._free[start : start + taken] = bytes(taken)
        self._size -= taken
        return list(range(start, start + taken))

    def give(self, start: int, length: int = 1) -> None:
        """Make neighbours free. Raises ValueError when one is free already, or none of ours."""
        stop = start + length
        if not 0 <= start < stop <= self._count or any(self._free[start:stop]):
            raise ValueError(f"a block of {start} to {stop - 1} is free already, or not one of {self._count}")
        self._free[start:stop] = b"\x01" * length
        self._size += length
        if self._free[start - 1]:
            before = self._length[start - 1]
            start -= before
            self._remove(start, before)
        if self._free[stop]:
            behind = self._length[stop]
            self._remove(stop, behind)
            stop += behind
        self._insert(start, stop - start)

    def runs(self) -> list[tuple[int, int]]:
        """(start, length) of every run, by start."""
        return sorted((start, self._length[start]) for each in self._classes for start in each)

    def check_integrity(self) -> None:
        """Runs are as long as they can be, tagged at both ends, in their class. Raises AssertionError."""
        found = self.runs()
        marked = [block for start, length in found for block in range(start, start + length)]
        assert marked == [block for block in range(self._count) if self._free[block]], "runs and marks differ"
        assert len(marked) == self._size, "the size is wrong"
        assert all(a + n < b for (a, n), (b, _) in pairwise(found)), "neighbours were not joined"
        assert all(self._length[start + length - 1] == length for start, length in found), "an end has another tag"
        assert all(start in self._classes[length.bit_length()] for start, length in found), "a run is in another class"
        assert self._filled == sum(1 << index for index, each in enumerate(self._classes) if each), "wrong bits"

    def _run_for(self, count: int) -> int:
        """The smallest class whose every run holds `count`; else the largest there is."""
        surely = (count - 1).bit_length() + 1
        larger = self._filled >> surely
        index = surely + (larger & -larger).bit_length() - 1 if larger else self._filled.bit_length() - 1
        return next(iter(self._classes[index]))

    def _insert(self, start: int, length: int) -> None:
        self._length[start] = self._length[start + length - 1] = length
        index = length.bit_length()
        self._classes[index][start] = None
        self._filled |= 1 << index

    def _remove(self, start: int, length: int) -> None:
        index = length.bit_length()
        del self._classes[index][start]
        if not self._classes[index]:
            self._filled &= ~(1 << index)
