"""The bodies of all kinds of jobs, each made of what it needs. Wiring only; they live in their features' tasks.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from control_plane.answers.tasks import resume_stream
from control_plane.caches.tasks import warm_caches
from control_plane.database import Database
from control_plane.decisions.sealed import SealedStreams
from control_plane.decisions.tasks import export_decisions
from control_plane.gateways.directory import GatewayDirectory
from control_plane.jobs.config import JobsConfig
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.registry import job_module
from control_plane.jobs.worker import Body
from control_plane.streams.archive import Sealer
from control_plane.streams.tasks import purge_sealed, seal_and_trim
from control_plane.streams.valkey_log import UNSEALED_TTL_S, ValkeyStreamLog, connect
from control_plane.usage.tasks import prune_charges

EXPORTS = "exports"


@dataclass(frozen=True)
class Resources:
    """What every child process has."""

    config: JobsConfig
    database: Database
    leases: JobLeases


async def open_bodies(resources: Resources, stack: AsyncExitStack) -> dict[str, Body]:
    """The body of each kind that Celery's children run; `stack` closes what they opened."""
    config, database = resources.config, resources.database
    log = ValkeyStreamLog(connect(config.log_url), ttl_s=config.stream_ttl_s, unsealed_ttl_s=UNSEALED_TTL_S)
    stack.push_async_callback(log.aclose)
    sealed = SealedStreams(database)

    @asynccontextmanager
    async def gateways() -> AsyncIterator[GatewayDirectory]:
        """A fresh one for each job: between jobs a child's event loop stands still, and would hear nobody."""
        directory = GatewayDirectory(config.log_url)
        try:
            yield directory
        finally:
            await directory.aclose()

    bodies: dict[str, Body] = {
        "resume_stream": resume_stream(gateways),
        "seal_and_trim": seal_and_trim(log, Sealer(log, sealed)),
        "purge_sealed": purge_sealed(sealed, config.sealed_retention_days),
        "prune_charges": prune_charges(database),
        "warm_caches": warm_caches(gateways),
        "export_decisions": export_decisions(database, config.data_dir / EXPORTS),
    }
    for name in config.job_modules:
        bodies |= await job_module(name).open_bodies(resources, stack)
    return bodies
