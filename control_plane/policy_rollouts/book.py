"""RolloutBook: how rows of rollouts change, each time with an audit entry, in the caller's transaction.

What may happen is said by `policies.rollout`; when it happens, by the service.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import SYSTEM, AuditTrail
from control_plane.policy_admin.errors import PolicyNotFoundError
from control_plane.policy_admin.repository import PolicyRepository
from control_plane.policy_admin.service import NAME_CHARS, Issue, PolicyStore
from control_plane.policy_admin.tables import PolicyVersionRow
from control_plane.policy_rollouts.errors import CandidateError, RolloutDamagedError, RolloutRefusedError
from control_plane.policy_rollouts.repository import ENDED, PolicyRolloutRepository
from control_plane.policy_rollouts.stored import Stored
from control_plane.policy_rollouts.tables import PolicyRolloutRow
from edgewise.wire.errors import EdgewiseError
from policies.rollout import (
    Approved,
    Done,
    HoldAsked,
    Position,
    Resumed,
    RollBackAsked,
    RolledBack,
    RolloutPlan,
    RolloutState,
    Running,
    StageMode,
    Step,
    begin,
    state_to_dict,
)

ACTIVATION: Final = "rollout"
"""The action of the activation that ends a rollout."""

Wish = Approved | HoldAsked | Resumed | RollBackAsked
"""What operators may want of a rollout."""
ACTIONS: Final[Mapping[type[Wish], str]] = {
    Approved: "approve",
    HoldAsked: "hold",
    Resumed: "resume",
    RollBackAsked: "rollback",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Act:
    """A step, and who made it under which action of the audit log."""

    step: Step
    action: str
    actor: str


def target(rollout_id: int) -> str:
    """How the audit log names a rollout."""
    return f"policy_rollout/{rollout_id}"


def told(plan: RolloutPlan, state: RolloutState) -> str:
    """Where it stands, in a few words."""
    stage = getattr(state.position, "stage", None)
    return state.position.word if stage is None else f"{state.position.word} {stage + 1}/{len(plan.stages)}"


class RolloutBook:
    """Writes in transactions that hold the lock POLICIES."""

    def __init__(self, audit: AuditTrail, policies: PolicyStore, issue: Issue, now: Callable[[], datetime]) -> None:
        """`issue` makes a version ready for devices: above all that they hold, since they take no earlier one. An
        EdgewiseError of its comes before it has written anything."""
        self._audit = audit
        self._policies = policies
        self._issue = issue
        self._now = now

    async def add(
        self, session: AsyncSession, plan: RolloutPlan, text: str, candidate: PolicyVersionRow, actor: str
    ) -> PolicyRolloutRow:
        """A new rollout beside the policy in force. Raises CandidateError when that is the candidate already, and what
        `issue` raises for a policy that no device would take."""
        present = await PolicyRepository(session).activation()
        if present is None or present.policy.digest == candidate.digest:
            raise CandidateError(
                f"Version {candidate.version} is what is in force already",
                where="spec.policy",
                expected="a version with other rules",
                remedy="save the new policy first: `edgewise policy save FILE`",
            )
        now = self._now()
        state = begin(plan, actor, now.timestamp())
        row = PolicyRolloutRow(
            name=plan.name[:NAME_CHARS],
            text=text,
            plan_digest=plan.digest,
            candidate_version=candidate.version,
            base_version=present.version,
            state=state_to_dict(state),
            position=state.position.word,
            revision=1,
            author=actor,
            created_at=now,
            changed_at=now,
        )
        await PolicyRolloutRepository(session).add(row)
        await self._issue_version(session, candidate.version)
        self._record(session, row.id, "create", actor, None, f"{told(plan, state)}: {state.reason}")
        return row

    async def save(self, session: AsyncSession, stored: Stored, acts: Sequence[Act]) -> None:
        """Store the state after the last of these, and tell the audit log of each. The candidate comes into force in
        the same transaction as the end of its rollout."""
        after, plan, row = acts[-1].step.state, stored.plan, stored.row
        await self._store(session, row, state_to_dict(after), after.position.word)
        for act in acts:
            before, now = told(plan, act.step.before), told(plan, act.step.state)
            self._record(session, row.id, act.action, act.actor, before, f"{now}: {act.step.reason}")
        if acts[-1].step.moved:
            await self._follow(session, stored, after.position)
        log.info("Policy rollout %d is %s", row.id, told(plan, after))

    async def give_up(
        self, session: AsyncSession, row: PolicyRolloutRow, wish: Wish, error: RolloutDamagedError
    ) -> None:
        """End a damaged rollout: it can be rolled back, and nothing else. Raises `error` for other wishes."""
        if not isinstance(wish, RollBackAsked) or row.position in ENDED:
            raise error
        await self._store(session, row, row.state, RolledBack.word)
        await self._issue_base(session, row)
        why = wish.why or "it was damaged"
        self._record(
            session, row.id, ACTIONS[RollBackAsked], wish.by, f"{row.position} (damaged)", f"{RolledBack.word}: {why}"
        )

    async def _follow(self, session: AsyncSession, stored: Stored, position: Position) -> None:
        """What a position means for the policy in force, and for what devices are offered from now on."""
        row = stored.row
        match position:
            case Done():
                version = await self._version(session, row.candidate_version)
                await self._policies.activate_within(session, version, action=ACTIVATION, actor=SYSTEM)
            case RolledBack():
                await self._issue_base(session, row)
            case Running(stage) if stored.plan.stages[stage].mode is StageMode.ENFORCE:
                await self._issue_version(session, row.candidate_version)

    async def _issue_base(self, session: AsyncSession, row: PolicyRolloutRow) -> None:
        """Rolling back always works: where no bundle can be issued, gateways decide by the old policy all the same, and
        devices get it when bundles are issued again.

        No savepoint: its release counts as a commit for those who wait for one before they offer a bundle.
        """
        try:
            await self._issue_version(session, row.base_version)
        except EdgewiseError as error:
            log.error("%s: no bundle of policy version %d was issued: %s", target(row.id), row.base_version, error)

    async def _issue_version(self, session: AsyncSession, number: int) -> None:
        version = await self._version(session, number)
        await self._issue(session, number, await self._policies.compile(version.text))

    async def _version(self, session: AsyncSession, number: int) -> PolicyVersionRow:
        version = await PolicyRepository(session).get(number)
        if version is None:
            raise PolicyNotFoundError(number)
        return version

    async def _store(self, session: AsyncSession, row: PolicyRolloutRow, state: object, position: str) -> None:
        values = {"state": state, "position": position, "changed_at": self._now()}
        if not await PolicyRolloutRepository(session).change(row.id, row.revision, values):
            raise RolloutRefusedError(
                "Somebody else changed this rollout in the meantime",
                where=f"policy rollout {row.id}",
                remedy=f"see how it stands: `edgewise policy rollout show {row.id}`",
            )

    def _record(
        self, session: AsyncSession, rollout_id: int, action: str, actor: str, before: str | None, after: str
    ) -> None:
        self._audit.record(
            session,
            actor=actor,
            action=f"policy_rollout.{action}",
            target=target(rollout_id),
            before=before,
            after=after,
        )
