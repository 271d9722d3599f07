"""A rollout as it is stored, read back: its plan and its state, checked. What is damaged never runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.policy_rollouts.errors import RolloutDamagedError
from control_plane.policy_rollouts.tables import PolicyRolloutCountsRow, PolicyRolloutRow
from control_plane.policy_rollouts.totals import Totals, total
from policies import PolicyError
from policies.rollout import RolloutError, RolloutPlan, RolloutState, load_rollout, restored


@dataclass(frozen=True, slots=True)
class Stored:
    """A row and what it says."""

    row: PolicyRolloutRow
    plan: RolloutPlan
    state: RolloutState


def read_plan(row: PolicyRolloutRow) -> RolloutPlan:
    """The plan of a row. Takes milliseconds. Raises RolloutDamagedError."""
    try:
        plan = load_rollout(row.text)
    except PolicyError as error:
        raise RolloutDamagedError(row.id, f"its plan has errors: {error.problems[0].message}") from error
    if plan.digest != row.plan_digest:
        raise RolloutDamagedError(row.id, "its plan is not the one that was asked for")
    return plan


def read_state(row: PolicyRolloutRow, plan: RolloutPlan) -> Stored:
    """The state of a row whose plan is known. Raises RolloutDamagedError."""
    try:
        state = restored(plan, row.state)
    except RolloutError as error:
        raise RolloutDamagedError(row.id, error.message) from error
    if state.position.word != row.position:
        raise RolloutDamagedError(row.id, f"it is {row.position} by its row and {state.position.word} by its state")
    return Stored(row, plan, state)


def read_totals(rollout_id: int, rows: Iterable[PolicyRolloutCountsRow]) -> Totals:
    """What all gateways measured. Raises RolloutDamagedError."""
    try:
        return total(Totals.from_dict(row.totals) for row in rows)
    except RolloutError as error:
        raise RolloutDamagedError(rollout_id, error.message) from error
