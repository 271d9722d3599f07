"""Schedules: when a job is due by the clock. A tick and its job are one transaction, so any number of tickers may run.

After a time in which none ran, the newest tick that was missed is made up for, and only that one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.jobs.job import NewJob
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.repository import JobRepository

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Every:
    """Every so many seconds, counted from 1970."""

    seconds: int

    def newest(self, now: datetime) -> datetime:
        """The latest moment that is not after `now`."""
        return _EPOCH + timedelta(seconds=int((now - _EPOCH).total_seconds()) // self.seconds * self.seconds)


@dataclass(frozen=True)
class Daily:
    """Every day at this time, UTC."""

    at: time

    def newest(self, now: datetime) -> datetime:
        """The latest moment that is not after `now`."""
        today = datetime.combine(now.astimezone(UTC).date(), self.at, tzinfo=UTC)
        return today if today <= now else today - timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A job that is due again and again. `payload` is made of the due moment; one job of it is live at a time."""

    name: str
    kind: str
    when: Every | Daily
    payload: Callable[[datetime], Mapping[str, Any]] = lambda due_at: {}


class Ticker:
    """Adds the jobs that are due."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        schedules: Sequence[Schedule],
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._queue = queue
        self._schedules = schedules
        self._now = now
        self._ticked: dict[str, datetime] = {}

    async def tick(self) -> list[str]:
        """The names of the schedules whose job was added now, by this ticker."""
        return [schedule.name for schedule in self._schedules if await self._tick(schedule)]

    async def _tick(self, schedule: Schedule) -> bool:
        due_at = schedule.when.newest(self._now())
        if self._ticked.get(schedule.name) == due_at:
            return False
        added = await self._database.retried(lambda session: self._add(session, schedule, due_at))
        self._ticked[schedule.name] = due_at
        return added

    async def _add(self, session: AsyncSession, schedule: Schedule, due_at: datetime) -> bool:
        """The job is there if and only if the tick is: both are one transaction."""
        new = NewJob(kind=schedule.kind, key=schedule.name, payload=schedule.payload(due_at))
        ticks = JobRepository(session)
        if not await ticks.add_tick(schedule.name, due_at):
            return False
        await self._queue.add(session, new)
        return True
