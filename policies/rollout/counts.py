"""What is measured in a stage: how many events hit, how durations spread. Whoever serves requests fills these in."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from policies.rollout.errors import Refusal, RolloutError

SHARES: Final = ("decisionChange", "decisionErrors", "replayUnknown", "errors")
"""Events that are counted. They hit when: the candidate decides otherwise than the old policy; a decision came from
onError; a recorded decision could not be decided again; an answer failed."""
SPREADS: Final = ("firstToken", "total")
"""Durations that are counted: until the first token of an answer, and until its end."""

MAX_COUNT: Final = 2**53
FLOOR_S: Final = 0.001
RATIO: Final = 1.02
LAST_BIN: Final = 764
"""The bin of 3,718 s and of all that is longer."""


def bin_of(seconds: float) -> int:
    """The bin of a duration: bin 0 ends at 1 ms, each later one 2 % above the one before. Raises RolloutError."""
    if not seconds >= 0.0:
        raise RolloutError(Refusal.COUNTS, f"{seconds} s is no duration")
    if seconds >= end_of(LAST_BIN):
        return LAST_BIN
    return max(0, math.ceil(math.log(seconds / FLOOR_S) / math.log(RATIO))) if seconds > FLOOR_S else 0


def end_of(bin_: int) -> float:
    """The longest duration of a bin, in seconds."""
    return FLOOR_S * float(RATIO**bin_)


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` events of `of` hit. Raises RolloutError for what can be no count."""

    hits: int = 0
    of: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.of <= MAX_COUNT:
            raise RolloutError(Refusal.COUNTS, f"{self.hits} of {self.of} is no share")

    def holds(self, earlier: Share) -> bool:
        """Whether these totals can have grown out of earlier ones."""
        return self.hits >= earlier.hits and self.of - self.hits >= earlier.of - earlier.hits

    def __str__(self) -> str:
        return f"{self.hits} of {self.of} ({100 * self.hits / self.of:.3g} %)" if self.of else "none"


@dataclass(frozen=True, slots=True)
class Spread:
    """How many durations fell into which bin; bins without any may be left out. Raises RolloutError."""

    bins: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for bin_, count in self.bins.items():
            if not (0 <= bin_ <= LAST_BIN and 0 <= count <= MAX_COUNT):
                raise RolloutError(Refusal.COUNTS, f"bin {bin_} cannot hold {count} durations")

    @classmethod
    def of(cls, durations_s: Iterable[float]) -> Spread:
        """Of these durations. Raises RolloutError for a negative one and for NaN."""
        return cls(Counter(map(bin_of, durations_s)))

    @property
    def total(self) -> int:
        """How many durations there are."""
        return sum(self.bins.values())

    def longer(self) -> list[int]:
        """For each bin, how many durations are beyond its end."""
        counts = (self.bins.get(bin_, 0) for bin_ in range(LAST_BIN, 0, -1))
        return [*reversed(list(accumulate(counts))), 0]

    def quantile_s(self, quantile: float) -> float:
        """The end of the bin below which this part of the durations lies; 0 for none."""
        most = self.total - math.ceil(quantile * self.total - 1e-9)  # whole: 1 - 0.9 is a little less than 0.1
        return next((end_of(bin_) for bin_, over in enumerate(self.longer()) if over <= most), 0.0)

    def holds(self, earlier: Spread) -> bool:
        """Whether these totals can have grown out of earlier ones."""
        return all(self.bins.get(bin_, 0) >= count for bin_, count in earlier.bins.items())


@dataclass(frozen=True, slots=True)
class Counts:
    """One policy's totals since a run began. A name that is missing was not measured."""

    shares: Mapping[str, Share] = field(default_factory=dict)
    spreads: Mapping[str, Spread] = field(default_factory=dict)

    def share(self, name: str) -> Share:
        """The share of that name; none of none where it was not measured."""
        return self.shares.get(name, _NO_SHARE)

    def spread(self, name: str) -> Spread:
        """The spread of that name; empty where it was not measured."""
        return self.spreads.get(name, _NO_SPREAD)

    def holds(self, earlier: Counts) -> bool:
        """Whether these totals can have grown out of earlier ones."""
        return all(self.share(name).holds(share) for name, share in earlier.shares.items()) and all(
            self.spread(name).holds(spread) for name, spread in earlier.spreads.items()
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `records.read_counts` reads it back."""
        shares = {name: [share.hits, share.of] for name, share in self.shares.items()}
        spreads = {name: [list(pair) for pair in sorted(spread.bins.items())] for name, spread in self.spreads.items()}
        return {"shares": shares, "spreads": spreads}


@dataclass(frozen=True, slots=True)
class Measures:
    """The totals of a run, of what the old policy decided and of what the candidate did (in shadow: would have)."""

    old: Counts = field(default_factory=Counts)
    candidate: Counts = field(default_factory=Counts)

    def holds(self, earlier: Measures) -> bool:
        """Whether these totals can have grown out of earlier ones."""
        return self.old.holds(earlier.old) and self.candidate.holds(earlier.candidate)


_NO_SHARE: Final = Share()
_NO_SPREAD: Final = Spread()
NOTHING_MEASURED: Final = Measures()
