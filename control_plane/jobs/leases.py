"""JobLeases: claiming jobs, keeping and losing them, ending them; every step fenced by the claim's epoch.

Times are this process's wall clock: hosts whose clocks disagree by less than a lease never disturb each other, and
those that disagree by more repeat work, but cannot commit it twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.jobs.errors import JobFencedError
from control_plane.jobs.job import ERROR_MAX_CHARS, ClaimedJob, JobState, Progress
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobRepository
from control_plane.jobs.tables import JobRow

BACKOFF_S = 1.0
BACKOFF_MAX_S = 60.0
REAP_LIMIT = 100
LAPSED = "the lease ran out: its holder died or was cut off"
_CANDIDATES = 8


def backoff_s(attempt: int) -> float:
    """How long to wait after the failure of attempt number `attempt`, counted from 1."""
    return float(min(BACKOFF_S * 2.0 ** (attempt - 1), BACKOFF_MAX_S))


class JobLeases:
    """What a worker, a node or the reaper does with jobs."""

    def __init__(self, database: Database, registry: Registry, *, now: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._registry = registry
        self._now = now

    async def claim(self, job_id: str, kind: str, holder: str) -> ClaimedJob | None:
        """The right to work on this job; None when it is not due, held by somebody, or over."""
        lease = timedelta(seconds=self._registry.get(kind).lease_s)

        async def work(session: AsyncSession) -> JobRow | None:
            now = self._now()
            jobs = JobRepository(session)
            return await jobs.claim(job_id, kind, holder=holder, now=now, lease_until=now + lease)

        row = await self._database.retried(work)
        return _claimed(row) if row else None

    async def claim_any(self, kinds: Collection[str], holder: str) -> ClaimedJob | None:
        """The right to work on the job of these kinds that waits longest; None when none is free."""
        async with self._database.reading() as session:
            rows = await JobRepository(session).due(kinds, self._now(), _CANDIDATES)
        for row in rows:
            if claimed := await self.claim(row.id, row.kind, holder):
                return claimed
        return None

    async def renew(self, job: ClaimedJob, progress: Progress | None = None) -> datetime:
        """Keep the lease; when it now ends. Raises JobFencedError."""
        until = self._now() + timedelta(seconds=self._registry.get(job.kind).lease_s)
        await self._held(job, lambda jobs: jobs.renew(job.id, job.epoch, until, progress))
        return until

    async def fence(self, session: AsyncSession, job: ClaimedJob) -> None:
        """Make the caller's transaction commit under this claim or not at all. Raises JobFencedError."""
        until = self._now() + timedelta(seconds=self._registry.get(job.kind).lease_s)
        if not await JobRepository(session).renew(job.id, job.epoch, until):
            raise JobFencedError(job.id, job.epoch)

    async def step(self, session: AsyncSession, job: ClaimedJob, name: str) -> bool:
        """Whether the step is still to do; its note and its effect share the caller's transaction.

        Raises JobFencedError.
        """
        await self.fence(session, job)
        return await JobRepository(session).add_step(job.id, name, self._now())

    async def complete(self, job: ClaimedJob, result: Mapping[str, Any] | None) -> None:
        """The job is done. Raises JobFencedError."""
        kept = None if result is None else dict(result)
        await self._held(job, lambda jobs: jobs.end(job.id, job.epoch, "done", self._now(), result=kept))

    async def fail(self, job: ClaimedJob, error: str, *, retry: bool) -> JobState:
        """This attempt failed: what became of the job. Raises JobFencedError."""
        words = error[:ERROR_MAX_CHARS]
        if retry and job.attempt < job.max_attempts:
            later = self._now() + timedelta(seconds=backoff_s(job.attempt))
            await self._held(job, lambda jobs: jobs.requeue(job.id, job.epoch, later, error=words))
            return "queued"
        state: JobState = "dead" if retry else "failed"
        await self._held(job, lambda jobs: jobs.end(job.id, job.epoch, state, self._now(), error=words))
        return state

    async def give_back(self, job: ClaimedJob) -> None:
        """Let another take the job at once; the attempt does not count. Raises JobFencedError."""
        await self._held(job, lambda jobs: jobs.requeue(job.id, job.epoch, self._now(), error=None, give_back=True))

    async def lapse(self, job_id: str, holder_prefix: str) -> None:
        """A holder of ours is known to be dead: do not wait for its lease."""
        async with self._database.session() as session:
            await JobRepository(session).lapse(job_id, holder_prefix, self._now())

    async def reap(self) -> int:
        """Make jobs whose lease ran out claimable again, or dead; how many there were."""
        now = self._now()
        async with self._database.reading() as session:
            rows = await JobRepository(session).lost(now, REAP_LIMIT)
        for row in rows:
            await self._reap(row, now)
        return len(rows)

    async def _reap(self, row: JobRow, now: datetime) -> None:
        """Conditional on the epoch that was seen; a holder that renewed in between is fenced, and loses nothing but
        its attempt."""
        async with self._database.session() as session:
            jobs = JobRepository(session)
            if row.attempt >= row.max_attempts:
                await jobs.end(row.id, row.epoch, "dead", now, error=LAPSED)
            else:
                await jobs.requeue(row.id, row.epoch, now, error=LAPSED)

    async def _held(self, job: ClaimedJob, change: Callable[[JobRepository], Any]) -> None:
        async def work(session: AsyncSession) -> bool:
            return bool(await change(JobRepository(session)))

        if not await self._database.retried(work):
            raise JobFencedError(job.id, job.epoch)


def _claimed(row: JobRow) -> ClaimedJob:
    assert row.lease_until is not None
    return ClaimedJob(
        id=row.id,
        kind=row.kind,
        payload=row.payload,
        epoch=row.epoch,
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        lease_until=row.lease_until,
    )
