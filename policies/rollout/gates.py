"""The gates of a rollout: what each one watches, and how strongly the measures speak against its limit.

Judging only; which gates a stage needs is in plan.py, what a breach does in machine.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from policies.rollout.counts import FLOOR_S, LAST_BIN, RATIO, Measures, end_of
from policies.rollout.evidence import log_above, log_below, log_split


class Gate(Protocol):
    """name, text: as the document has them. compares: it needs measures of the old policy too."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def compares(self) -> bool: ...
    @property
    def in_shadow(self) -> bool: ...
    @property
    def in_enforce(self) -> bool: ...

    def seen(self, measures: Measures) -> int:
        """How many measures it has, of the policy that has fewer where it compares."""

    def found(self, measures: Measures) -> str:
        """What was measured, in a person's words."""

    def log_evidence(self, measures: Measures) -> float:
        """The e-process against "the limit is kept", as a natural logarithm."""


@dataclass(frozen=True, slots=True)
class ShareLimit:
    """Of all events, at most a share hits."""

    name: str
    text: str
    at_most: float
    in_shadow: bool
    in_enforce: bool
    compares: bool = False

    def seen(self, measures: Measures) -> int:
        return measures.candidate.share(self.name).of

    def found(self, measures: Measures) -> str:
        return str(measures.candidate.share(self.name))

    def log_evidence(self, measures: Measures) -> float:
        share = measures.candidate.share(self.name)
        return log_above(share.hits, share.of, self.at_most)


_SHARE_CUTS: Final = tuple(1.0 / (1.0 + math.exp(9.0 - step / 10)) for step in range(181))
"""From 0.012 % to 99.988 %, each with odds 10 % above the one before."""


@dataclass(frozen=True, slots=True)
class ShareRise:
    """The candidate's share is at most the old policy's and a few points, with 1.0 for 100 points.

    If so, then for every cut c the old share is at least c, or the new one at most c + points.
    """

    name: str
    text: str
    points: float
    in_shadow: bool
    in_enforce: bool
    compares: bool = True

    def seen(self, measures: Measures) -> int:
        return min(measures.old.share(self.name).of, measures.candidate.share(self.name).of)

    def found(self, measures: Measures) -> str:
        return f"{measures.candidate.share(self.name)}, before {measures.old.share(self.name)}"

    def log_evidence(self, measures: Measures) -> float:
        old, new = measures.old.share(self.name), measures.candidate.share(self.name)
        between = (c for c in _SHARE_CUTS if old.hits < c * old.of and new.hits > (c + self.points) * new.of)
        pairs = ((log_below(old.hits, old.of, cut), log_above(new.hits, new.of, cut + self.points)) for cut in between)
        return log_split(pairs, len(_SHARE_CUTS))


@dataclass(frozen=True, slots=True)
class QuantileLimit:
    """A quantile of a duration is at most so long; that is: at most the rest of all durations is longer."""

    name: str
    text: str
    duration: str
    quantile: float
    at_most_s: float
    in_shadow: bool = False
    in_enforce: bool = True
    compares: bool = False

    def seen(self, measures: Measures) -> int:
        return measures.candidate.spread(self.duration).total

    def found(self, measures: Measures) -> str:
        return _told_s(measures.candidate.spread(self.duration).quantile_s(self.quantile), self.seen(measures))

    def log_evidence(self, measures: Measures) -> float:
        spread = measures.candidate.spread(self.duration)
        return log_above(spread.longer()[_bins_up_to(self.at_most_s)], spread.total, 1.0 - self.quantile)


_BIN_CUTS: Final = range(0, LAST_BIN, 2)


@dataclass(frozen=True, slots=True)
class QuantileGrowth:
    """The candidate's quantile is at most the old policy's times 1 + growth (0.05 for +5 %).

    If so, then for every cut t: more than the rest (for p95: 5 %) of the old durations is longer than t, or at most the
    rest of the new ones is longer than t·(1 + growth). These are claims on shares, so no shape of the durations is
    assumed; Howard and Ramdas, "Sequential estimation of quantiles", Bernoulli 28 (2022), go from quantiles to shares
    likewise. The growth is rounded up to bins of 2 %.
    """

    name: str
    text: str
    duration: str
    quantile: float
    growth: float
    in_shadow: bool = False
    in_enforce: bool = True
    compares: bool = True

    def seen(self, measures: Measures) -> int:
        return min(measures.old.spread(self.duration).total, measures.candidate.spread(self.duration).total)

    def found(self, measures: Measures) -> str:
        old, new = measures.old.spread(self.duration), measures.candidate.spread(self.duration)
        now = _told_s(new.quantile_s(self.quantile), new.total)
        return f"{now}, before {_told_s(old.quantile_s(self.quantile), old.total)}"

    def log_evidence(self, measures: Measures) -> float:
        old, new = measures.old.spread(self.duration), measures.candidate.spread(self.duration)
        rest, shift = 1.0 - self.quantile, math.ceil(math.log1p(self.growth) / math.log(RATIO))
        before, now = old.longer(), [*new.longer()[shift:], *([0] * shift)]
        most_old, most_new = rest * old.total, rest * new.total
        between = (cut for cut in _BIN_CUTS if before[cut] < most_old and now[cut] > most_new)
        pairs = ((log_below(before[t], old.total, rest), log_above(now[t], new.total, rest)) for t in between)
        return log_split(pairs, len(_BIN_CUTS))


def _bins_up_to(seconds: float) -> int:
    """The first bin that ends there or later."""
    bin_ = max(0, math.floor(math.log(seconds / FLOOR_S) / math.log(RATIO)))
    return next(at for at in range(min(bin_, LAST_BIN), LAST_BIN + 1) if end_of(at) >= seconds or at == LAST_BIN)


def _told_s(seconds: float, count: int) -> str:
    return f"{seconds:.3g} s in {count}" if count else "none"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one gate stands. log_evidence: may be infinite. bound: where it is breached."""

    gate: Gate
    log_evidence: float
    bound: float
    found: str

    @property
    def breached(self) -> bool:
        """Whether the evidence has reached the bound."""
        return self.log_evidence >= self.bound

    def __str__(self) -> str:
        return f"{self.gate.name}: {self.found}; allowed is {self.gate.text}"


def standings(gates: Sequence[Gate], measures: Measures, alpha: float, run: int) -> tuple[Standing, ...]:
    """How each gate stands in a run, counted from 1.

    Run r may spend alpha / (r·(r + 1)), in equal parts on its gates: the sum over any number of runs is below alpha.
    """
    bound = math.log(len(gates) * run * (run + 1) / alpha) if gates else math.inf
    return tuple(Standing(gate, gate.log_evidence(measures), bound, gate.found(measures)) for gate in gates)
