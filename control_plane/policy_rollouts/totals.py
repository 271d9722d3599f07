"""What one gateway measures in one run of a rollout, and sums of it. Nothing is judged or stored here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from policies import Decision
from policies.decision import ON_ERROR_RULE_ID
from policies.modes import Mode
from policies.rollout import (
    NOTHING_MEASURED,
    Counts,
    Measures,
    Refusal,
    RolloutError,
    Share,
    Spread,
    Tally,
    differ,
    read_counts,
)
from policies.rollout.counts import MAX_COUNT, bin_of

Moved = Mapping[tuple[Mode, Mode], int]


@dataclass(frozen=True, slots=True)
class Totals:
    """What was measured since a run began. modes: compared decisions with another mode, by (old, candidate's)."""

    measures: Measures = NOTHING_MEASURED
    modes: Moved = field(default_factory=dict)

    def __add__(self, other: Totals) -> Totals:
        mine, theirs = self.measures, other.measures
        measures = Measures(_sum(mine.old, theirs.old), _sum(mine.candidate, theirs.candidate))
        return Totals(measures, Counter(self.modes) + Counter(other.modes))

    @property
    def tally(self) -> Tally:
        """The decisions that were compared; where the candidate decides, none are."""
        old, candidate = self.measures.old, self.measures.candidate
        changes = candidate.share("decisionChange")
        if not changes.of:
            return Tally()
        errors = old.share("decisionErrors").hits, candidate.share("decisionErrors").hits
        return Tally(changes.of, changes.hits, *errors, self.modes)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        modes = [[str(old), str(new), count] for (old, new), count in sorted(self.modes.items())]
        return {"old": self.measures.old.to_dict(), "candidate": self.measures.candidate.to_dict(), "modes": modes}

    @classmethod
    def from_dict(cls, data: Any) -> Totals:
        """What `to_dict` wrote. Raises RolloutError, and nothing else."""
        if not isinstance(data, Mapping) or data.keys() != {"old", "candidate", "modes"}:
            raise RolloutError(Refusal.RECORD, "totals: expected a map with old, candidate, modes")
        measures = Measures(read_counts(data["old"], "totals.old"), read_counts(data["candidate"], "totals.candidate"))
        return cls(measures, _read_modes(data["modes"]))


def total(parts: Iterable[Totals]) -> Totals:
    """The sum of them. Raises RolloutError where it is too large to be true."""
    return sum(parts, Totals())


def _sum(one: Counts, other: Counts) -> Counts:
    shares = {name: _added(one.share(name), other.share(name)) for name in {**one.shares, **other.shares}}
    spreads = {
        name: Spread(Counter(one.spread(name).bins) + Counter(other.spread(name).bins))
        for name in {**one.spreads, **other.spreads}
    }
    return Counts(shares, spreads)


def _added(one: Share, other: Share) -> Share:
    return Share(one.hits + other.hits, one.of + other.of)


def _read_modes(data: Any) -> Moved:
    try:
        moved = {(Mode(old), Mode(new)): count for old, new, count in data}
    except (TypeError, ValueError) as error:
        raise _bad_modes() from error
    if not all(type(count) is int and 0 <= count <= MAX_COUNT for count in moved.values()):
        raise _bad_modes()
    return moved


def _bad_modes() -> RolloutError:
    return RolloutError(Refusal.RECORD, "totals.modes: expected pairs of modes with counts")


class _Side:
    """One policy's counts, growing."""

    __slots__ = ("_hits", "_of", "_spreads")

    def __init__(self) -> None:
        self._hits: Counter[str] = Counter()
        self._of: Counter[str] = Counter()
        self._spreads: dict[str, Counter[int]] = {"firstToken": Counter(), "total": Counter()}

    def told(self, name: str, hit: bool) -> None:
        self._of[name] += 1
        self._hits[name] += hit

    def took(self, name: str, seconds: float | None) -> None:
        """A duration; None and 0 are those of an answer that never came so far."""
        if seconds:
            self._spreads[name][bin_of(seconds)] += 1

    def counts(self) -> Counts:
        shares = {name: Share(self._hits[name], of) for name, of in self._of.items()}
        return Counts(shares, {name: Spread(dict(bins)) for name, bins in self._spreads.items() if bins})


class RunMeter:
    """What this gateway measures in one run. `revision` grows with everything it is told."""

    def __init__(self) -> None:
        self.revision = 0
        self._old = _Side()
        self._candidate = _Side()
        self._modes: Counter[tuple[Mode, Mode]] = Counter()

    def compared(self, old: Decision, candidate: Decision) -> None:
        """Shadow: both policies decided one request."""
        self.revision += 1
        self._old.told("decisionErrors", old.rule_id == ON_ERROR_RULE_ID)
        self._candidate.told("decisionErrors", candidate.rule_id == ON_ERROR_RULE_ID)
        self._candidate.told("decisionChange", differ(old, candidate))
        if old.mode != candidate.mode:
            self._modes[old.mode, candidate.mode] += 1

    def repeated(self, again: bool) -> None:
        """Shadow: a device's record came out the same when it was decided `again`, or not."""
        self.revision += 1
        self._candidate.told("replayUnknown", not again)

    def decided(self, rule_id: str, *, candidate: bool) -> None:
        """Enforce: one of the policies decided a request, by this rule."""
        self.revision += 1
        self._side(candidate).told("decisionErrors", rule_id == ON_ERROR_RULE_ID)

    def ended(
        self, failed: bool | None, first_token_s: float | None, total_s: float | None, *, candidate: bool
    ) -> None:
        """Enforce: an answer ended. failed: None where its client did not wait for the end."""
        self.revision += 1
        side = self._side(candidate)
        side.took("firstToken", first_token_s)
        if failed is not None:
            side.told("errors", failed)
            side.took("total", None if failed else total_s)

    def totals(self) -> Totals:
        """All of it so far."""
        return Totals(Measures(self._old.counts(), self._candidate.counts()), dict(self._modes))

    def _side(self, candidate: bool) -> _Side:
        return self._candidate if candidate else self._old
