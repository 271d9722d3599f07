"""Jobs in real processes that are killed: none is lost, none is done twice."""

from __future__ import annotations

import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.jobs.wakeups import celery_waker
from tests.control_plane.jobs.processes import JobsStack, gone, jobs_stack, until

pytestmark = pytest.mark.system


@pytest.fixture
async def stack() -> AsyncIterator[JobsStack]:
    with tempfile.TemporaryDirectory(prefix="ew-jobs-") as folder:
        async with jobs_stack(Path(folder)) as opened:
            yield opened


async def test_a_child_and_then_the_main_are_killed_in_mid_job(stack: JobsStack) -> None:
    await stack.start()
    await stack.add(1, sleep_s=60.0)
    child = await stack.worker_of(1)
    os.kill(child, signal.SIGKILL)
    await until(lambda: stack.finished([1]), "the job of the killed child")

    await stack.add(2, sleep_s=60.0)
    child = await stack.worker_of(2)
    stack.kill_main()
    await until(lambda: gone(child), "the child to follow its main")
    await stack.start()
    await until(lambda: stack.finished([2]), "the job of the killed main")

    assert await stack.marks() == [1, 2]
    assert [len(stack.begun(number).read_text().split()) for number in (1, 2)] == [2, 2]
    assert {(row.state, row.attempt) for row in await stack.rows()} == {("done", 2)}


async def test_a_broker_that_lost_everything_costs_no_job(stack: JobsStack) -> None:
    await stack.start()
    stack.kill_broker_and_forget()
    for number in range(5):
        await stack.add(number)
    stack.restart_broker()
    await until(lambda: stack.finished(list(range(5))), "the jobs that no message told of")
    assert await stack.marks() == list(range(5))


async def test_a_job_is_handed_over_when_its_process_is_told_to_stop(stack: JobsStack) -> None:
    await stack.start(concurrency=1)
    await stack.add(1, sleep_s=60.0)
    child = await stack.worker_of(1)
    await stack.stop_main()
    (row,) = await stack.rows()
    assert (row.state, row.attempt, row.error, row.holder) == ("queued", 0, None, "")
    assert await gone(child)


async def test_fifty_jobs_while_children_and_the_broker_die(stack: JobsStack) -> None:
    await stack.start()
    dice = random.Random(7)
    numbers = list(range(50))
    for number in numbers:
        await stack.add(number, sleep_s=60.0 if number in (10, 25, 40) else 0.0)
        if number in (10, 25, 40):
            os.kill(await stack.worker_of(number), signal.SIGKILL)
        if number == 30:
            stack.kill_broker_and_forget()
            stack.restart_broker()
        if dice.random() < 0.1:
            stack.waker.close()
            stack.waker = celery_waker(stack.broker.url)
    await until(lambda: stack.finished(numbers), "fifty jobs")
    assert await stack.marks() == numbers
    assert {row.state for row in await stack.rows()} == {"done"}
