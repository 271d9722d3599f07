"""Shadow evaluation: what the candidate would have decided beside what the old policy did decide, as counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from policies.decision import ON_ERROR_RULE_ID, Decision
from policies.modes import Mode, leaves_device
from policies.rollout.counts import Counts, Measures, Share


def differ(old: Decision, candidate: Decision) -> bool:
    """Whether a request would be served otherwise. Another rule or another reason alone is no change."""
    return (old.mode, old.fallback, old.timeouts, old.terms) != (
        candidate.mode,
        candidate.fallback,
        candidate.timeouts,
        candidate.terms,
    )


@dataclass(frozen=True, slots=True)
class Tally:
    """Compared decisions. `a + b` is the tally of both.

    changed: those that `differ`; modes: those of them with another mode, by (old mode, candidate's mode).
    old_errors, candidate_errors: those that came from onError.
    """

    decided: int = 0
    changed: int = 0
    old_errors: int = 0
    candidate_errors: int = 0
    modes: Mapping[tuple[Mode, Mode], int] = field(default_factory=dict)

    @classmethod
    def of(cls, old: Decision, candidate: Decision) -> Tally:
        """Of one request."""
        moved = {(old.mode, candidate.mode): 1} if old.mode != candidate.mode else {}
        return cls(1, int(differ(old, candidate)), _failed(old), _failed(candidate), moved)

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.decided + other.decided,
            self.changed + other.changed,
            self.old_errors + other.old_errors,
            self.candidate_errors + other.candidate_errors,
            Counter(self.modes) + Counter(other.modes),
        )

    @property
    def newly_leaving(self) -> int:
        """How many requests would leave their device that stay on it today."""
        pairs = self.modes.items()
        return sum(count for (old, new), count in pairs if leaves_device(new) and not leaves_device(old))

    @property
    def measures(self) -> Measures:
        """What the gates are told."""
        old = Counts({"decisionErrors": Share(self.old_errors, self.decided)})
        errors = Share(self.candidate_errors, self.decided)
        changes = Share(self.changed, self.decided)
        return Measures(old, Counts({"decisionChange": changes, "decisionErrors": errors}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, the most frequent change of mode first."""
        ordered = sorted(self.modes.items(), key=lambda item: (-item[1], item[0]))
        return {
            "decided": self.decided,
            "changed": self.changed,
            "old_errors": self.old_errors,
            "candidate_errors": self.candidate_errors,
            "newly_leaving": self.newly_leaving,
            "modes": [{"old": str(old), "candidate": str(new), "count": count} for (old, new), count in ordered],
        }


def _failed(decision: Decision) -> int:
    return int(decision.rule_id == ON_ERROR_RULE_ID)
