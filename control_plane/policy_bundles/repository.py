"""Queries of issued bundles and of the registered keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from control_plane.policy_admin.repository import PolicyRepository
from control_plane.policy_bundles.tables import PolicyBundleRow, PolicyKeyRow
from control_plane.policy_rollouts.repository import PolicyRolloutRepository


class BundleRepository:
    """Reads and adds inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: PolicyBundleRow | PolicyKeyRow) -> None:
        """Add a row."""
        self._session.add(row)
        await self._session.flush()

    async def key(self) -> PolicyKeyRow | None:
        """The key that signs bundles at present."""
        return await self._session.scalar(select(PolicyKeyRow).order_by(PolicyKeyRow.id.desc()).limit(1))

    async def newest(self, policy_version: int, *, whole: bool = False) -> PolicyBundleRow | None:
        """The bundle that was issued last for a policy; `whole` with its bytes."""
        query = select(PolicyBundleRow).where(PolicyBundleRow.policy_version == policy_version)
        if whole:
            query = query.options(undefer(PolicyBundleRow.raw))
        return await self._session.scalar(query.order_by(PolicyBundleRow.version.desc()).limit(1))

    async def last(self) -> tuple[int, datetime | None]:
        """The highest version and the latest time of issue, of whichever policies; 0 and None before the first."""
        query = select(func.max(PolicyBundleRow.version), func.max(PolicyBundleRow.issued_at))
        version, issued_at = (await self._session.execute(query)).one()
        return version or 0, issued_at

    async def in_use(self) -> set[int]:
        """The policy versions that devices may be offered: the one in force, and both of an open rollout."""
        present = await PolicyRepository(self._session).activation()
        rollout = await PolicyRolloutRepository(self._session).open()
        found = {present.version} if present else set()
        return found | ({rollout.base_version, rollout.candidate_version} if rollout else set())

    async def forget_expired(self, now: datetime) -> None:
        """Delete what no device would take any more, though never what is offered now: this clock may be wrong."""
        newest = select(func.max(PolicyBundleRow.version)).where(
            PolicyBundleRow.policy_version.in_(await self.in_use())
        )
        over = (
            PolicyBundleRow.not_after < now,
            PolicyBundleRow.version.not_in(newest.group_by(PolicyBundleRow.policy_version)),
        )
        await self._session.execute(delete(PolicyBundleRow).where(*over).execution_options(synchronize_session=False))
