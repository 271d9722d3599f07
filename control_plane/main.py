"""The control plane as a process: bind, start the parts, serve, drain, stop."""

from __future__ import annotations

import logging

from control_plane.app import build_server_app
from control_plane.config import ControlConfig
from control_plane.plane import ControlPlane
from edgewise.api.server import bind, serving, settle_garbage
from edgewise.signals import stop_signals, until_stopped

logger = logging.getLogger(__name__)


async def run_control(config: ControlConfig) -> None:
    """Serve until SIGINT or SIGTERM. Raises PortInUseError, DataDirError, LogUnavailableError, ModelMissingError."""
    listener = bind(config.host, config.port)
    with stop_signals() as stop:
        async with (
            ControlPlane.running(config) as plane,
            serving(build_server_app(plane), listener, http="httptools") as server,
        ):
            settle_garbage()
            logger.info("control plane ready at %s", config.base_url)
            await until_stopped(stop, server)
            await plane.drain(config.drain_s)
