"""`edgewise jobs` as a process: Celery's worker on the main thread, the dispatcher on another, bodies in children."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from control_plane.database import Database
from control_plane.jobs.child import JobChild
from control_plane.jobs.config import JobsConfig
from control_plane.jobs.dispatcher import Dispatcher
from control_plane.jobs.leases import JobLeases
from control_plane.jobs.loop import DispatchLoop
from control_plane.jobs.queue import JobQueue
from control_plane.jobs.registry import Registry, load_registry
from control_plane.jobs.schedules import SCHEDULES
from control_plane.jobs.ticks import Ticker
from control_plane.jobs.wakeups import DirectWaker
from edgewise import settings
from edgewise.ids import new_id

logger = logging.getLogger(__name__)


def run_jobs(config: JobsConfig) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. Raises ConfigError, DataDirError, DatabaseUnavailableError."""
    from control_plane.jobs.celery_app import Worker  # only this process needs Celery

    config.require_urls()
    registry = load_registry(config.job_modules)
    settings.make_data_dir(config.data_dir)
    asyncio.run(_migrate(config))
    holder_prefix = f"{socket.gethostname()}/{new_id()}/"
    loop = DispatchLoop(lambda: _dispatcher(config, registry), holder_prefix=holder_prefix)

    def on_ready() -> None:
        loop.start()
        if config.jobs_ready_file:
            config.jobs_ready_file.write_text(str(os.getpid()), encoding="utf-8")
        logger.info("jobs ready: %d children for %s", config.jobs_concurrency, ", ".join(config.jobs_queues))

    worker = Worker(
        config.broker_url,
        lambda: JobChild(config, registry, holder_prefix),
        concurrency=config.jobs_concurrency,
        queues=config.jobs_queues,
        on_ready=on_ready,
        on_lost=loop.lost,
    )
    gc.collect()
    gc.freeze()  # children share what is here now, as long as no collector touches it
    try:
        return worker.run()
    finally:
        if config.jobs_ready_file:
            config.jobs_ready_file.unlink(missing_ok=True)
        loop.stop()


async def _migrate(config: JobsConfig) -> None:
    database = Database(config.sql_url)
    try:
        await database.migrate()
    finally:
        await database.close()


def _dispatcher(config: JobsConfig, registry: Registry) -> AbstractAsyncContextManager[tuple[Dispatcher, JobLeases]]:
    from control_plane.jobs.celery_app import Publisher

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Dispatcher, JobLeases]]:
        database = Database(config.sql_url, pool_size=1)
        publisher = Publisher(config.broker_url)
        leases = JobLeases(database, registry)
        ticker = Ticker(database, JobQueue(database, registry), SCHEDULES)
        try:
            yield Dispatcher(database, registry, leases, DirectWaker(publisher), ticker), leases
        finally:
            publisher.close()
            await database.close()

    return opened()
