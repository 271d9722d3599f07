"""`edgewise forge` as a process: claim forge jobs and run them until told to stop. It imports no torch: bodies do."""

from __future__ import annotations

import logging
import random
import time

from cloud_worker.forge.jobs.api import JobsApi
from cloud_worker.forge.jobs.config import ForgeConfig
from cloud_worker.forge.jobs.consumer import Consumer
from cloud_worker.forge.jobs.kinds import chosen, load_kinds
from cloud_worker.forge.jobs.machine import Machine
from cloud_worker.forge.jobs.process import ProcessStarter
from cloud_worker.forge.jobs.workspace import Workspaces
from edgewise.settings import make_data_dir
from edgewise.signals import calling_on_stop
from edgewise.wire.forge_jobs import CAPABILITY

logger = logging.getLogger(__name__)


async def run_forge(config: ForgeConfig) -> None:
    """Until SIGINT or SIGTERM. An unreachable control plane is no error: it is asked again.

    Raises ConfigError, DataDirError.
    """
    kinds = chosen(load_kinds(config.modules), config.kinds)
    key = config.node_key
    make_data_dir(config.data_dir)
    workspaces = Workspaces(config.data_dir)
    with workspaces.owned():
        api = JobsApi(config.url, key, holder=config.name, offers=(CAPABILITY,))
        machine = Machine(
            dice=random.Random(),
            poll_s=config.poll_s,
            drain_s=config.drain_s,
            unreported=workspaces.unreported(),
        )
        consumer = Consumer(api, machine, workspaces, ProcessStarter(config), kinds, time.monotonic)
        logger.info("forge %s ready for %s", config.name, ", ".join(kinds))
        try:
            with calling_on_stop(consumer.drain):
                await consumer.run()
        finally:
            await api.aclose()
