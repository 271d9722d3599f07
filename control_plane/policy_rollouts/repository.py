"""Queries of rollouts and of what gateways measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.database import upsert
from control_plane.policy_rollouts.tables import PolicyRolloutCountsRow, PolicyRolloutRow
from policies.rollout import Done, RolledBack

ENDED = (Done.word, RolledBack.word)


class PolicyRolloutRepository:
    """Reads and changes inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: PolicyRolloutRow) -> None:
        """Add a row and learn its number."""
        self._session.add(row)
        await self._session.flush()

    async def get(self, rollout_id: int) -> PolicyRolloutRow | None:
        """One rollout."""
        return await self._session.get(PolicyRolloutRow, rollout_id)

    async def open(self) -> PolicyRolloutRow | None:
        """The rollout that has not ended; there is one at most."""
        query = select(PolicyRolloutRow).where(PolicyRolloutRow.position.not_in(ENDED))
        return await self._session.scalar(query.order_by(PolicyRolloutRow.id.desc()).limit(1))

    async def page(self, *, below: int | None, limit: int) -> Sequence[PolicyRolloutRow]:
        """Up to `limit` rollouts below the number `below`, newest first."""
        query = select(PolicyRolloutRow).order_by(PolicyRolloutRow.id.desc()).limit(limit)
        if below is not None:
            query = query.where(PolicyRolloutRow.id < below)
        return (await self._session.scalars(query)).all()

    async def change(self, rollout_id: int, revision: int, values: Mapping[str, Any]) -> bool:
        """Store its next revision; False when it is not at `revision` any more."""
        statement = (
            update(PolicyRolloutRow)
            .where(PolicyRolloutRow.id == rollout_id, PolicyRolloutRow.revision == revision)
            .values(revision=revision + 1, **values)
            .execution_options(synchronize_session=False)
        )
        return cast(CursorResult[Any], await self._session.execute(statement)).rowcount == 1

    async def put_totals(self, rollout_id: int, run: int, gateway: str, totals: Any, at: datetime) -> None:
        """What a gateway has measured in a run, in the place of what it told before."""
        row = {"rollout_id": rollout_id, "run": run, "gateway": gateway, "totals": totals, "counted_at": at}
        await upsert(self._session, PolicyRolloutCountsRow, [row], key=("rollout_id", "run", "gateway"))

    async def totals(self, rollout_id: int, run: int | None = None) -> Sequence[PolicyRolloutCountsRow]:
        """What gateways measured, in one run or in all."""
        query = select(PolicyRolloutCountsRow).where(PolicyRolloutCountsRow.rollout_id == rollout_id)
        if run is not None:
            query = query.where(PolicyRolloutCountsRow.run == run)
        return (await self._session.scalars(query)).all()
