"""Queries of issued bundles and of the registered keys."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import undefer

from control_plane.policy_bundles.tables import PolicyBundleRow, PolicyKeyRow


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

    async def last_version(self) -> int:
        """The highest version that was issued, of whichever policy; 0 before the first."""
        return await self._session.scalar(select(func.max(PolicyBundleRow.version))) or 0

    async def forget_expired(self, now: datetime) -> None:
        """Delete what no device would take any more."""
        await self._session.execute(delete(PolicyBundleRow).where(PolicyBundleRow.not_after < now))
