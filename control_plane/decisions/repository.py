"""Queries of decisions and sealed streams."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.decisions.tables import DecisionRow, SealedStreamRow


@dataclass(frozen=True)
class DecisionFilter:
    """Which decisions to list; None means any. `tier` matches the tier chosen first or the one that spoke last."""

    since: datetime | None = None
    until: datetime | None = None
    tier: str | None = None
    rule: str | None = None
    tenant: str | None = None
    stream_id: str | None = None
    origin: str | None = None
    status: str | None = None


class DecisionRepository:
    """Writes batches and reads pages inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def known(
        self, stream_ids: Collection[str], *, origin: str | None = None, tenant: str | None = None
    ) -> set[str]:
        """Those of `stream_ids` that have a row, of that origin and tenant where they are given."""
        query = select(DecisionRow.stream_id).where(DecisionRow.stream_id.in_(stream_ids))
        for column, value in ((DecisionRow.origin, origin), (DecisionRow.tenant, tenant)):
            if value is not None:
                query = query.where(column == value)
        return set((await self._session.scalars(query)).all())

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """New rows, one statement per set of columns."""
        if rows:
            await self._session.execute(insert(DecisionRow), [dict(row) for row in rows])

    async def update(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Change known rows by their stream_id, one statement per set of columns."""
        if rows:
            await self._session.execute(update(DecisionRow), [dict(row) for row in rows])

    async def get(self, stream_id: str) -> DecisionRow | None:
        """One decision."""
        return await self._session.get(DecisionRow, stream_id)

    async def page(self, wanted: DecisionFilter, *, before_id: str | None, limit: int) -> Sequence[DecisionRow]:
        """Up to `limit` decisions with an id below `before_id`, newest first."""
        query = select(DecisionRow).order_by(DecisionRow.stream_id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(DecisionRow.stream_id < before_id)
        if wanted.since is not None:
            query = query.where(DecisionRow.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(DecisionRow.at < wanted.until)
        if wanted.tier is not None:
            query = query.where(or_(DecisionRow.tier == wanted.tier, DecisionRow.last_tier == wanted.tier))
        for column, value in (
            (DecisionRow.rule, wanted.rule),
            (DecisionRow.tenant, wanted.tenant),
            (DecisionRow.stream_id, wanted.stream_id),
            (DecisionRow.origin, wanted.origin),
            (DecisionRow.status, wanted.status),
        ):
            if value is not None:
                query = query.where(column == value)
        return (await self._session.scalars(query)).all()


class SealedRepository:
    """Sealed streams by id."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    def add(self, row: SealedStreamRow) -> None:
        """Part of the caller's transaction."""
        self._session.add(row)

    async def get(self, stream_id: str) -> SealedStreamRow | None:
        """One sealed stream."""
        return await self._session.get(SealedStreamRow, stream_id)

    async def delete_before(self, moment: datetime) -> None:
        """Forget what was sealed before `moment`."""
        await self._session.execute(delete(SealedStreamRow).where(SealedStreamRow.sealed_at < moment))
