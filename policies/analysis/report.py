"""What analysis answers. Plain frozen data; every witness in it was tried with `Policy.decide`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from policies.decision import Decision
from policies.modes import Mode

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Proved:
    """No facts of the declared types lead to a decision that breaks the invariant, nor do bad ones."""

    invariant: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"invariant": self.invariant, "result": "proved"}


@dataclass(frozen=True, slots=True)
class Refuted:
    """With these facts the rule decides a step that breaks the invariant, and only the guard holds it back."""

    invariant: str
    rule_id: str
    step: Mode
    facts: Facts

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "step": str(self.step), "facts": dict(self.facts), "result": "refuted"}


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither was shown."""

    invariant: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"invariant": self.invariant, "reason": self.reason, "result": "unknown"}


Proof = Proved | Refuted | Unknown


@dataclass(frozen=True, slots=True)
class Reach:
    """Whether a rule, or the default, ever decides: "reached", "contradictory", "shadowed" or "unknown".

    facts: that lead to it, when it is reached. covered_by: the earlier rules that leave nothing to a shadowed one.
    """

    rule_id: str
    result: str
    facts: Facts | None = None
    covered_by: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "covered_by": list(self.covered_by)}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that its author should look at.

    code: "rule-contradictory", "rule-shadowed", "rule-always-holds", "rule-can-fail", "clause-redundant",
        "clause-contradictory", "invariant-broken" or "not-known".
    line, column: from 1. facts: a context that shows it, or None.
    """

    code: str
    message: str
    line: int
    column: int
    rule_id: str = ""
    facts: Facts | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Report:
    """All about one policy. reach: of each rule, then of the default (the gap that the rules leave)."""

    reach: tuple[Reach, ...]
    findings: tuple[Finding, ...]
    proofs: tuple[Proof, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "reach": [each.to_dict() for each in self.reach],
            "findings": [each.to_dict() for each in self.findings],
            "proofs": [each.to_dict() for each in self.proofs],
        }


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of change between two policies: facts, and what either decides for them.

    facts None: it is not known whether `old_rule` and `new_rule` ever decide differently; `reason` says why.
    """

    old_rule: str
    new_rule: str
    facts: Facts | None = None
    old: Decision | None = None
    new: Decision | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "old_rule": self.old_rule,
            "new_rule": self.new_rule,
            "facts": None if self.facts is None else dict(self.facts),
            "old": None if self.old is None else self.old.to_dict(),
            "new": None if self.new is None else self.new.to_dict(),
            "reason": self.reason,
        }
