"""Queries of jobs, their steps and ticks. Every change of a job is one conditional statement: who comes late changes
nothing, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, and_, case, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.database import insert_ignore
from control_plane.jobs.job import ENDED, LIVE, JobState, Progress
from control_plane.jobs.tables import JobRow, JobStepRow, TickRow


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; None means any."""

    kind: str | None = None
    state: JobState | None = None
    queue: str | None = None


class JobRepository:
    """Reads and changes jobs inside the caller's transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def add(self, values: Mapping[str, Any]) -> bool:
        """A new job; False when one of its kind and key is live."""
        return await insert_ignore(self._session, JobRow, [values]) == 1

    async def live(self, kind: str, key: str) -> JobRow | None:
        """The live job of this kind and key."""
        query = select(JobRow).where(JobRow.kind == kind, JobRow.key == key, JobRow.state.in_(LIVE))
        return await self._session.scalar(query)

    async def newest(self, key: str) -> JobRow | None:
        """The newest job with this key, of any kind, live or ended."""
        query = select(JobRow).where(JobRow.key == key).order_by(JobRow.id.desc()).limit(1)
        return await self._session.scalar(query)

    async def get(self, job_id: str) -> JobRow | None:
        """One job."""
        return await self._session.get(JobRow, job_id)

    async def page(self, wanted: JobFilter, *, before_id: str | None, limit: int) -> Sequence[JobRow]:
        """Up to `limit` jobs with an id below `before_id`, newest first."""
        query = select(JobRow).order_by(JobRow.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(JobRow.id < before_id)
        for column, value in (
            (JobRow.kind, wanted.kind),
            (JobRow.state, wanted.state),
            (JobRow.queue, wanted.queue),
        ):
            if value is not None:
                query = query.where(column == value)
        return (await self._session.scalars(query)).all()

    async def due(self, kinds: Collection[str], now: datetime, limit: int) -> Sequence[JobRow]:
        """Jobs that could be claimed now, those that wait longest first; a claim may still be refused."""
        query = select(JobRow).where(JobRow.kind.in_(kinds), _claimable(now)).order_by(JobRow.run_after, JobRow.id)
        return (await self._session.scalars(query.limit(limit))).all()

    async def claim(
        self, job_id: str, kind: str, *, holder: str, now: datetime, lease_until: datetime
    ) -> JobRow | None:
        """Begin the next epoch; None when the job is not due, is held by a living lease, or has ended."""
        statement = (
            update(JobRow)
            .where(JobRow.id == job_id, JobRow.kind == kind, _claimable(now))
            .values(
                state="running",
                epoch=JobRow.epoch + 1,
                attempt=JobRow.attempt + 1,
                holder=holder,
                lease_until=lease_until,
                started_at=now,
                progress=0.0,
                progress_message="",
            )
            .returning(JobRow)
        )
        options = {"synchronize_session": False, "populate_existing": True}
        return (await self._session.scalars(statement, execution_options=options)).one_or_none()

    async def renew(self, job_id: str, epoch: int, lease_until: datetime, progress: Progress | None = None) -> bool:
        """Keep the lease, and say how far the job is."""
        values: dict[str, Any] = {"lease_until": lease_until}
        if progress is not None:
            values |= {"progress": progress.fraction, "progress_message": progress.message}
        return await self._change(_held(job_id, epoch), values)

    async def end(
        self, job_id: str, epoch: int, state: JobState, now: datetime, *, result: Any = None, error: str | None = None
    ) -> bool:
        """End a running job."""
        values: dict[str, Any] = {"state": state, "ended_at": now, "lease_until": None, "error": error}
        if state == "done":
            values |= {"result": result, "progress": 1.0}
        return await self._change(_held(job_id, epoch), values)

    async def requeue(
        self, job_id: str, epoch: int, run_after: datetime, *, error: str | None, give_back: bool = False
    ) -> bool:
        """Let a running job be claimed again from `run_after` on; `give_back` does not count this attempt."""
        values: dict[str, Any] = {"state": "queued", "run_after": run_after, "error": error}
        values |= {"holder": "", "lease_until": None, "dispatched_at": None}
        if give_back:
            values["attempt"] = case((JobRow.attempt > 0, JobRow.attempt - 1), else_=0)
        return await self._change(_held(job_id, epoch), values)

    async def lost(self, now: datetime, limit: int) -> Sequence[JobRow]:
        """Running jobs whose lease is over."""
        query = select(JobRow).where(JobRow.state == "running", JobRow.lease_until < now).limit(limit)
        return (await self._session.scalars(query)).all()

    async def lapse(self, job_id: str, holder_prefix: str, now: datetime) -> bool:
        """End the lease of a holder that is known to be dead."""
        held = and_(JobRow.id == job_id, JobRow.state == "running", JobRow.holder.startswith(holder_prefix))
        return await self._change(held, {"lease_until": now})

    async def cancel(self, job_id: str, now: datetime, error: str) -> bool:
        """End a live job; who works on it is fenced."""
        values = {"state": "failed", "ended_at": now, "lease_until": None, "error": error}
        return await self._change(and_(JobRow.id == job_id, JobRow.state.in_(LIVE)), values)

    async def revive(self, job_id: str, now: datetime) -> bool:
        """Queue a failed or dead job anew, with all its attempts."""
        values: dict[str, Any] = {"state": "queued", "attempt": 0, "run_after": now, "dispatched_at": None}
        values |= {"ended_at": None, "error": None, "progress": 0.0, "progress_message": "", "holder": ""}
        return await self._change(and_(JobRow.id == job_id, JobRow.state.in_(("failed", "dead"))), values)

    async def silent(self, kinds: Collection[str], now: datetime, sent_before: datetime, limit: int) -> list[JobRow]:
        """Queued jobs that are due and have had no wake-up since `sent_before`, those without any first."""
        query = select(JobRow).where(
            JobRow.state == "queued",
            JobRow.run_after <= now,
            JobRow.kind.in_(kinds),
            or_(JobRow.dispatched_at.is_(None), JobRow.dispatched_at < sent_before),
        )
        return list(
            (
                await self._session.scalars(query.order_by(JobRow.dispatched_at.nulls_first(), JobRow.id).limit(limit))
            ).all()
        )

    async def mark_sent(self, job: JobRow, now: datetime) -> bool:
        """Take the sending of a wake-up upon oneself; False when another process did."""
        seen = job.dispatched_at
        unsent = JobRow.dispatched_at.is_(None) if seen is None else JobRow.dispatched_at == seen
        waiting = and_(JobRow.id == job.id, JobRow.epoch == job.epoch, JobRow.state == "queued", unsent)
        return await self._change(waiting, {"dispatched_at": now})

    async def add_step(self, job_id: str, step: str, now: datetime) -> bool:
        """Note a step; False when it was done before."""
        return await insert_ignore(self._session, JobStepRow, [{"job_id": job_id, "step": step, "done_at": now}]) == 1

    async def add_tick(self, schedule: str, due_at: datetime) -> bool:
        """Note a tick; False when another process did."""
        tick = {"schedule": schedule, "due_at": due_at}
        return await insert_ignore(self._session, TickRow, [tick]) == 1

    async def forget(self, *, done_before: datetime, others_before: datetime, ticks_before: datetime) -> None:
        """Drop old ended jobs with their steps, and old ticks."""
        old = and_(
            JobRow.state.in_(ENDED),
            or_(JobRow.ended_at < others_before, and_(JobRow.state == "done", JobRow.ended_at < done_before)),
        )
        await self._session.execute(delete(JobStepRow).where(JobStepRow.job_id.in_(select(JobRow.id).where(old))))
        await self._session.execute(delete(JobRow).where(old))
        await self._session.execute(delete(TickRow).where(TickRow.due_at < ticks_before))

    async def _change(self, which: ColumnElement[bool], values: Mapping[str, Any]) -> bool:
        statement = update(JobRow).where(which).values(**values)
        result = await self._session.execute(statement, execution_options={"synchronize_session": False})
        return cast(CursorResult[Any], result).rowcount == 1


def _held(job_id: str, epoch: int) -> ColumnElement[bool]:
    """The fence: only the newest claim of a running job."""
    return and_(JobRow.id == job_id, JobRow.epoch == epoch, JobRow.state == "running")


def _claimable(now: datetime) -> ColumnElement[bool]:
    """Due and free; one whose lease ran out, while it has attempts left, need not wait for the reaper."""
    free = and_(JobRow.state == "queued", JobRow.run_after <= now)
    lost = and_(JobRow.state == "running", JobRow.lease_until < now)
    return and_(JobRow.attempt < JobRow.max_attempts, or_(free, lost))
