"""Queries of telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.telemetry.tables import TelemetryRow


class TelemetryRepository:
    """Adds, reads and forgets records inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def known(self, node_id: str, stream: str, first_seq: int, last_seq: int) -> set[int]:
        """The sequence numbers of that range which are stored."""
        query = select(TelemetryRow.seq).where(
            TelemetryRow.node_id == node_id,
            TelemetryRow.stream == stream,
            TelemetryRow.seq.between(first_seq, last_seq),
        )
        return set((await self._session.scalars(query)).all())

    async def last_seq(self, node_id: str, stream: str) -> int:
        """The greatest sequence number of a stream that is stored; 0 for none."""
        query = select(func.max(TelemetryRow.seq)).where(TelemetryRow.node_id == node_id, TelemetryRow.stream == stream)
        return await self._session.scalar(query) or 0

    async def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """New records, in order."""
        if rows:
            await self._session.execute(insert(TelemetryRow), [dict(row) for row in rows])

    async def page(
        self, node_id: str, *, kind: str | None, before_id: int | None, limit: int
    ) -> Sequence[TelemetryRow]:
        """Up to `limit` records of a node with an id below `before_id`, the last to arrive first."""
        query = select(TelemetryRow).where(TelemetryRow.node_id == node_id)
        if kind is not None:
            query = query.where(TelemetryRow.kind == kind)
        if before_id is not None:
            query = query.where(TelemetryRow.id < before_id)
        return (await self._session.scalars(query.order_by(TelemetryRow.id.desc()).limit(limit))).all()

    async def surplus(self, node_id: str, keep: int) -> int | None:
        """The newest id of a node's records beyond the `keep` that arrived last; None when there are none."""
        mine = select(TelemetryRow.id).where(TelemetryRow.node_id == node_id)
        found: int | None = await self._session.scalar(mine.order_by(TelemetryRow.id.desc()).offset(keep).limit(1))
        return found

    async def forget_node(self, node_id: str) -> int:
        """Forget everything of a node; returns how many records that were."""
        count = select(func.count()).select_from(TelemetryRow).where(TelemetryRow.node_id == node_id)
        found = await self._session.scalar(count) or 0
        await self._session.execute(delete(TelemetryRow).where(TelemetryRow.node_id == node_id))
        return found

    async def forget(self, node_id: str, up_to_id: int) -> None:
        """Forget a node's records up to that id."""
        gone = delete(TelemetryRow).where(TelemetryRow.node_id == node_id, TelemetryRow.id <= up_to_id)
        await self._session.execute(gone)
