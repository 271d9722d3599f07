"""What a policy answers: Decision, and the Explanation that shows how it came about. Plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.facts import FactValue
from policies.modes import Mode

DEFAULT_RULE_ID: Final = "default"
ON_ERROR_RULE_ID: Final = "onError"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits for the answer, in seconds from the decision; None leaves the choice to the runner."""

    first_token_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """One change of one fact that would have led to another mode. `value` None: the fact being absent."""

    fact: str
    actual: FactValue | None
    value: FactValue | None
    mode: Mode
    rule_id: str

    def __str__(self) -> str:
        return f"{self.fact} {_shown(self.actual)} → {_shown(self.value)} would give {self.mode} ({self.rule_id})"


def _shown(value: FactValue | None) -> str:
    return "absent" if value is None else repr(value)


@dataclass(frozen=True, slots=True)
class Decision:
    """How one request is answered, and why.

    mode: what the runner does first.
    fallback: modes it tries next, in this order, when one fails before its first token; never empty for `prefer-…`
        unless an invariant took the fallback away.
    rule_id: the rule that matched; "default" when none did; "onError" when evaluation failed.
    errors: sentences: what failed in evaluation, which invariant changed the outcome. Empty in the normal case.
    clamped_by: names of the invariants that changed the outcome.
    flips: filled by `Policy.explain` only.
    """

    mode: Mode
    rule_id: str
    reason: str
    fallback: tuple[Mode, ...] = ()
    timeouts: Timeouts = field(default_factory=Timeouts)
    errors: tuple[str, ...] = ()
    clamped_by: tuple[str, ...] = ()
    policy_name: str = ""
    policy_digest: str = ""
    flips: tuple[Flip, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields under their own names; `from_dict` reads them back."""
        return {
            "mode": str(self.mode),
            "rule_id": self.rule_id,
            "reason": self.reason,
            "fallback": [str(mode) for mode in self.fallback],
            "timeouts": {"first_token_s": self.timeouts.first_token_s, "total_s": self.timeouts.total_s},
            "errors": list(self.errors),
            "clamped_by": list(self.clamped_by),
            "policy_name": self.policy_name,
            "policy_digest": self.policy_digest,
            "flips": [_flip_to_dict(flip) for flip in self.flips],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decision:
        """The decision that `to_dict` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            mode=Mode(data["mode"]),
            rule_id=str(data["rule_id"]),
            reason=str(data["reason"]),
            fallback=tuple(Mode(mode) for mode in data["fallback"]),
            timeouts=Timeouts(data["timeouts"]["first_token_s"], data["timeouts"]["total_s"]),
            errors=tuple(data["errors"]),
            clamped_by=tuple(data["clamped_by"]),
            policy_name=str(data["policy_name"]),
            policy_digest=str(data["policy_digest"]),
            flips=tuple(_flip_from_dict(flip) for flip in data["flips"]),
        )


def _flip_to_dict(flip: Flip) -> dict[str, Any]:
    mode, rule_id = str(flip.mode), flip.rule_id
    return {"fact": flip.fact, "actual": flip.actual, "value": flip.value, "mode": mode, "rule_id": rule_id}


def _flip_from_dict(data: Mapping[str, Any]) -> Flip:
    return Flip(data["fact"], data["actual"], data["value"], Mode(data["mode"]), data["rule_id"])


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """What became of one rule: "matched", "not_matched", "error" or "not_reached", with the facts it read.

    values: fact name → value that the rule saw (None: absent). line: where the rule stands in the document.
    """

    rule_id: str
    when: str
    outcome: str
    values: Mapping[str, FactValue | None]
    line: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every rule's outcome for one set of facts, and which single change would have led elsewhere.

    decision: the same as `Policy.decide` gives, with `flips` filled.
    """

    decision: Decision
    rules: tuple[RuleTrace, ...]
    flips: tuple[Flip, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "decision": self.decision.to_dict(),
            "rules": [_trace_to_dict(trace) for trace in self.rules],
            "flips": [str(flip) for flip in self.flips],
        }


def _trace_to_dict(trace: RuleTrace) -> dict[str, Any]:
    values, line = dict(trace.values), trace.line
    return {"rule_id": trace.rule_id, "when": trace.when, "outcome": trace.outcome, "values": values, "line": line}


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """How one test of the document went. `detail` says what was expected and what came; empty when it passed."""

    __test__ = False

    name: str
    passed: bool
    detail: str
    line: int
    decision: Decision | None = None
