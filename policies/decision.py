"""What a policy answers: Decision, and what would have led to another one. Plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from policies.facts import FactValue
from policies.modes import Mode
from policies.terms import NO_TERMS, Terms

DEFAULT_RULE_ID: Final = "default"
ON_ERROR_RULE_ID: Final = "onError"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits for the answer, in seconds from the decision; None leaves the choice to the runner.

    soft_s: when it has passed, the next step starts beside the first one. total_s: the hard one, when all of it ends.
    """

    first_token_s: float | None = None
    total_s: float | None = None
    soft_s: float | None = None

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready fields under their own names."""
        return {"first_token_s": self.first_token_s, "total_s": self.total_s, "soft_s": self.soft_s}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Timeouts:
        """What `to_dict` wrote; records of old have no soft_s. Raises KeyError or TypeError on anything else."""
        return cls(data["first_token_s"], data["total_s"], data.get("soft_s"))


@dataclass(frozen=True, slots=True)
class Change:
    """Another value of one fact. `value` None: the fact being absent."""

    fact: str
    actual: FactValue | None
    value: FactValue | None

    def __str__(self) -> str:
        return f"{self.fact} {_shown(self.actual)} → {_shown(self.value)}"


@dataclass(frozen=True, slots=True)
class Flip:
    """One change of one fact that would have led to another mode, or a few that would `also` have been needed."""

    fact: str
    actual: FactValue | None
    value: FactValue | None
    mode: Mode
    rule_id: str
    also: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All that must change."""
        return (Change(self.fact, self.actual, self.value), *self.also)

    def __str__(self) -> str:
        return f"{' and '.join(map(str, self.changes))} would give {self.mode} ({self.rule_id})"


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
    terms: what it asks beside its mode, in force whatever step answers.
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
    terms: Terms = NO_TERMS

    def asked(self) -> dict[str, Any]:
        """What records keep of it beside mode, rule and fallback; see the function."""
        return asked(self.terms, self.timeouts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields under their own names; `from_dict` reads them back."""
        return {
            "mode": str(self.mode),
            "rule_id": self.rule_id,
            "reason": self.reason,
            "fallback": [str(mode) for mode in self.fallback],
            "timeouts": self.timeouts.to_dict(),
            "terms": self.terms.to_dict(),
            "errors": list(self.errors),
            "clamped_by": list(self.clamped_by),
            "policy_name": self.policy_name,
            "policy_digest": self.policy_digest,
            "flips": [_flip_to_dict(flip) for flip in self.flips],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Decision:
        """The decision that `to_dict` wrote, now or before there were terms.

        Raises KeyError, TypeError or ValueError on anything else.
        """
        return cls(
            mode=Mode(data["mode"]),
            rule_id=str(data["rule_id"]),
            reason=str(data["reason"]),
            fallback=tuple(Mode(mode) for mode in data["fallback"]),
            timeouts=Timeouts.from_dict(data["timeouts"]),
            terms=Terms.from_dict(data.get("terms", {})),
            errors=tuple(data["errors"]),
            clamped_by=tuple(data["clamped_by"]),
            policy_name=str(data["policy_name"]),
            policy_digest=str(data["policy_digest"]),
            flips=tuple(_flip_from_dict(flip) for flip in data["flips"]),
        )


def asked(terms: Terms, timeouts: Timeouts) -> dict[str, Any]:
    """JSON-ready: the terms, and the time limits under `timeouts`; of both only what says something."""
    limits = {name: seconds for name, seconds in timeouts.to_dict().items() if seconds is not None}
    return terms.to_dict() | ({"timeouts": limits} if limits else {})


def _flip_to_dict(flip: Flip) -> dict[str, Any]:
    mode, rule_id = str(flip.mode), flip.rule_id
    out = {"fact": flip.fact, "actual": flip.actual, "value": flip.value, "mode": mode, "rule_id": rule_id}
    also = [{"fact": change.fact, "actual": change.actual, "value": change.value} for change in flip.also]
    return {**out, "also": also} if also else out


def _flip_from_dict(data: Mapping[str, Any]) -> Flip:
    also = tuple(Change(each["fact"], each["actual"], each["value"]) for each in data.get("also", ()))
    return Flip(data["fact"], data["actual"], data["value"], Mode(data["mode"]), data["rule_id"], also)


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """How one test of the document went. `detail` says what was expected and what came; empty when it passed."""

    __test__ = False

    name: str
    passed: bool
    detail: str
    line: int
    decision: Decision | None = None
