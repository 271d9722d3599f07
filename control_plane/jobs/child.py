"""JobChild: what a child process of `edgewise jobs` opens, runs and closes, on its own event loop."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack

from control_plane.database import Database
from control_plane.jobs.bodies import Resources, open_bodies
from control_plane.jobs.config import JobsConfig
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.registry import Registry
from control_plane.jobs.worker import JobRunner
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)


class JobChild:
    """Runs jobs with clients of its own; `holder_prefix` names the process that forked it."""

    def __init__(self, config: JobsConfig, registry: Registry, holder_prefix: str) -> None:
        self._config = config
        self._registry = registry
        self._holder = f"{holder_prefix}{os.getpid()}"
        self._stack = AsyncExitStack()
        self._runner: JobRunner | None = None

    async def open(self) -> None:
        """Open the clients; none of them connects before it is needed."""
        database = Database(self._config.sql_url, pool_size=2)
        self._stack.push_async_callback(database.close)
        leases = JobLeases(database, self._registry)
        bodies = await open_bodies(Resources(self._config, database, leases), self._stack)
        self._runner = JobRunner(leases, self._registry, bodies, holder=self._holder, drain_s=self._config.jobs_drain_s)

    async def run(self, job_id: str, kind: str) -> None:
        """Run the job, if it is to be had. What a database that is away leaves undone, the dispatcher repeats."""
        assert self._runner is not None
        try:
            await self._runner.run(job_id, kind)
        except EdgewiseError as error:
            logger.warning("a job could not be claimed: %s", error, extra={"job": job_id})

    def drain(self) -> None:
        """Let go of the present job soon, and take no other."""
        if self._runner is not None:
            self._runner.drain()

    async def close(self) -> None:
        """Close the clients."""
        await self._stack.aclose()
