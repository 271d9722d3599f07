"""What a decision asks beside its mode: models, redaction, escalation, pace, priority, budget, terms of its fallbacks.

A term that nobody spoke of is None or empty: the runner then does as it would without it. Plain frozen data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Final

from policies.modes import Mode


class Redaction(StrEnum):
    """Which text is taken out before a request leaves its device: none, personal and graver, or only secret text."""

    NONE = "none"
    PERSONAL = "personal"
    SECRET = "secret"  # noqa: S105 - a word of documents


REDACTIONS: Final[tuple[Redaction, ...]] = tuple(Redaction)

NOT_CARRIED_OUT: Final = ("redact", "escalate")
"""What a document may ask for and no runner does yet, by its keys: such terms are kept and shown, and warned about."""


@dataclass(frozen=True, slots=True)
class StepTerms:
    """What one fallback asks beside its mode. max_tokens: of the answer. reason: what people are told; may be empty."""

    mode: Mode
    max_tokens: int | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready fields under their own names."""
        return {"mode": str(self.mode), "max_tokens": self.max_tokens, "reason": self.reason}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepTerms:
        """What `to_dict` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        return cls(Mode(data["mode"]), data["max_tokens"], str(data["reason"]))


@dataclass(frozen=True, slots=True)
class Terms:
    """What one decision asks beside its mode, fallback and time limits.

    edge_model, cloud_model: a model's name or version id, or a range of versions such as `>=2.1 <3` (the language's
        `satisfies`), in which the version lies that the model's name ends with.
    redact: see Redaction.
    escalate_below: in a cascade, the confidence, 0 to 1, below which the answer moves to the next tier.
    tokens_per_s: the pace at which the answer is shown, at most.
    priority: -10 (may wait) to 10 (goes first).
    max_tokens: of the answer. max_cost: of the answer, in micro-units as budgets have them.
    fallback: the terms of those fallbacks that have any.
    """

    edge_model: str = ""
    cloud_model: str = ""
    redact: Redaction | None = None
    escalate_below: float | None = None
    tokens_per_s: float | None = None
    priority: int | None = None
    max_tokens: int | None = None
    max_cost: int | None = None
    fallback: tuple[StepTerms, ...] = ()

    def kept_for(self, steps: Iterable[Mode]) -> Terms:
        """The terms when only these fallbacks are left."""
        left = frozenset(steps)
        return replace(self, fallback=tuple(step for step in self.fallback if step.mode in left))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: the terms that say something, under their own names."""
        said = {name: value for name in _NAMES if (value := getattr(self, name)) is not None and value not in ("", ())}
        if self.redact is not None:
            said["redact"] = str(self.redact)
        if self.fallback:
            said["fallback"] = [step.to_dict() for step in self.fallback]
        return said

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Terms:
        """The terms that `to_dict` wrote. Raises KeyError, TypeError or ValueError on anything else."""
        redact = Redaction(data["redact"]) if "redact" in data else None
        fallback = tuple(StepTerms.from_dict(step) for step in data.get("fallback", ()))
        return cls(**{**data, "redact": redact, "fallback": fallback})


NO_TERMS: Final = Terms()
_NAMES: Final = tuple(field.name for field in fields(Terms))
