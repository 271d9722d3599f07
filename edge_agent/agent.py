"""EdgeAgent: every part of a running agent, opened in order and closed in reverse. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from edge_agent.cloud import FAMILY_MODEL, CloudTier, new_http_client
from edge_agent.config import SETTINGS, AgentConfig
from edge_agent.host import DeviceHost, Link
from edge_agent.local_api import LocalApi
from edge_agent.policy_store import PolicyStore
from edge_agent.policy_trust import TrustedKeys
from edge_agent.runtime import OnnxEngine
from edge_agent.runtime.engine import EngineOptions
from edge_agent.runtime.kv_disk import disk_options
from edge_agent.sqlite_log import SqliteStreamLog
from edge_agent.telemetry.buffer import TelemetryRing
from edge_agent.telemetry.sampler import Sampler
from edge_agent.telemetry.sources import DeviceSource, FactsFile, OverriddenSource, PsutilSource
from edge_agent.telemetry.vitals import VitalsSource, VitalValue
from edgewise import __version__
from edgewise.api.host import Family
from edgewise.api.service import AnswerService
from edgewise.api.takeover import Takeover
from edgewise.ending import end
from edgewise.generation.tokenizer import ChatTokenizer
from edgewise.node.driver import EngineDriver
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.observability.config import observing
from edgewise.observability.observer import Observer
from edgewise.routing.runner import Runner
from edgewise.settings import make_data_dir
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import ConfigError
from policies.library import seed_text

GOODBYE_S = 2.0
Work = Callable[[], Awaitable[None]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EdgeAgent:
    """The parts of a running agent that others look at. `link` is None for a device that has no control plane."""

    config: AgentConfig
    app: LocalApi
    tier: EngineDriver
    policies: PolicyStore
    telemetry: TelemetryRing
    runner: Runner
    link: NodeLink | None

    @staticmethod
    @asynccontextmanager
    async def running(config: AgentConfig) -> AsyncIterator[EdgeAgent]:
        """Open everything, and close it again. Raises ModelMissingError, ModelDigestError, ManifestError, ConfigError,
        DataDirError; an unreachable control plane is no error."""
        async with AsyncExitStack() as stack:
            yield await _open(config, stack)


async def _open(config: AgentConfig, stack: AsyncExitStack) -> EdgeAgent:
    make_data_dir(config.data_dir)
    observer = stack.enter_context(observing("agent", config.name, config.data_dir))
    engine, tokenizer = await asyncio.to_thread(_load_model, config)
    tier = await _start_tier(config, engine, tokenizer, stack)
    telemetry = TelemetryRing(config.data_dir / "telemetry.sqlite3", now=time.time)
    stack.callback(telemetry.close)
    policies = _open_policies(config, telemetry)
    sampler = _start_sampler(config, telemetry, stack)
    observer.gauge("edgewise.queue.depth").watch(lambda: {("edge",): float(tier.load().queued)})
    link = _new_link(config, tier, engine, telemetry, policies, sampler, observer)
    host = DeviceHost(
        name=config.name,
        edge=tier,
        cloud=_new_cloud(config, stack),
        families=_families(engine, tokenizer),
        decide=policies.decide,
        link=lambda: _seen(link),
        device_facts=sampler.facts,
        record=telemetry.append,
        local_key=config.local_key,
    )
    service, runner = _start_answers(config, host, stack, observer)
    observer.gauge("edgewise.streams.open").watch(lambda: {(): float(runner.running)})
    if link is not None:
        stack.push_async_callback(_leave, link, _keep(stack, link.run, "node-link"))

    def health() -> dict[str, Any]:
        online, policy = _seen(link).online, policies.policy_digest[:12]
        parts = {"name": config.name, "model": engine.manifest.name, "online": online, "policy": policy}
        return {**parts, "policy_is": policies.standing, "running": runner.running, "healthy": tier.healthy}

    return EdgeAgent(config, LocalApi(service, health), tier, policies, telemetry, runner, link)


def _open_policies(config: AgentConfig, telemetry: TelemetryRing) -> PolicyStore:
    directory = config.data_dir / "policy"
    trusted = TrustedKeys(directory, config.policy_keys)
    return PolicyStore(directory, seed_text(), trusted, record=telemetry.append)


def _load_model(config: AgentConfig) -> tuple[OnnxEngine, ChatTokenizer]:
    options = EngineOptions(
        threads=config.engine_threads,
        slots=config.slots,
        max_queue=config.max_queue,
        numerics=config.numerics,
        speculation=config.speculation == "auto",
        machine_dir=config.data_dir / "machine",
        prefix_bytes=config.prefix_cache_mb << 20,
        context=config.context,
        memory_reserve_bytes=None if config.memory_reserve_mb is None else config.memory_reserve_mb << 20,
        saved=disk_options(config.data_dir, config.prefix_disk_mb, config.prefix_disk_s),
    )
    return OnnxEngine.load(config.model_dir, options), ChatTokenizer.load(config.model_dir)


async def _start_tier(
    config: AgentConfig, engine: OnnxEngine, tokenizer: ChatTokenizer, stack: AsyncExitStack
) -> EngineDriver:
    tier = EngineDriver(
        engine,
        tokenizer,
        kind="edge",
        name=f"edge:{config.name}",
        models=(engine.manifest.name,),
        throttle_tokens_per_s=config.throttle_tokens_per_s,
        max_queue=config.max_queue,
    )
    await tier.start()
    stack.push_async_callback(tier.stop)
    return tier


def _start_sampler(config: AgentConfig, telemetry: TelemetryRing, stack: AsyncExitStack) -> Sampler:
    """A sampler that has its first sample, so that the first request is decided by facts."""
    interval_s = config.sample_interval_s
    sampler = Sampler(
        _source(config),
        telemetry.append,
        interval_s=interval_s,
        now=time.time,
        clock=time.monotonic,
        vitals=_vitals(),
    )
    sampler.sample()
    _keep(stack, sampler.run, "telemetry-sampler")
    return sampler


def _vitals() -> Callable[[], dict[str, VitalValue]]:
    source = VitalsSource()
    return lambda: source.read().values()


def _start_answers(
    config: AgentConfig, host: DeviceHost, stack: AsyncExitStack, observer: Observer
) -> tuple[AnswerService, Runner]:
    """The token log and what writes and reads it; answers that the last process left open are taken up again."""
    log = SqliteStreamLog(config.data_dir / "streams.sqlite3", ttl_s=config.stream_ttl_s)
    stack.push_async_callback(log.aclose)
    runner = Runner(log, holder=f"agent:{config.name}", lease_s=config.lease_s)
    stack.push_async_callback(runner.drain, 0.0)
    service = AnswerService(host, log, TailerHub(log), runner, observer=observer)
    _keep(stack, Takeover(service).run, "takeover")
    return service, runner


def _source(config: AgentConfig) -> DeviceSource:
    measured = PsutilSource()
    return OverriddenSource(measured, FactsFile(config.device_facts).read) if config.device_facts else measured


def _families(engine: OnnxEngine, tokenizer: ChatTokenizer) -> dict[str, Family]:
    """The family's name first, as on the control plane, then this very model."""
    context = engine.manifest.context_tokens
    return {name: Family(name, tokenizer, context) for name in (FAMILY_MODEL, engine.manifest.name)}


