"""NodeJobs: jobs for processes without SQL, behind /internal/v1/jobs. Only kinds that are meant for nodes; a claim
belongs to the key that made it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from control_plane.accounts.keyring import Principal
from control_plane.database import Database
from control_plane.jobs.errors import JobCapabilityError, JobFencedError, JobKindUnknownError, JobNotFoundError
from control_plane.jobs.job import ClaimedJob, JobState, Progress
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.registry import Registry
from control_plane.jobs.repository import JobRepository
from edgewise.ids import is_id


@dataclass(frozen=True, kw_only=True)
class NodeClaim(ClaimedJob):
    """A claim, how long a lease of its kind is, and how long one attempt may take."""

    lease_s: float
    time_limit_s: float


class NodeJobs:
    """What a node may do with jobs."""

    def __init__(self, database: Database, registry: Registry, leases: JobLeases) -> None:
        self._database = database
        self._registry = registry
        self._leases = leases

    async def claim(
        self, kinds: Sequence[str], holder: str, by: Principal, offers: Collection[str] = ()
    ) -> NodeClaim | None:
        """The job of these kinds that waits longest; None when none does. Raises JobKindUnknownError;
        JobCapabilityError for a kind that needs what is not among `offers`."""
        self._check(kinds, offers)
        claimed = await self._leases.claim_any(kinds, _holder(by) + holder)
        if claimed is None:
            return None
        kind = self._registry.get(claimed.kind)
        return NodeClaim(**vars(claimed), lease_s=kind.lease_s, time_limit_s=kind.time_limit_s)

    def _check(self, kinds: Sequence[str], offers: Collection[str]) -> None:
        known = self._registry.names(for_nodes=True)
        for name in kinds:
            if name not in known:
                raise JobKindUnknownError(name, known)
            if (needs := self._registry.get(name).needs) and needs not in offers:
                raise JobCapabilityError(name, needs)

    async def heartbeat(self, job_id: str, epoch: int, progress: float, message: str, by: Principal) -> datetime:
        """When the lease ends now. Raises JobNotFoundError, JobFencedError."""
        return await self._leases.renew(await self._own(job_id, epoch, by), Progress(progress, message))

    async def complete(self, job_id: str, epoch: int, result: Mapping[str, Any] | None, by: Principal) -> JobState:
        """The job is done. Raises JobNotFoundError, JobFencedError."""
        await self._leases.complete(await self._own(job_id, epoch, by), result)
        return "done"

    async def fail(self, job_id: str, epoch: int, error: str, retry: bool, by: Principal) -> JobState:
        """The attempt failed: what became of the job. Raises JobNotFoundError, JobFencedError."""
        return await self._leases.fail(await self._own(job_id, epoch, by), error, retry=retry)

    async def give_back(self, job_id: str, epoch: int, by: Principal) -> JobState:
        """Let another take the job at once; the attempt does not count. Raises JobNotFoundError, JobFencedError."""
        await self._leases.give_back(await self._own(job_id, epoch, by))
        return "queued"

    async def _own(self, job_id: str, epoch: int, by: Principal) -> ClaimedJob:
        """The claim, if this key made it. Its epoch is checked again by whatever is done under it."""
        async with self._database.reading() as session:
            row = await JobRepository(session).get(job_id) if is_id(job_id) else None
        if row is None or row.kind not in self._registry.names(for_nodes=True):
            raise JobNotFoundError(job_id)
        if row.lease_until is None or not row.holder.startswith(_holder(by)):
            raise JobFencedError(job_id, epoch)
        return ClaimedJob(
            id=row.id,
            kind=row.kind,
            payload=row.payload,
            epoch=epoch,
            attempt=row.attempt,
            max_attempts=row.max_attempts,
            lease_until=row.lease_until,
        )


def _holder(by: Principal) -> str:
    return f"node/{by.key_id}/"
