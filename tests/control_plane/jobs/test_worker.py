"""JobRunner: one attempt, with its lease kept, its progress told, and what happens when anything is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from control_plane.jobs.errors import JobGivenUpError
from control_plane.jobs.job import JobKind, NewJob
from control_plane.jobs.registry import Registry
from control_plane.jobs.tables import JobRow
from control_plane.jobs.worker import Body, JobRunner, Result, RunningJob
from edgewise.wire.errors import ConflictError
from tests.control_plane.jobs.making import REGISTRY, WORK, Made


class Ticks:
    """A sleep that ends only when the test lets it: `go()` ends those that sleep now."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def __call__(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    async def go(self) -> None:
        while not self._waiting:
            await asyncio.sleep(0)
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()


async def run(made: Made, body: Body, sleep: Callable[[float], Awaitable[None]] | None = None) -> JobRow:
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a", payload={"n": 7}))
    assert await runner(made, body, sleep).run(job_id, "work")
    return await made.row(job_id)


def runner(made: Made, body: Body, sleep: Callable[[float], Awaitable[None]] | None = None) -> JobRunner:
    return JobRunner(made.leases, REGISTRY, {"work": body}, holder="me", sleep=sleep or Ticks())


async def test_a_body_s_result_is_committed(made: Made) -> None:
    async def body(job: RunningJob) -> Result:
        return {"twice": job.payload["n"] * 2}

    row = await run(made, body)
    assert (row.state, row.result) == ("done", {"twice": 14})


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (ConflictError("not now"), "queued", "not now"),
        (RuntimeError("a prompt, perhaps"), "queued", "RuntimeError in the job's body"),
        (JobGivenUpError("never"), "failed", "never"),
    ],
)
async def test_what_a_body_raises_decides(made: Made, error: Exception, state: str, words: str) -> None:
    async def body(job: RunningJob) -> Result:
        raise error

    row = await run(made, body)
    assert (row.state, row.error) == (state, words)


async def test_a_job_that_is_not_to_be_had_is_left_alone(made: Made) -> None:
    async def body(job: RunningJob) -> Result:
        raise AssertionError("this must not run")

    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    await made.leases.claim(job_id, "work", "somebody")
    assert not await runner(made, body).run(job_id, "work")


async def test_heartbeats_keep_the_lease_and_tell_the_progress(made: Made) -> None:
    ticks, goes_on = Ticks(), asyncio.Event()

    async def body(job: RunningJob) -> Result:
        job.progress(0.25, "a quarter")
        await goes_on.wait()
        return None

    running = asyncio.create_task(run(made, body, ticks))
    while not made.calls.woken:
        await asyncio.sleep(0)
    made.now.advance(WORK.lease_s - 1)
    await ticks.go()
    until = made.now.at.timestamp() + WORK.lease_s
    while (row := await made.row(made.calls.woken[0])).progress != 0.25:
        await asyncio.sleep(0)
    assert row.lease_until is not None
    assert (row.progress_message, row.lease_until.timestamp()) == ("a quarter", until)
    goes_on.set()
    assert (await running).state == "done"


async def test_a_body_whose_lease_was_lost_is_stopped_and_commits_nothing(made: Made) -> None:
    ticks, stopped, begun = Ticks(), asyncio.Event(), asyncio.Event()

    async def body(job: RunningJob) -> Result:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {"by": "zombie"}

    running = asyncio.create_task(run(made, body, ticks))
    await begun.wait()
    made.now.advance(WORK.lease_s + 1)
    assert await made.leases.claim(made.calls.woken[0], "work", "other") is not None
    await ticks.go()
    row = await running
    assert stopped.is_set()
    assert (row.state, row.holder, row.result) == ("running", "other", None)


async def test_a_body_that_does_not_notice_its_loss_commits_nothing_either(made: Made) -> None:
    async def body(job: RunningJob) -> Result:
        made.now.advance(WORK.lease_s + 1)
        assert await made.leases.claim(job.id, "work", "other") is not None
        return {"by": "zombie"}

    row = await run(made, body)
    assert (row.state, row.holder, row.result) == ("running", "other", None)


async def test_draining_stops_the_body_and_gives_the_job_back(made: Made) -> None:
    async def body(job: RunningJob) -> Result:
        ours.drain()
        await asyncio.Event().wait()
        return None

    ours = JobRunner(made.leases, REGISTRY, {"work": body}, holder="me", drain_s=5.0, sleep=at_once_but_heartbeats())
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    assert await ours.run(job_id, "work")
    row = await made.row(job_id)
    assert (row.state, row.attempt, row.holder) == ("queued", 0, "")
    assert not await ours.run(job_id, "work")


def at_once_but_heartbeats() -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        if seconds != 5.0:
            await asyncio.Event().wait()

    return sleep


async def test_a_body_that_takes_too_long_is_stopped_and_tried_again(made: Made) -> None:
    async def body(job: RunningJob) -> Result:
        await asyncio.Event().wait()
        return None

    hasty = Registry([JobKind(name="work", queue="seal", lease_s=10.0, time_limit_s=0.01)])
    job_id = await made.queue.enqueue(NewJob(kind="work", key="a"))
    assert await JobRunner(made.leases, hasty, {"work": body}, holder="me", sleep=Ticks()).run(job_id, "work")
    row = await made.row(job_id)
    assert (row.state, row.error) == ("queued", "it took longer than 0.01 s")
