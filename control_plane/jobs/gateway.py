"""GatewayJobs: what a gateway has to do with jobs. It adds and shows them, and serves nodes that work on theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.answers.tasks import OrphanJobs
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.nodes import NodeJobs
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.registry import load_registry
from control_plane.jobs.service import Jobs
from control_plane.jobs.wakeups import ThreadWaker, celery_waker


@dataclass(frozen=True)
class GatewayJobs:
    """`take_up` has orphaned streams resumed by jobs; None where no broker is configured: perhaps nobody runs any."""

    queue: JobQueue
    jobs: Jobs
    nodes: NodeJobs
    take_up: OrphanJobs | None
    waker: ThreadWaker | None

    @classmethod
    def over(
        cls, database: Database, audit: AuditTrail, *, broker_url: str = "", modules: Sequence[str] = ()
    ) -> GatewayJobs:
        """Opens nothing: the broker is connected to when there is something to tell. Raises ConfigError."""
        registry = load_registry(modules)
        waker = celery_waker(broker_url) if broker_url else None
        queue = JobQueue(database, registry, waker)
        nodes = NodeJobs(database, registry, JobLeases(database, registry))
        return cls(queue, Jobs(database, queue, audit), nodes, OrphanJobs(queue) if waker else None, waker)

    def close(self) -> None:
        """Send the last wake-ups, within a second or two."""
        if self.waker is not None:
            self.waker.close()
