"""The job `resume_stream`: an orphaned stream is taken up by whichever gateway is least busy."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from control_plane.jobs.job import NewJob
from control_plane.jobs.payload import payload_of
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.worker import Body, Result, RunningJob


class Gateways(Protocol):
    """Reaches live gateways (control_plane.gateways.directory)."""

    async def ask_to_resume(self, sid: str) -> bool:
        """Whether a gateway took the stream up, or it needs nobody any more."""
        ...


class Orphan(msgspec.Struct, frozen=True):
    """The payload."""

    sid: str


class OrphanJobs:
    """What a gateway does with an orphan that it sees: one job for each stream and epoch, however many see it."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def __call__(self, sid: str, epoch: int) -> None:
        """Have the stream taken up. Raises DatabaseUnavailableError."""
        payload = msgspec.to_builtins(Orphan(sid))
        await self._queue.enqueue(NewJob(kind="resume_stream", key=f"{sid}/{epoch}", payload=payload))


def resume_stream(connect: Callable[[], AbstractAsyncContextManager[Gateways]]) -> Body:
    """Asks once: where no gateway could, the one that saw the orphan takes it up itself after its grace."""

    async def body(job: RunningJob) -> Result:
        orphan = payload_of(job, Orphan)
        async with connect() as gateways:
            return {"resumed": await gateways.ask_to_resume(orphan.sid)}

    return body
