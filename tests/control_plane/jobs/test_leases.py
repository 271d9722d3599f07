"""Claims, leases and the fence, on a real database: one at a time, and who is late commits nothing."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from control_plane.jobs.errors import JobFencedError
from control_plane.jobs.job import ClaimedJob, NewJob, Progress
from control_plane.jobs.leases import LAPSED, backoff_s
from tests.control_plane.jobs.making import NODE_WORK, WORK, Made


async def claimed(made: Made, key: str = "a") -> ClaimedJob:
    job_id = await made.queue.enqueue(NewJob(kind="work", key=key))
    found = await made.leases.claim(job_id, "work", "me")
    assert found is not None
    return found


async def test_of_many_that_claim_at_once_one_wins(made: Made) -> None:
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    found = await asyncio.gather(*(made.leases.claim(job_id, "work", f"h{n}") for n in range(8)))
    (winner,) = [each for each in found if each]
    assert (winner.epoch, winner.attempt) == (1, 1)


async def test_a_job_is_claimed_under_its_own_kind_only(made: Made) -> None:
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    assert await made.leases.claim(job_id, "node_work", "me") is None


async def test_done_keeps_the_result_and_ends_the_lease(made: Made) -> None:
    job = await claimed(made)
    await made.leases.renew(job, Progress(0.4, "almost"))
    row = await made.row(job.id)
    assert (row.progress, row.progress_message, row.holder) == (0.4, "almost", "me")
    await made.leases.complete(job, {"n": 1})
    row = await made.row(job.id)
    assert (row.state, row.result, row.progress, row.ended_at, row.lease_until) == (
        "done",
        {"n": 1},
        1.0,
        made.now(),
        None,
    )


async def test_a_renewed_lease_keeps_others_away_and_one_that_ran_out_does_not(made: Made) -> None:
    job = await claimed(made)
    made.now.advance(WORK.lease_s - 1)
    await made.leases.renew(job)
    made.now.advance(WORK.lease_s - 1)
    assert await made.leases.claim(job.id, "work", "other") is None
    made.now.advance(2)
    again = await made.leases.claim(job.id, "work", "other")
    assert again is not None
    assert (again.epoch, again.attempt) == (2, 2)


@pytest.mark.parametrize("reaped", [False, True])
async def test_a_zombie_can_do_nothing_any_more(made: Made, reaped: bool) -> None:
    zombie = await claimed(made)
    made.now.advance(WORK.lease_s + 1)
    if reaped:
        assert await made.leases.reap() == 1
    else:
        assert await made.leases.claim(zombie.id, "work", "other") is not None
    before = await made.row(zombie.id)
    for act in (
        lambda: made.leases.renew(zombie),
        lambda: made.leases.complete(zombie, {"by": "zombie"}),
        lambda: made.leases.fail(zombie, "no", retry=True),
        lambda: made.leases.give_back(zombie),
    ):
        with pytest.raises(JobFencedError):
            await act()
    after = await made.row(zombie.id)
    assert (after.state, after.epoch, after.result) == (before.state, before.epoch, None)


async def test_a_zombie_s_own_effects_are_rolled_back_by_the_fence(made: Made) -> None:
    async with made.database.session() as session:
        await session.execute(text("CREATE TABLE effects (n INTEGER)"))
    zombie = await claimed(made)
    made.now.advance(WORK.lease_s + 1)
    await made.leases.claim(zombie.id, "work", "other")
    with pytest.raises(JobFencedError):
        async with made.database.session() as session:
            await session.execute(text("INSERT INTO effects VALUES (1)"))
            await made.leases.fence(session, zombie)
    async with made.database.reading() as session:
        assert (await session.execute(text("SELECT count(*) FROM effects"))).scalar_one() == 0


async def test_a_step_is_done_once_over_all_attempts(made: Made) -> None:
    job = await claimed(made)
    async with made.database.session() as session:
        assert await made.leases.step(session, job, "copy")
        assert not await made.leases.step(session, job, "copy")
    made.now.advance(WORK.lease_s + 1)
    again = await made.leases.claim(job.id, "work", "other")
    assert again is not None
    async with made.database.session() as session:
        assert not await made.leases.step(session, again, "copy")
        assert await made.leases.step(session, again, "delete")


async def test_failures_wait_longer_each_time_and_then_the_job_is_dead(made: Made) -> None:
    job = await claimed(made)
    for attempt in range(1, WORK.max_attempts):
        assert await made.leases.fail(job, "not yet", retry=True) == "queued"
        made.now.advance(backoff_s(attempt) - 0.1)
        assert await made.leases.claim(job.id, "work", "me") is None
        made.now.advance(0.2)
        again = await made.leases.claim(job.id, "work", "me")
        assert again is not None
        job = again
    assert await made.leases.fail(job, "never", retry=True) == "dead"
    row = await made.row(job.id)
    assert (row.state, row.error, row.attempt) == ("dead", "never", WORK.max_attempts)
    assert [backoff_s(n) for n in (1, 2, 3, 20)] == [1, 2, 4, 60]


async def test_a_failure_that_no_retry_mends_ends_the_job(made: Made) -> None:
    job = await claimed(made)
    assert await made.leases.fail(job, "wrong payload", retry=False) == "failed"
    assert (await made.row(job.id)).state == "failed"


async def test_a_given_back_job_is_free_at_once_and_lost_no_attempt(made: Made) -> None:
    job = await claimed(made)
    await made.leases.give_back(job)
    again = await made.leases.claim(job.id, "work", "other")
    assert again is not None
    assert (again.attempt, again.epoch) == (1, 2)


async def test_the_reaper_frees_lost_jobs_and_buries_those_without_attempts(made: Made) -> None:
    job = await claimed(made)
    assert await made.leases.reap() == 0
    for _ in range(WORK.max_attempts - 1):
        made.now.advance(WORK.lease_s + 1)
        assert await made.leases.reap() == 1
        row = await made.row(job.id)
        assert (row.state, row.error, row.dispatched_at) == ("queued", LAPSED, None)
        assert await made.leases.claim(job.id, "work", "next") is not None
    made.now.advance(WORK.lease_s + 1)
    assert await made.leases.claim(job.id, "work", "one too many") is None
    assert await made.leases.reap() == 1
    row = await made.row(job.id)
    assert (row.state, row.error, row.ended_at) == ("dead", LAPSED, made.now())


async def test_the_lease_of_a_holder_known_to_be_dead_need_not_run_out(made: Made) -> None:
    job = await claimed(made)
    await made.leases.lapse(job.id, "somebody else")
    made.now.advance(0.001)
    assert await made.leases.reap() == 0
    await made.leases.lapse(job.id, "m")
    made.now.advance(0.001)
    assert await made.leases.reap() == 1


async def test_any_job_of_a_kind_is_the_one_that_waits_longest(made: Made) -> None:
    assert await made.leases.claim_any([NODE_WORK.name], "node") is None
    first = await made.queue.enqueue(NewJob(kind="node_work", key="1"))
    made.now.advance(1)
    second = await made.queue.enqueue(NewJob(kind="node_work", key="2"))
    await made.queue.enqueue(NewJob(kind="work", key="3"))
    found = [await made.leases.claim_any([NODE_WORK.name], "node") for _ in range(3)]
    assert [each.id if each else None for each in found] == [first, second, None]
