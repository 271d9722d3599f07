"""The cloud worker as a process: load the model, dial the control plane, serve, and leave in good order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import torch

from cloud_worker.config import WorkerConfig
from cloud_worker.engine.core import TorchEngine
from cloud_worker.engine.loader import load_engine
from cloud_worker.telemetry import WorkerSampler
from edgewise import __version__
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
    """Serve until SIGINT or SIGTERM. An unreachable control plane is no error: the worker keeps dialling.

    Raises ConfigError, DataDirError, ModelMissingError, ModelDigestError, ManifestError, and TierLostError when the
    engine had to be given up (a fresh process may do better).
    """
    make_data_dir(config.data_dir)
    key = config.node_key
    with stop_signals() as stop, observing("worker", config.name, config.data_dir) as observer:
        engine, tokenizer = await asyncio.to_thread(load_model, config)
        async with _driving(config, engine, tokenizer) as driver:
            observer.gauge("edgewise.queue.depth").watch(lambda: {("cloud",): float(driver.load().queued)})
            link, telemetry = new_link(config, key, engine, driver, observer)
            sampler = WorkerSampler(driver.load, telemetry.add, interval_s=config.sample_interval_s, now=time.time)
            logger.info("cloud worker %s ready with %s on %s", config.name, engine.manifest.name, config.device)
            await serve(link, sampler, driver, stop)


def load_model(config: WorkerConfig) -> tuple[TorchEngine, ChatTokenizer]:
    """Engine and tokenizer of the model directory; sets torch's threads for the whole process. Raises as run_worker."""
    torch.set_num_threads(config.engine_threads)
    return load_engine(config.model_dir, config.engine_options), ChatTokenizer.load(config.model_dir)


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


async def serve(link: NodeLink, sampler: WorkerSampler, driver: EngineDriver, stop: asyncio.Event) -> None:
    """Keep link and sampler going until `stop` or the engine's end, then say goodbye. Raises TierLostError."""
    talking, sampling = asyncio.create_task(link.run()), asyncio.create_task(sampler.run())
    ends = [asyncio.create_task(event.wait()) for event in (stop, driver.given_up)]
    try:
        await asyncio.wait((talking, sampling, *ends), return_when=asyncio.FIRST_COMPLETED)
        await link.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(talking, GOODBYE_S)
    finally:
        await _end((talking, sampling, *ends))
    if driver.given_up.is_set():
        raise given_up_error()


async def _end(tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Cancel what still runs; a task that failed by itself raises here."""
    failed = [task for task in tasks if task.done() and not task.cancelled() and task.exception() is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in failed:
        task.result()
