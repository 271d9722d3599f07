"""Queries of policy versions and activations."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from control_plane.policy_admin.tables import PolicyActivationRow, PolicyVersionRow


class PolicyRepository:
    """Reads and adds inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, row: PolicyVersionRow | PolicyActivationRow) -> None:
        """Add a row and learn its number."""
        self._session.add(row)
        await self._session.flush()

    async def get(self, version: int) -> PolicyVersionRow | None:
        """One version."""
        return await self._session.get(PolicyVersionRow, version)

    async def page(self, *, below: int | None, limit: int) -> Sequence[PolicyVersionRow]:
        """Up to `limit` versions below the number `below`, newest first."""
        query = select(PolicyVersionRow).order_by(PolicyVersionRow.version.desc()).limit(limit)
        if below is not None:
            query = query.where(PolicyVersionRow.version < below)
        return (await self._session.scalars(query)).all()

    async def activation(self, activation_id: int | None = None) -> PolicyActivationRow | None:
        """One activation with its policy; without an id the present one."""
        query = select(PolicyActivationRow).options(joinedload(PolicyActivationRow.policy))
        if activation_id is not None:
            query = query.where(PolicyActivationRow.id == activation_id)
        return await self._session.scalar(query.order_by(PolicyActivationRow.id.desc()).limit(1))
