"""Work that a cancel of its caller does not cut off: what is stopped by halves goes on somewhere, and costs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns, however often its caller is cancelled meanwhile: told twice to stop, it stops once."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    return task.result()


async def uninterrupted(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns; a cancel of the caller meanwhile is raised when `work` is over."""
    caller = asyncio.current_task()
    assert caller is not None
    before = caller.cancelling()
    result = await to_its_end(work)
    if caller.cancelling() > before:
        raise asyncio.CancelledError
    return result