def _new_link(
    config: AgentConfig,
    tier: EngineDriver,
    engine: OnnxEngine,
    telemetry: TelemetryRing,
    policies: PolicyStore,
    sampler: Sampler,
    observer: Observer,
) -> NodeLink | None:
    if not config.url:
        return None
    if not config.node_key:
        raise ConfigError(
            "There is an address of a control plane, but no node key for it",
            where=f"{SETTINGS.ways('key_file')}, or {SETTINGS.ways('key')}",
            expected=SETTINGS.settings["key"].expected,
            remedy="pass --key-file, or leave --url out to run the device by itself",
        )
    link = LinkConfig(
        url=config.url,
        key=config.node_key,
        node_id=config.name,
        kind="edge",
        labels=config.labels,
        agent_version=__version__,
        policy_digest=policies.digest,
    )
    return NodeLink(
        link,
        tier,
        [engine.manifest],
        telemetry,
        on_policy=policies.take,
        device=sampler.facts,
        observer=observer,
    )


def _seen(link: NodeLink | None) -> Link:
    return Link() if link is None else Link(link.connected.is_set(), link.rtt_ms)


def _new_cloud(config: AgentConfig, stack: AsyncExitStack) -> CloudTier | None:
    """The cloud for local apps; without an app key their answers come from this device alone."""
    if not config.url or not config.cloud_key:
        return None
    http = new_http_client(config.url)
    stack.push_async_callback(http.aclose)
    cloud = CloudTier(config.url, config.cloud_key, http)
    stack.push_async_callback(cloud.settle)
    return cloud


def _keep(stack: AsyncExitStack, work: Work, name: str) -> asyncio.Task[None]:
    """Run `work` beside the answers until the agent closes; its failure is loud, but stops no answer."""
    task = asyncio.create_task(_loudly(work, name), name=name)
    stack.push_async_callback(end, task)
    return task


async def _leave(link: NodeLink, task: asyncio.Task[None]) -> None:
    """Say goodbye, for a moment at most."""
    await link.stop()
    await asyncio.wait({task}, timeout=GOODBYE_S)


async def _loudly(work: Work, name: str) -> None:
    try:
        await work()
    except Exception:
        logger.exception("%s failed; the agent goes on without it", name)
