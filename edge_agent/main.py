"""The edge agent as a process: bind, start the parts, serve local apps, drain, stop."""

from __future__ import annotations

import logging
from contextlib import closing

from edge_agent.agent import EdgeAgent
from edge_agent.config import AgentConfig
from edgewise.api.server import bind, serving
from edgewise.signals import stop_signals, until_stopped

DRAIN_S = 5.0
logger = logging.getLogger(__name__)


async def run_agent(config: AgentConfig) -> None:
    """Serve until SIGINT or SIGTERM. Raises PortInUseError, ModelMissingError, ModelDigestError, ManifestError,
    ConfigError, DataDirError; an unreachable control plane is no error, the device answers by itself."""
    with closing(bind(config.local_host, config.local_port)) as listener, stop_signals() as stop:
        port = listener.getsockname()[1]
        async with EdgeAgent.running(config) as agent, serving(agent.app, listener) as server:
            logger.info("edge agent %s ready at http://%s:%d", config.name, config.local_host, port)
            await until_stopped(stop, server)
            agent.app.leaving.begin()
            await agent.runner.drain(DRAIN_S)
