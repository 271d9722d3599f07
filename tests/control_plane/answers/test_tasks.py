"""Orphans as jobs: one for each stream and epoch, and the body that asks the gateways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from control_plane.answers.tasks import OrphanJobs, resume_stream
from control_plane.database import Database
from control_plane.jobs.errors import JobGivenUpError
from control_plane.jobs.job import ClaimedJob
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobFilter, JobRepository
from control_plane.jobs.worker import RunningJob
from tests.control_plane.jobs.making import Moment


class Gateways:
    """Takes up what `answer` says."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.closed = 0

    async def ask_to_resume(self, sid: str) -> bool:
        self.asked.append(sid)
        return self.answer

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Gateways]:
        yield self
        self.closed += 1


def job(database: Database, payload: dict[str, object]) -> RunningJob:
    claimed = ClaimedJob(
        id="j", kind="resume_stream", payload=payload, epoch=1, attempt=1, max_attempts=1, lease_until=Moment()()
    )
    return RunningJob(claimed, JobLeases(database, Registry()))


async def test_several_gateways_that_see_an_orphan_make_one_job_of_it(database: Database) -> None:
    take_up = OrphanJobs(JobQueue(database, Registry()))
    for sid, epoch in (("a", 1), ("a", 1), ("b", 1), ("a", 2)):
        await take_up(sid, epoch)
    async with database.reading() as session:
        rows = await JobRepository(session).page(JobFilter(), before_id=None, limit=10)
    assert sorted((row.key, row.payload["sid"]) for row in rows) == [("a/1", "a"), ("a/2", "a"), ("b/1", "b")]


@pytest.mark.parametrize("taken", [True, False])
async def test_the_job_asks_and_says_what_came_of_it(database: Database, taken: bool) -> None:
    gateways = Gateways(taken)
    assert await resume_stream(gateways.connect)(job(database, {"sid": "s"})) == {"resumed": taken}
    assert (gateways.asked, gateways.closed) == (["s"], 1)


async def test_a_payload_that_names_no_stream_is_given_up(database: Database) -> None:
    with pytest.raises(JobGivenUpError, match="sid"):
        await resume_stream(Gateways(True).connect)(job(database, {"stream": "s"}))
