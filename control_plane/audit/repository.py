"""Queries of the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.tables import AuditRow


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to list; None means any. `action` also matches a whole family: `policy` finds `policy.activate`."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    action: str | None = None
    target: str | None = None


class AuditRepository:
    """Adds entries and reads them, newest first."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: AuditRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def page(self, wanted: AuditFilter, *, before_id: int | None, limit: int) -> Sequence[AuditRow]:
        """Up to `limit` entries with an id below `before_id`, newest first."""
        query = _matching(wanted).order_by(AuditRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(AuditRow.id < before_id)
        return (await self._session.scalars(query)).all()


def _matching(wanted: AuditFilter) -> Select[AuditRow]:
    query = select(AuditRow)
    if wanted.since is not None:
        query = query.where(AuditRow.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditRow.at < wanted.until)
    if wanted.actor is not None:
        query = query.where(AuditRow.actor == wanted.actor)
    if wanted.target is not None:
        query = query.where(AuditRow.target == wanted.target)
    if wanted.action is not None:
        family = AuditRow.action.startswith(f"{wanted.action}.", autoescape=True)
        query = query.where((AuditRow.action == wanted.action) | family)
    return query
