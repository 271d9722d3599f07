"""Explanation: a decision with what became of every rule and clause, and what would have flipped it. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from policies.decision import Decision, Flip
from policies.trace import RuleTrace


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every rule's outcome for one set of facts, and which smallest changes would have led elsewhere.

    decision: the same as `Policy.decide` gives, with `flips` filled.
    """

    decision: Decision
    rules: tuple[RuleTrace, ...]
    flips: tuple[Flip, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "decision": self.decision.to_dict(),
            "rules": [rule.to_dict() for rule in self.rules],
            "flips": [str(flip) for flip in self.flips],
        }
