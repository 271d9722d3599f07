"""The queries of seeing: the newest answers that ended, with their points, and jobs by state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.decisions.tables import DecisionRow
from control_plane.jobs.tables import JobRow


class AnswerTimes(NamedTuple):
    """Seconds of one answer; None where they were not measured."""

    points: dict[str, float] | None
    first_token_s: float | None
    total_s: float | None


class LatencyRepository:
    """Reads inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def newest(self, *, since: datetime | None, tier: str | None, limit: int) -> Sequence[AnswerTimes]:
        """Up to `limit` answers that ended, newest first; `tier` is the one that spoke last."""
        query = select(DecisionRow.timings_s, DecisionRow.first_token_s, DecisionRow.total_s)
        query = query.where(DecisionRow.total_s.is_not(None)).order_by(DecisionRow.stream_id.desc()).limit(limit)
        if since is not None:
            query = query.where(DecisionRow.at >= since)
        if tier is not None:
            query = query.where(DecisionRow.last_tier == tier)
        return [AnswerTimes(*row) for row in (await self._session.execute(query)).all()]


class JobCounts:
    """How many jobs are in which state."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def by_state(self) -> dict[str, int]:
        """Counts of the states that some job is in."""
        query = select(JobRow.state, func.count()).group_by(JobRow.state)
        rows = (await self._session.execute(query)).all()
        return {row[0]: row[1] for row in rows}
