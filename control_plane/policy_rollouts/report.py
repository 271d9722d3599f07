"""How one rollout stands: stages, gates with their evidence, what it waits for, what was compared, who did what.

Read from SQL; the totals are those that gateways stored within the last second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from control_plane.audit.repository import AuditFilter
from control_plane.audit.service import AuditTrail
from control_plane.audit.tables import AuditRow
from control_plane.database import Database
from control_plane.policy_rollouts.book import target
from control_plane.policy_rollouts.errors import RolloutDamagedError, RolloutNotFoundError
from control_plane.policy_rollouts.repository import PolicyRolloutRepository
from control_plane.policy_rollouts.stored import Stored, read_plan, read_state, read_totals
from control_plane.policy_rollouts.tables import PolicyRolloutCountsRow, PolicyRolloutRow
from policies.rollout import Measures, OnHold, RolledBack, Running, Scheduled, Standing, Tally, Ticked, Waiting, advance
from policies.rollout.gates import standings

TIMELINE_MAX = 200


@dataclass(frozen=True, slots=True)
class Known:
    """What a rollout that can be read says. run: the present one, or the last; 0 before the first.

    waits_for: what the present stage, or the beginning, still needs; empty when it needs nothing, or has ended.
    """

    stored: Stored
    run: int
    measures: Measures
    standings: Sequence[Standing]
    waits_for: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Report:
    """One rollout. known: None when what is stored is damaged. timeline: the oldest first."""

    row: PolicyRolloutRow
    timeline: Sequence[AuditRow]
    known: Known | None = None
    damage: str = ""


async def report(database: Database, audit: AuditTrail, rollout_id: int, now: datetime) -> Report:
    """Raises RolloutNotFoundError."""
    async with database.reading() as session:
        rollouts = PolicyRolloutRepository(session)
        row, counted = await rollouts.get(rollout_id), await rollouts.totals(rollout_id)
    if row is None:
        raise RolloutNotFoundError(rollout_id)
    timeline = [*reversed(await audit.search(AuditFilter(target=target(rollout_id)), limit=TIMELINE_MAX))]
    try:
        return Report(row, timeline, await asyncio.to_thread(_known, row, counted, now.timestamp()))
    except RolloutDamagedError as error:
        return Report(row, timeline, damage=error.message)


def _known(row: PolicyRolloutRow, counted: Sequence[PolicyRolloutCountsRow], now_s: float) -> Known:
    stored = read_state(row, read_plan(row))
    plan, state = stored.plan, stored.state
    run = getattr(state.position, "run", 0) or max((each.run for each in counted), default=0)
    measures = state.measures
    if not _is_settled(stored):
        measures = read_totals(row.id, [each for each in counted if each.run == run]).measures
    gates = standings(plan.gates, measures, plan.alpha, run) if run else ()
    tally = sum((read_totals(row.id, [each]).tally for each in counted), Tally())
    return Known(stored, run, measures, gates, _waits_for(stored, measures, now_s), tally)


def _is_settled(stored: Stored) -> bool:
    """Whether a gate was breached: then the measures are those that did it, whatever was counted afterwards."""
    match stored.state.position:
        case OnHold(breached=gate) | RolledBack(breached=gate):
            return bool(gate)
        case _:
            return False


def _waits_for(stored: Stored, measures: Measures, now_s: float) -> str:
    plan, state = stored.plan, stored.state
    match state.position:
        case Waiting():
            return f"{plan.approvals.count - len(state.approvals)} more approvals"
        case OnHold():
            return "a person: resume it, or roll it back"
        case Scheduled() | Running():
            step = advance(plan, replace(state, measures=measures), Ticked(now_s))
            return "" if step.moved else step.reason
        case _:
            return ""
