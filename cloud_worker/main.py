"""The cloud worker as a process: load the model, dial the control plane, serve clients, and leave in good order."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from typing import Any

import torch

from cloud_worker.config import WorkerConfig
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import load_engine
from cloud_worker.http.door import Door
from cloud_worker.telemetry import WorkerSampler
from edgewise import __version__
from edgewise.api.server import bind
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.ids import new_id
from edgewise.node.driver import EngineDriver
from edgewise.node.engine_thread import given_up_error
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.observability.config import observing
from edgewise.observability.observer import Observer
from edgewise.settings import make_data_dir
from edgewise.signals import stop_signals

GOODBYE_S = 5.0
logger = logging.getLogger(__name__)


async def run_worker(config: WorkerConfig) -> None:
    """Serve until SIGINT or SIGTERM: a control plane, clients at an address of our own, or both. An unreachable control
    plane is no error: the worker keeps dialling.

    Raises ConfigError, PortInUseError, DataDirError, ModelMissingError, ModelDigestError, ManifestError, and
    TierLostError when the engine had to be given up (a fresh process may do better).
    """
    make_data_dir(config.data_dir)
    key = config.node_key if config.url else ""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(closing(bind(*config.http_address))) if config.http_address else None
        stop = stack.enter_context(stop_signals())
        observer = stack.enter_context(observing("worker", config.name, config.data_dir))
        engine, tokenizer = await asyncio.to_thread(load_model, config)
        driver = await stack.enter_async_context(_driving(config, engine, tokenizer))
        observer.gauge("edgewise.queue.depth").watch(lambda: {("cloud",): float(driver.load().queued)})
        door = link = sampler = None
        if listener is not None:
            opened = Door.opened(config, listener, driver, engine.manifest, tokenizer, observer, logprobs=True)
            door = await stack.enter_async_context(opened)
            logger.info("cloud worker %s serves at http://%s", config.name, _shown(listener))
        if config.url:
            link, telemetry = new_link(config, key, engine, driver, observer)
            sampler = WorkerSampler(driver.load, telemetry.add, interval_s=config.sample_interval_s, now=time.time)
        logger.info("cloud worker %s ready with %s on %s", config.name, engine.manifest.name, config.device)
        await serve(link, sampler, driver, stop, door, config.drain_s)


def _shown(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def load_model(config: WorkerConfig) -> tuple[TorchEngine, ChatTokenizer]:
    """Engine and tokenizer of the model directory; sets torch's threads for the whole process. Raises as run_worker."""
    torch.set_num_threads(config.engine_threads)
    engine = load_engine(config.model_dir, config.engine_options, config.draft_model)
    return engine, ChatTokenizer.load(config.model_dir)


def new_link(
    config: WorkerConfig, key: str, engine: TorchEngine, driver: EngineDriver, observer: Observer | None = None
) -> tuple[NodeLink, MemoryTelemetry]:
    """The session with the control plane and the telemetry that it carries."""
    telemetry = MemoryTelemetry(new_id())
    link = LinkConfig(url=config.url, key=key, node_id=config.name, kind="cloud", agent_version=__version__)
    return NodeLink(link, driver, [engine.manifest], telemetry, observer=observer), telemetry


@asynccontextmanager
async def _driving(config: WorkerConfig, engine: TorchEngine, tokenizer: ChatTokenizer) -> AsyncIterator[EngineDriver]:
    driver = EngineDriver(
        engine,
        tokenizer,
        kind="cloud",
        name=f"cloud:{config.name}",
        models=(engine.manifest.name,),
        throttle_tokens_per_s=config.throttle_tokens_per_s,
        max_queue=config.max_queue,
    )
    await driver.start()
    try:
        yield driver
    finally:
        await driver.stop()


async def serve(
    link: NodeLink | None,
    sampler: WorkerSampler | None,
    driver: EngineDriver,
    stop: asyncio.Event,
    door: Door | None = None,
    drain_s: float = 0.0,
) -> None:
    """Keep link, sampler and door going until `stop` or the engine's end, then say goodbye. Raises TierLostError.

    Clients of the door get `drain_s` to have their answers.
    """
    talking = asyncio.create_task(link.run() if link else _for_ever())
    sampling = asyncio.create_task(sampler.run() if sampler else _for_ever())
    ends = [asyncio.create_task(event.wait()) for event in (stop, driver.given_up)]
    served = [door.server] if door else []
    try:
        await asyncio.wait((talking, sampling, *served, *ends), return_when=asyncio.FIRST_COMPLETED)
        leaving = [_say_goodbye(link, talking)] if link else []
        leaving += [door.leave(0.0 if driver.given_up.is_set() else drain_s)] if door else []
        await asyncio.gather(*leaving)
    finally:
        await _end((talking, sampling, *ends))
    for server in served:
        if server.done():
            server.result()
    if driver.given_up.is_set():
        raise given_up_error()


async def _say_goodbye(link: NodeLink, talking: asyncio.Task[Any]) -> None:
    await link.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(talking, GOODBYE_S)


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what still runs; a task that failed by itself raises here."""
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()
