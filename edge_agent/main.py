"""The edge agent as a process: bind, start the parts, serve local apps, read the model again on SIGHUP, drain, stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import closing

from edge_agent.adapted import reread_adapters
from edge_agent.agent import EdgeAgent
from edge_agent.config import AgentConfig
from edgewise.api.server import bind, serving
from edgewise.ending import end
from edgewise.models.announcing import announced
from edgewise.signals import calling_on, stop_signals, until_stopped

DRAIN_S = 5.0
logger = logging.getLogger(__name__)


async def run_agent(config: AgentConfig) -> None:
    """Serve until SIGINT or SIGTERM. Raises PortInUseError, ModelMissingError, ModelDigestError, ManifestError,
    ModelTooLargeError, ConfigError, DataDirError; an unreachable control plane is no error: the device answers alone.

    SIGHUP says that the model directory may hold another version, and files of adapters, too; one that comes before the
    agent is ready counts."""
    again = asyncio.Event()
    with (
        closing(bind(config.local_host, config.local_port)) as listener,
        stop_signals() as stop,
        calling_on((signal.SIGHUP,), again.set),
        announced(config.data_dir),
    ):
        port = listener.getsockname()[1]
        async with EdgeAgent.running(config) as agent, serving(agent.app, listener) as server:
            logger.info("edge agent %s ready at http://%s:%d", config.name, config.local_host, port)
            rereading = asyncio.create_task(_reread(agent, again), name="reread-model")
            try:
                await until_stopped(stop, server)
            finally:
                await end(rereading)
            agent.app.leaving.begin()
            await agent.runner.drain(DRAIN_S)


async def _reread(agent: EdgeAgent, again: asyncio.Event) -> None:
    """A signal that comes while a version is being opened is heard: the last one counts."""
    async with asyncio.TaskGroup() as looks:
        while True:
            await again.wait()
            again.clear()
            looks.create_task(_look(agent))


async def _look(agent: EdgeAgent) -> None:
    try:
        await agent.tier.models.reread()
        await reread_adapters(agent.tier.models, agent.config.adapters)
    except Exception:
        logger.exception("the model directory could not be read again; the model that is served goes on")
