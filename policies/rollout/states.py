"""Where a rollout can stand, and what can happen to it. Frozen data; what leads where is in machine.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from policies.rollout.counts import NOTHING_MEASURED, Measures
from policies.rollout.errors import Refusal

# ── where it stands ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Waiting:
    """Approvals are missing."""

    word: ClassVar[str] = "waiting"


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Approved; it begins at its time, in a window."""

    word: ClassVar[str] = "scheduled"


@dataclass(frozen=True, slots=True)
class Running:
    """In a stage, counted from 0. run: counts, from 1, how often measuring began anew. elapsed_s: before `since_s`."""

    word: ClassVar[str] = "running"
    stage: int
    run: int
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class OnHold:
    """The stage stays as it is, and its time stands still. breached: the gate that did it; empty when a person did."""

    word: ClassVar[str] = "on-hold"
    stage: int
    run: int
    elapsed_s: float
    breached: str = ""


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The old policy decides for everybody. breached: the gate that did it; empty when a person did."""

    word: ClassVar[str] = "rolled-back"
    breached: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The candidate decides for everybody."""

    word: ClassVar[str] = "done"


Position = Waiting | Scheduled | Running | OnHold | RolledBack | Done


@dataclass(frozen=True, slots=True)
class RolloutState:
    """All that is to be kept of one rollout.

    plan_digest: of the plan that it follows. author: who asked for it. approvals: who agreed, in that order.
    since_s, reason: since when (seconds since 1970, UTC), and why, it stands where it does.
    measures: the totals of the present run.
    """

    plan_digest: str
    author: str
    position: Position
    since_s: float
    reason: str
    approvals: tuple[str, ...] = ()
    measures: Measures = NOTHING_MEASURED


# ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────
# at_s: when, in seconds since 1970 (UTC). by: who, as the audit log names people.


@dataclass(frozen=True, slots=True)
class Approved:
    """Somebody agrees."""

    by: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed."""

    at_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The totals since a run began, so that telling them twice changes nothing."""

    run: int
    measures: Measures
    at_s: float


@dataclass(frozen=True, slots=True)
class RollBackAsked:
    """Somebody wants the old policy back."""

    by: str
    at_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class HoldAsked:
    """Somebody wants it to go no further for now."""

    by: str
    at_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Somebody lets it go on."""

    by: str
    at_s: float


Event = Approved | Ticked | Measured | RollBackAsked | HoldAsked | Resumed


@dataclass(frozen=True, slots=True)
class Step:
    """What an event did. reason: why it moved, or why it stays. refused: the event made no sense; nothing changed."""

    before: RolloutState
    state: RolloutState
    reason: str
    refused: Refusal | None = None

    @property
    def moved(self) -> bool:
        """Whether it stands elsewhere now."""
        return self.before.position != self.state.position

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for the audit log: from where, to where, since when, why."""
        out = {
            "from": self.before.position.word,
            "to": self.state.position.word,
            "since_s": self.state.since_s,
            "stage": getattr(self.state.position, "stage", None),
            "reason": self.reason,
        }
        return out if self.refused is None else {**out, "refused": str(self.refused)}
