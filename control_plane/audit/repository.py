"""Queries of the audit log."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.tables import AuditRow


class AuditRepository:
    """Adds entries and reads them, newest first."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: AuditRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def page(
        self, *, before_id: int | None, limit: int, action: str | None = None, target: str | None = None
    ) -> Sequence[AuditRow]:
        """Up to `limit` entries with an id below `before_id`, newest first."""
        query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(AuditRow.id < before_id)
        if action is not None:
            query = query.where(AuditRow.action == action)
        if target is not None:
            query = query.where(AuditRow.target == target)
        return (await self._session.scalars(query)).all()
