"""Pieces of the job system over a test's database, with a clock that stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from control_plane.database import Database
from control_plane.jobs.job import JobKind
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobRepository
from control_plane.jobs.tables import JobRow

WORK = JobKind(name="work", queue="seal", lease_s=10.0, max_attempts=3, time_limit_s=60.0)
NODE_WORK = JobKind(name="node_work", queue="forge", lease_s=10.0, for_nodes=True)


class Numbered(msgspec.Struct, forbid_unknown_fields=True):
    """A payload."""

    n: int


FORGE_WORK = JobKind(name="forge_work", queue="forge", for_nodes=True, needs="forge", payload=Numbered)
REGISTRY = Registry([WORK, NODE_WORK, FORGE_WORK])


@dataclass
class Moment:
    """A clock."""

    at: datetime = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Calls:
    """A Waker, and the messages that it took."""

    woken: list[str] = field(default_factory=list)

    def wake(self, job_id: str, kind: JobKind) -> None:
        self.woken.append(job_id)


@dataclass
class Made:
    """What most tests of jobs hold."""

    database: Database
    now: Moment
    calls: Calls
    queue: JobQueue
    leases: JobLeases

    async def row(self, job_id: str) -> JobRow:
        async with self.database.reading() as session:
            row = await JobRepository(session).get(job_id)
        assert row is not None
        return row


def make(database: Database) -> Made:
    now, calls = Moment(), Calls()
    queue = JobQueue(database, REGISTRY, calls, now=now)
    return Made(database, now, calls, queue, JobLeases(database, REGISTRY, now=now))
