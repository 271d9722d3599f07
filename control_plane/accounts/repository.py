"""Queries of API keys."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.accounts.tables import ApiKeyRow


class KeyRepository:
    """Reads and adds keys inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: ApiKeyRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def get(self, key_id: str) -> ApiKeyRow | None:
        """One key by id, for this transaction to change."""
        return await self._session.get(ApiKeyRow, key_id, with_for_update=True)

    async def count(self) -> int:
        """Keys ever made."""
        return (await self._session.scalar(select(func.count()).select_from(ApiKeyRow))) or 0

    async def fingerprint(self) -> tuple[object, ...]:
        """Changes whenever a key was made, revoked or rotated: keys are never deleted, and their numbers only grow."""
        made, revoked, rotated = func.count(), func.count(ApiKeyRow.revoked_at), func.max(ApiKeyRow.rotated_at)
        rotations = func.count(ApiKeyRow.rotated_at)
        row = (await self._session.execute(select(made, revoked, rotations, rotated).select_from(ApiKeyRow))).one()
        return tuple(row)

    async def unrevoked(self) -> Sequence[ApiKeyRow]:
        """Every key that was not revoked; some may have expired."""
        return (await self._session.scalars(select(ApiKeyRow).where(ApiKeyRow.revoked_at.is_(None)))).all()

    async def page(self, *, tenant: str | None, before_id: str | None, limit: int) -> Sequence[ApiKeyRow]:
        """Up to `limit` keys, newest first (ids sort by time)."""
        query = select(ApiKeyRow).order_by(ApiKeyRow.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(ApiKeyRow.tenant == tenant)
        if before_id is not None:
            query = query.where(ApiKeyRow.id < before_id)
        return (await self._session.scalars(query)).all()
