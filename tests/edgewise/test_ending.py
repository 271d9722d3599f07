"""Ending background tasks: also those that lose a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from edgewise.ending import end


async def deaf(times: int) -> None:
    """Loses so many cancellations, as code does whose clean-up fails."""
    for _ in range(times):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue
    await asyncio.Event().wait()


async def failing() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise RuntimeError("while it ended")


async def test_every_task_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    tasks = [asyncio.create_task(work) for work in (deaf(0), deaf(3), failing())]
    await asyncio.sleep(0)
    await end(*tasks, again_s=0.001)
    assert all(task.done() for task in tasks) and tasks[0].cancelled()
    assert caplog.text.count("cancelled again") >= 3


async def test_none_and_ended_ones_are_fine() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    await end()
    await end(task)


async def test_who_waits_may_be_cancelled() -> None:
    task = asyncio.create_task(deaf(1))
    ending = asyncio.create_task(end(task, again_s=60))
    await asyncio.sleep(0.01)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert not task.done()
    await end(task)
