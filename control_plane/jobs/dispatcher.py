"""Dispatcher: the loop that repeats lost wake-ups, takes dead holders' jobs back, ticks, and forgets old jobs.

Any number of them may run: every step is a conditional change that one of them wins.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.queue import Waker
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobRepository
from control_plane.jobs.tables import JobRow
from control_plane.jobs.ticks import Ticker

RESEND_S = 2.0
RESEND_MAX_S = 30.0
SEND_LIMIT = 256
KEEP_DONE = timedelta(days=1)
KEEP_OTHERS = timedelta(days=30)
KEEP_TICKS = timedelta(days=2)
"""Longer than the longest period of a schedule."""
FORGET_EVERY = timedelta(minutes=10)


class Dispatcher:
    """`step` does everything once."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        leases: JobLeases,
        waker: Waker,
        ticker: Ticker,
        *,
        resend_s: float = RESEND_S,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._registry = registry
        self._leases = leases
        self._waker = waker
        self._ticker = ticker
        self._resend = timedelta(seconds=resend_s)
        self._now = now
        self._forgot_at: datetime | None = None

    async def step(self) -> None:
        """Reap, tick, send, forget. Raises DatabaseUnavailableError."""
        await self._leases.reap()
        await self._ticker.tick()
        await self.send()
        await self._forget()

    async def send(self) -> int:
        """Send a wake-up for each due job that has none, or whose last one brought nobody; how many."""
        now = self._now()
        async with self._database.reading() as session:
            kinds = self._registry.names(for_nodes=False)
            jobs = await JobRepository(session).silent(kinds, now, now - self._resend, SEND_LIMIT)
        late = [job for job in jobs if self._is_late(job, now)]
        if not late:
            return 0
        async with self._database.session() as session:
            mine = [job for job in late if await JobRepository(session).mark_sent(job, now)]
        for job in mine:
            self._waker.wake(job.id, self._registry.get(job.kind))
        return len(mine)

    def _is_late(self, job: JobRow, now: datetime) -> bool:
        """The longer a job waits, the rarer its wake-ups: where all workers are busy, they pile up at the broker."""
        if job.dispatched_at is None:
            return True
        pause = min(max((now - job.run_after) / 2, self._resend), timedelta(seconds=RESEND_MAX_S))
        return now - job.dispatched_at >= pause

    async def _forget(self) -> None:
        now = self._now()
        if self._forgot_at is not None and now - self._forgot_at < FORGET_EVERY:
            return
        self._forgot_at = now
        async with self._database.session() as session:
            await JobRepository(session).forget(
                done_before=now - KEEP_DONE, others_before=now - KEEP_OTHERS, ticks_before=now - KEEP_TICKS
            )
