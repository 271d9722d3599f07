"""Adding jobs: in the caller's transaction, once per live key, with a wake-up after the commit and never before."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from control_plane.jobs.errors import JobKindUnknownError
from control_plane.jobs.job import NewJob
from control_plane.jobs.queue import JobQueue
from edgewise.wire.errors import BadRequestError
from tests.control_plane.jobs.making import REGISTRY, Made

JOB = NewJob(kind="work", key="a", payload={"n": 1})


async def test_the_wake_up_follows_the_commit(made: Made) -> None:
    async with made.database.session() as session:
        job_id = await made.queue.add(session, JOB)
        assert made.calls.woken == []
    assert made.calls.woken == [job_id]
    row = await made.row(job_id)
    assert (row.state, row.payload, row.queue, row.dispatched_at) == ("queued", {"n": 1}, "seal", made.now())


async def test_what_is_rolled_back_was_never_added_and_wakes_nobody(made: Made) -> None:
    with pytest.raises(RuntimeError):
        async with made.database.session() as session:
            job_id = await made.queue.add(session, JOB)
            raise RuntimeError
    assert made.calls.woken == []
    async with made.database.session() as session:
        assert await made.queue.add(session, JOB) != job_id


async def test_a_savepoint_in_between_does_not_wake_anybody_early(made: Made) -> None:
    async with made.database.session() as session:
        await made.queue.add(session, JOB)
        async with session.begin_nested():
            pass
        assert made.calls.woken == []
    assert len(made.calls.woken) == 1


async def test_one_live_job_for_each_kind_and_key(made: Made) -> None:
    first = await made.queue.enqueue(JOB)
    assert await made.queue.enqueue(JOB) == first
    assert await made.queue.enqueue(NewJob(kind="work", key="b")) != first
    assert len(made.calls.woken) == 2
    claimed = await made.leases.claim(first, "work", "me")
    assert claimed is not None
    assert await made.queue.enqueue(JOB) == first
    await made.leases.complete(claimed, None)
    assert await made.queue.enqueue(JOB) != first


async def test_of_many_that_add_at_once_one_adds(made: Made) -> None:
    assert len(set(await asyncio.gather(*(made.queue.enqueue(JOB) for _ in range(8))))) == 1


async def test_without_a_waker_or_with_a_later_moment_the_dispatcher_is_left_to_send(made: Made) -> None:
    quiet = JobQueue(made.database, REGISTRY, now=made.now)
    assert (await made.row(await quiet.enqueue(JOB))).dispatched_at is None
    later = made.now() + timedelta(seconds=5)
    job_id = await made.queue.enqueue(NewJob(kind="work", key="later", run_after=later))
    assert made.calls.woken == []
    assert (await made.row(job_id)).dispatched_at is None
    assert await made.leases.claim(job_id, "work", "me") is None


async def test_what_cannot_be_added_is_told(made: Made) -> None:
    with pytest.raises(JobKindUnknownError):
        await made.queue.enqueue(NewJob(kind="unheard", key="a"))
    for key in ("", "k" * 161):
        with pytest.raises(BadRequestError):
            await made.queue.enqueue(NewJob(kind="work", key=key))
