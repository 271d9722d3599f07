"""HTTP shapes of /admin/v1/policy-rollouts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from control_plane.audit.tables import AuditRow
from control_plane.policy_rollouts.report import Known, Report
from control_plane.policy_rollouts.repository import ENDED
from control_plane.policy_rollouts.tables import PolicyRolloutRow
from policies.rollout import OnHold, RolloutPlan, RolloutState, Running, Standing

PositionWord = Literal["waiting", "scheduled", "running", "on-hold", "rolled-back", "done"]


class NewRollout(BaseModel):
    """A rollout to be begun: its PolicyRollout document."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, description="The PolicyRollout document")]


class Why(BaseModel):
    """The reason, for those who come after."""

    model_config = ConfigDict(extra="forbid")

    why: Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")] = ""


class RolloutSummary(BaseModel):
    """A rollout in a list. stage: counted from 1; None outside of stages. open: it has not ended."""

    id: int
    name: str
    candidate_version: int
    base_version: int
    position: PositionWord
    stage: int | None
    open: bool
    reason: str
    author: str
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, row: PolicyRolloutRow) -> RolloutSummary:
        """From the row alone; a damaged state has no stage and no reason."""
        state = row.state if isinstance(row.state, Mapping) else {}
        position = state.get("position")
        stage = position.get("stage") if isinstance(position, Mapping) else None
        return cls(
            id=row.id,
            name=row.name,
            candidate_version=row.candidate_version,
            base_version=row.base_version,
            position=row.position,  # type: ignore[arg-type]
            stage=stage + 1 if isinstance(stage, int) else None,
            open=row.position not in ENDED,
            reason=str(state.get("reason", "")),
            author=row.author,
            created_at=row.created_at,
            changed_at=row.changed_at,
        )


class RolloutPage(BaseModel):
    """Rollouts, newest first."""

    items: list[RolloutSummary]
    next: int | None


class StageView(BaseModel):
    """One stage. for_s, elapsed_s: seconds, the time on hold not counted; for_s is None where it has no length."""

    mode: Literal["shadow", "enforce"]
    percent: float
    for_s: float | None
    state: Literal["over", "now", "ahead"]
    elapsed_s: float


class GateView(BaseModel):
    """How a gate stands. evidence: from 0 to 1, where it is breached. seen, needed: measures, before the stage may end;
    due: whether the present stage must have them."""

    name: str
    limit: str
    found: str
    seen: int
    needed: int
    due: bool
    evidence: float
    breached: bool


class ApprovalsView(BaseModel):
    """Who agreed, by key id, and how many must."""

    needed: int
    by: list[str]
    self_approve: bool


class MovedView(BaseModel):
    """Compared decisions that would go from one mode to another."""

    old: str
    candidate: str
    count: int


class TallyView(BaseModel):
    """Decisions that both policies made, over all shadow stages. newly_leaving: those that would leave their device and
    do not today."""

    decided: int
    changed: int
    old_errors: int
    candidate_errors: int
    newly_leaving: int
    modes: list[MovedView]


class MomentView(BaseModel):
    """One line of the timeline."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    actor: str
    action: str
    before: str | None
    after: str | None


class RolloutView(RolloutSummary):
    """A rollout with all that is known of it. damage: why what is stored cannot be used; the rest is empty then.

    waits_for: what the present stage, or the beginning, still needs.
    """

    text: str
    plan_digest: str
    revision: int
    by: str = ""
    on_breach: str = ""
    waits_for: str = ""
    damage: str = ""
    stages: list[StageView] = []
    gates: list[GateView] = []
    approvals: ApprovalsView | None = None
    tally: TallyView | None = None
    timeline: list[MomentView] = []

    @classmethod
    def of_report(cls, found: Report, now: datetime) -> RolloutView:
        """The shape of a report."""
        row = found.row
        fields: dict[str, Any] = RolloutSummary.of(row).model_dump()
        fields |= {"text": row.text, "plan_digest": row.plan_digest, "revision": row.revision, "damage": found.damage}
        if found.known is not None:
            fields |= _known(found.known, now.timestamp())
        return cls(**fields, timeline=[_moment(each) for each in found.timeline])


def _known(known: Known, now_s: float) -> dict[str, Any]:
    plan, state = known.stored.plan, known.stored.state
    approvals = ApprovalsView(
        needed=plan.approvals.count, by=list(state.approvals), self_approve=plan.approvals.self_approve
    )
    return {
        "by": plan.by,
        "on_breach": str(plan.on_breach),
        "waits_for": known.waits_for,
        "stages": [_stage(plan, state, at, now_s) for at in range(len(plan.stages))],
        "gates": [_gate(plan, state, known, each) for each in known.standings] or _gates_ahead(plan),
        "approvals": approvals,
        "tally": TallyView(**known.tally.to_dict()),
    }


def _stage(plan: RolloutPlan, state: RolloutState, at: int, now_s: float) -> StageView:
    stage, position = plan.stages[at], state.position
    now = getattr(position, "stage", len(plan.stages) if position.word == "done" else -1)
    elapsed_s = 0.0
    match position:
        case Running(stage=present, elapsed_s=before) if present == at:
            elapsed_s = before + max(0.0, now_s - state.since_s)
        case OnHold(stage=present, elapsed_s=before) if present == at:
            elapsed_s = before
    return StageView(
        mode=stage.mode.value,
        percent=stage.percent,
        for_s=stage.for_s,
        state="over" if at < now else "now" if at == now else "ahead",
        elapsed_s=elapsed_s,
    )


def _gate(plan: RolloutPlan, state: RolloutState, known: Known, standing: Standing) -> GateView:
    at = getattr(state.position, "stage", None)
    share = standing.log_evidence / standing.bound
    return GateView(
        name=standing.gate.name,
        limit=standing.gate.text,
        found=standing.found,
        seen=standing.gate.seen(known.measures),
        needed=plan.at_least,
        due=at is not None and standing.gate in plan.due(plan.stages[at]),
        evidence=0.0 if math.isnan(share) else min(1.0, max(0.0, share)),
        breached=standing.breached,
    )


def _gates_ahead(plan: RolloutPlan) -> list[GateView]:
    """Before the first stage there is nothing to stand on."""
    return [
        GateView(
            name=gate.name,
            limit=gate.text,
            found="none",
            seen=0,
            needed=plan.at_least,
            due=False,
            evidence=0.0,
            breached=False,
        )
        for gate in plan.gates
    ]


def _moment(row: AuditRow) -> MomentView:
    return MomentView.model_validate(row)
