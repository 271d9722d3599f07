"""Jobs: the service behind /admin/v1/jobs. Who changes a job by hand is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.accounts.keyring import Principal
from control_plane.audit.service import AuditTrail, utc_now
from control_plane.database import Database
from control_plane.jobs.errors import JobNotFoundError, JobStateError
from control_plane.jobs.job import NewJob
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.repository import JobFilter, JobRepository
from control_plane.jobs.tables import JobRow
from edgewise.api.errors import IdempotencyKeyReusedError
from edgewise.ids import is_id, new_id
from edgewise.wire.errors import ConflictError

ONCE = "once/"
"""Before the keys of jobs that were added under an idempotency key; 26 characters of the caller's key follow."""


class Jobs:
    """Lists, runs, retries and cancels jobs."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        audit: AuditTrail,
        *,
        now: Callable[[], datetime] = utc_now,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._database = database
        self._queue = queue
        self._audit = audit
        self._now = now
        self._make_id = make_id

    async def page(self, wanted: JobFilter, *, before_id: str | None = None, limit: int = 50) -> Sequence[JobRow]:
        """Jobs, newest first."""
        async with self._database.reading() as session:
            return await JobRepository(session).page(wanted, before_id=before_id, limit=limit)

    async def get(self, job_id: str) -> JobRow:
        """One job. Raises JobNotFoundError."""
        async with self._database.reading() as session:
            return await self._require(session, job_id)

    async def run(self, kind: str, payload: Mapping[str, Any], key: str | None, by: Principal) -> JobRow:
        """Add a job, due now; while one with this key is live, that one is returned. Raises JobKindUnknownError,
        PayloadInvalidError."""
        async with self._database.session() as session:
            return await self._add(session, NewJob(kind=kind, payload=payload, key=key or self._make_id()), by)

    async def run_once(self, kind: str, payload: Mapping[str, Any], idempotency_key: str, by: Principal) -> JobRow:
        """As `run`, but a repeat is answered with the first request's job, even when that has ended, for as long as it
        is kept. Raises as `run`; IdempotencyKeyReusedError for another request under the same key."""
        key = f"{ONCE}{by.key_id}/{idempotency_key}"
        async with self._database.session(lock="jobs") as session:
            found = await JobRepository(session).newest(key)
            if found is None:
                return await self._add(session, NewJob(kind=kind, payload=payload, key=key), by)
        if (found.kind, found.payload) != (kind, dict(payload)):
            raise _reused(idempotency_key)
        return found

    async def _add(self, session: AsyncSession, new: NewJob, by: Principal) -> JobRow:
        job_id = await self._queue.add(session, new)
        self._audit.record(session, actor=by.key_id, action="job.run", target=f"job/{job_id}", after=new.kind)
        return await self._require(session, job_id)

    async def cancel(self, job_id: str, by: Principal) -> JobRow:
        """End a live job; what works on it is fenced at its next heartbeat. Raises JobNotFoundError, JobStateError."""
        async with self._database.session() as session:
            row = await self._require(session, job_id)
            before = row.state
            if not await JobRepository(session).cancel(job_id, self._now(), f"cancelled by {by.key_id}"):
                raise _wrong_state(row, "a queued or running job")
            self._audit.record(session, actor=by.key_id, action="job.cancel", target=f"job/{job_id}", before=before)
            return await self._reread(session, row)

    async def retry(self, job_id: str, by: Principal) -> JobRow:
        """Queue a failed or dead job anew. Raises JobNotFoundError, JobStateError; ConflictError when another job of
        its kind and key is live."""
        async with self._database.session(lock="jobs") as session:
            row = await self._require(session, job_id)
            before = row.state
            live = await JobRepository(session).live(row.kind, row.key)
            if live is not None and live.id != job_id:
                raise ConflictError(
                    f"Job {live.id} does the same work already", where=f"job {job_id}", remedy="wait for that one"
                )
            if not await JobRepository(session).revive(job_id, self._now()):
                raise _wrong_state(row, "a failed or dead job")
            self._audit.record(session, actor=by.key_id, action="job.retry", target=f"job/{job_id}", before=before)
            return await self._reread(session, row)

    async def _require(self, session: AsyncSession, job_id: str) -> JobRow:
        row = await JobRepository(session).get(job_id) if is_id(job_id) else None
        if row is None:
            raise JobNotFoundError(job_id)
        return row

    async def _reread(self, session: AsyncSession, row: JobRow) -> JobRow:
        await session.refresh(row)
        return row


def _reused(key: str) -> IdempotencyKeyReusedError:
    return IdempotencyKeyReusedError(
        f"The idempotency key {key[:40]!r} was used for another job",
        where="header Idempotency-Key",
        expected="the same kind and payload",
        remedy="use a fresh key for each new job",
    )


def _wrong_state(row: JobRow, expected: str) -> JobStateError:
    return JobStateError(
        f"Job {row.id} is {row.state}", where=f"job {row.id}", expected=expected, remedy="look at it again"
    )
