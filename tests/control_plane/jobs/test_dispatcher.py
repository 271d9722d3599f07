"""The dispatcher: what it sends again, what it frees, and what it forgets."""

from __future__ import annotations

from control_plane.jobs.dispatcher import KEEP_DONE, KEEP_OTHERS, RESEND_MAX_S, RESEND_S, Dispatcher
from control_plane.jobs.job import NewJob
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.repository import JobFilter, JobRepository
from control_plane.jobs.ticks import Ticker
from tests.control_plane.jobs.making import REGISTRY, WORK, Calls, Made


def dispatcher(made: Made, calls: Calls) -> Dispatcher:
    ticker = Ticker(made.database, made.queue, [], now=made.now)
    return Dispatcher(made.database, REGISTRY, made.leases, calls, ticker, now=made.now)


async def test_a_wake_up_is_sent_once_and_again_when_nobody_came(made: Made) -> None:
    first, second = Calls(), Calls()
    ours, others = dispatcher(made, first), dispatcher(made, second)
    job_id = await JobQueue(made.database, REGISTRY, now=made.now).enqueue(NewJob(kind="work", key="a"))
    for each in (ours, others, ours):
        await each.step()
    assert first.woken + second.woken == [job_id]
    made.now.advance(RESEND_S + 0.1)
    await others.step()
    assert (first.woken, second.woken) == ([job_id], [job_id])
    await made.leases.claim(job_id, "work", "me")
    made.now.advance(RESEND_S + 0.1)
    await ours.step()
    assert first.woken == [job_id]


async def test_wake_ups_of_a_job_that_waits_long_become_rare_but_never_end(made: Made) -> None:
    calls = Calls()
    ours = dispatcher(made, calls)
    await made.queue.enqueue(NewJob(kind="work", key="a"))
    for _ in range(300):
        made.now.advance(1)
        await ours.send()
    assert 300 / RESEND_MAX_S <= len(calls.woken) <= 20
    made.now.advance(RESEND_MAX_S)
    assert await ours.send() == 1


async def test_a_lost_holder_s_job_is_sent_in_the_same_step(made: Made) -> None:
    calls = Calls()
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    await made.leases.claim(job_id, "work", "me")
    made.now.advance(WORK.lease_s + 0.1)
    await dispatcher(made, calls).step()
    assert calls.woken == [job_id]


async def test_jobs_for_nodes_are_not_sent_to_children(made: Made) -> None:
    calls = Calls()
    await made.queue.enqueue(NewJob(kind="node_work", key="a"))
    made.now.advance(60)
    await dispatcher(made, calls).step()
    assert calls.woken + made.calls.woken == []


async def test_old_jobs_are_forgotten_with_their_steps_and_live_ones_never(made: Made) -> None:
    ours = dispatcher(made, Calls())
    kept = await made.queue.enqueue(NewJob(kind="work", key="live"))
    done, dead = [
        await made.leases.claim(await made.queue.enqueue(NewJob(kind="work", key=k)), "work", "me") for k in "ab"
    ]
    assert done is not None
    assert dead is not None
    async with made.database.session() as session:
        await made.leases.step(session, done, "s")
    await made.leases.complete(done, None)
    await made.leases.fail(dead, "no", retry=False)

    async def left() -> set[str]:
        await ours.step()
        async with made.database.reading() as session:
            return {row.id for row in await JobRepository(session).page(JobFilter(), before_id=None, limit=50)}

    assert await left() == {kept, done.id, dead.id}
    made.now.advance(KEEP_DONE.total_seconds() + 1)
    assert await left() == {kept, dead.id}
    async with made.database.session() as session:
        assert await JobRepository(session).add_step(done.id, "s", made.now())
    made.now.advance(KEEP_OTHERS.total_seconds())
    assert await left() == {kept}
