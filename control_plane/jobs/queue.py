"""JobQueue: adding a job inside the caller's transaction. The row is the outbox; the wake-up follows the commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from control_plane.audit.service import utc_now
from control_plane.database import Database
from control_plane.jobs.job import KEY_MAX_CHARS, JobKind, NewJob
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobRepository
from edgewise.ids import new_id
from edgewise.wire.errors import BadRequestError
from edgewise.wire.forge_jobs import read_payload


class Waker(Protocol):
    """Tells some worker that a job waits. A hint: it may be lost, doubled or late."""

    def wake(self, job_id: str, kind: JobKind) -> None:
        """Must neither wait nor raise."""
        ...


class NoWaker:
    """Tells nobody: the dispatcher of a jobs process finds the row within a fraction of a second."""

    def wake(self, job_id: str, kind: JobKind) -> None:
        """Nothing."""


class JobQueue:
    """Adds jobs."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        waker: Waker | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
        make_id: Callable[[], str] = new_id,
    ) -> None:
        self._database = database
        self._registry = registry
        self._waker = waker or NoWaker()
        self._wakes = waker is not None
        self._now = now
        self._make_id = make_id

    async def add(self, session: AsyncSession, new: NewJob) -> str:
        """The id of the new job, or of the live one with the same kind and key; part of the caller's transaction.

        Raises JobKindUnknownError; PayloadInvalidError; BadRequestError for a key that is too long.
        """
        kind = self._registry.get(new.kind)
        if kind.payload is not None:
            read_payload(kind.name, kind.payload, new.payload)
        if not 0 < len(new.key) <= KEY_MAX_CHARS:
            raise BadRequestError(f"A job's key has 1 to {KEY_MAX_CHARS} characters", where="key")
        jobs = JobRepository(session)
        job_id, now = self._make_id(), self._now()
        while not await jobs.add(self._values(job_id, kind, new, now)):
            live = await jobs.live(new.kind, new.key)
            if live is not None:
                return live.id
        if new.run_after is None and not kind.for_nodes:
            _after_commit(session.sync_session, lambda: self._waker.wake(job_id, kind))
        return job_id

    async def enqueue(self, new: NewJob) -> str:
        """`add` in a transaction of its own."""
        async with self._database.session() as session:
            return await self.add(session, new)

    def _values(self, job_id: str, kind: JobKind, new: NewJob, now: datetime) -> dict[str, object]:
        """dispatched_at is set at once where a wake-up will follow: the dispatcher repeats it if nobody comes."""
        return {
            "id": job_id,
            "kind": kind.name,
            "queue": kind.queue,
            "key": new.key,
            "payload": dict(new.payload),
            "state": "queued",
            "epoch": 0,
            "attempt": 0,
            "max_attempts": kind.max_attempts,
            "holder": "",
            "run_after": new.run_after or now,
            "dispatched_at": now if self._wakes and new.run_after is None else None,
            "progress": 0.0,
            "progress_message": "",
            "created_at": now,
        }


def _after_commit(session: Session, call: Callable[[], None]) -> None:
    """Call once the outermost transaction is committed, and never if it is rolled back."""

    def committed(which: Session) -> None:
        if not which.in_nested_transaction():
            call()

    event.listen(session, "after_commit", committed)
