"""The edge agent as a process: bind, start the parts, serve local apps, drain, stop."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields

from edge_agent.agent import EdgeAgent
from edge_agent.config import AgentConfig, parse_setting
from edgewise.api.server import bind, serving, stop_signals, until_stopped
from edgewise.wire.errors import EdgewiseError

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
            await agent.runner.drain(DRAIN_S)


def parse_arguments(arguments: Sequence[str]) -> AgentConfig:
    """Flags named as the settings are (`--model-dir`). Raises ConfigError; exits for --help and unknown flags."""
    parser = argparse.ArgumentParser(prog="edge-agent", description="Run a quantized model on this device.")
    for setting in fields(AgentConfig):
        parser.add_argument(f"--{setting.name.replace('_', '-')}", dest=setting.name)
    given = vars(parser.parse_args(arguments))
    return AgentConfig.load(**{name: parse_setting(name, text) for name, text in given.items() if text is not None})


def main(arguments: Sequence[str] | None = None) -> int:
    """The process's entry point; returns its exit status. A fault is told in sentences, never as a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        asyncio.run(run_agent(parse_arguments(sys.argv[1:] if arguments is None else arguments)))
    except EdgewiseError as error:
        logger.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
