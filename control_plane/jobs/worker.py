"""JobRunner: one attempt at one job, from the claim to the commit, with the lease kept alive beside the body.

A body is an async function that may be run again after any crash; what it may do with its job is RunningJob.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from control_plane.jobs.errors import JobFencedError, JobGivenUpError
from control_plane.jobs.job import MESSAGE_MAX_CHARS, ClaimedJob, JobKind, Progress
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.registry import Registry
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)
DRAIN_S = 5.0
BEAT_MAX_S = 1.0
CANCEL_S = 5.0
_SETTLE_TRIES = 5
_SETTLE_PAUSE_S = 0.5

Result = Mapping[str, Any] | None


class RunningJob:
    """A claimed job in the hands of its body."""

    def __init__(self, claimed: ClaimedJob, leases: JobLeases) -> None:
        self.claimed = claimed
        self.told = Progress()
        self._leases = leases

    @property
    def id(self) -> str:
        return self.claimed.id

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.claimed.payload

    def progress(self, fraction: float, message: str = "") -> None:
        """How far it is, 0..1; written with the next heartbeat, within a second or so."""
        self.told = Progress(min(max(fraction, 0.0), 1.0), message[:MESSAGE_MAX_CHARS])

    async def fence(self, session: AsyncSession) -> None:
        """Make this transaction commit only while the claim holds. Raises JobFencedError."""
        await self._leases.fence(session, self.claimed)

    async def step(self, session: AsyncSession, name: str) -> bool:
        """Whether step `name` is still to do: do it in this very transaction. Raises JobFencedError."""
        return await self._leases.step(session, self.claimed, name)


Body = Callable[[RunningJob], Awaitable[Result]]


class JobRunner:
    """Runs jobs, one at a time. `drain` makes it let go of the present one."""

    def __init__(
        self,
        leases: JobLeases,
        registry: Registry,
        bodies: Mapping[str, Body],
        *,
        holder: str,
        drain_s: float = DRAIN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._leases = leases
        self._registry = registry
        self._bodies = bodies
        self._holder = holder
        self._drain_s = drain_s
        self._sleep = sleep
        self._draining = asyncio.Event()

    def drain(self) -> None:
        """Claim nothing more; what runs has `drain_s` left, then its lease is given back."""
        self._draining.set()

    async def run(self, job_id: str, kind_name: str) -> bool:
        """Claim the job and run it; False when it was not to be had."""
        if self._draining.is_set():
            return False
        kind = self._registry.get(kind_name)
        claimed = await self._leases.claim(job_id, kind_name, self._holder)
        if claimed is None:
            return False
        await self._work(RunningJob(claimed, self._leases), kind)
        return True

    async def _work(self, job: RunningJob, kind: JobKind) -> None:
        body = asyncio.ensure_future(self._bodies[kind.name](job))
        beat = asyncio.create_task(self._keep_lease(job, kind))
        drained = asyncio.create_task(self._drained())
        try:
            await asyncio.wait({body, beat, drained}, timeout=kind.time_limit_s, return_when=asyncio.FIRST_COMPLETED)
            if body.done():
                await self._settle(job, body)
            elif beat.done():
                await _stop(body)
                logger.warning("a job's lease was lost, its body was stopped", extra={"job": job.id})
            elif drained.done():
                await _stop(body)
                await self._try_to(job, lambda: self._leases.give_back(job.claimed))
            else:
                await _stop(body)
                await self._failed(job, f"it took longer than {kind.time_limit_s:g} s", retry=True)
        finally:
            for task in (body, beat, drained):
                task.cancel()
            await asyncio.gather(body, beat, drained, return_exceptions=True)

    async def _keep_lease(self, job: RunningJob, kind: JobKind) -> None:
        """Renew until the lease is lost: fenced by another claim, or not renewed for as long as it lasts."""
        every_s = min(kind.lease_s / 3, BEAT_MAX_S)
        clock = asyncio.get_running_loop().time
        ends_at = clock() + kind.lease_s
        while True:
            await self._sleep(every_s)
            asked_at = clock()
            try:
                await self._leases.renew(job.claimed, job.told)
                ends_at = asked_at + kind.lease_s
            except JobFencedError:
                return
            except EdgewiseError as error:
                logger.warning("a job's lease cannot be renewed: %s", error, extra={"job": job.id})
                if clock() >= ends_at:
                    return

    async def _drained(self) -> None:
        await self._draining.wait()
        await self._sleep(self._drain_s)

    async def _settle(self, job: RunningJob, body: asyncio.Future[Result]) -> None:
        error = None if body.cancelled() else body.exception()
        if body.cancelled() or isinstance(error, JobFencedError):
            logger.warning("a job's body ended without a commit", extra={"job": job.id})
        elif error is None:
            await self._try_to(job, lambda: self._leases.complete(job.claimed, body.result()))
        else:
            await self._failed(job, _words(error), retry=not isinstance(error, JobGivenUpError))

    async def _failed(self, job: RunningJob, words: str, *, retry: bool) -> None:
        async def fail() -> None:
            state = await self._leases.fail(job.claimed, words, retry=retry)
            logger.warning("a job failed and is now %s: %s", state, words, extra={"job": job.id})

        await self._try_to(job, fail)

    async def _try_to(self, job: RunningJob, write: Callable[[], Awaitable[None]]) -> None:
        """Write how it ended; a database that stays away leaves the rest to the lease."""
        for left in reversed(range(_SETTLE_TRIES)):
            try:
                return await write()
            except JobFencedError as error:
                logger.warning("a job was not committed: %s", error, extra={"job": job.id})
                return None
            except EdgewiseError as error:
                logger.warning("how a job ended cannot be written: %s", error, extra={"job": job.id})
                if left:
                    await self._sleep(_SETTLE_PAUSE_S)
        return None


async def _stop(body: asyncio.Future[Result]) -> None:
    """Cancel a body and see it end; one that does not is ended with its process, by the hard time limit."""
    body.cancel()
    await asyncio.wait({body}, timeout=CANCEL_S)


def _words(error: BaseException) -> str:
    """What is kept of an error: our own sentences; of others only the kind, for their words may hold content."""
    return str(error) if isinstance(error, EdgewiseError) else f"{type(error).__name__} in the job's body"
