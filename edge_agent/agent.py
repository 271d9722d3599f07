"""EdgeAgent: every part of a running agent, opened in order and closed in reverse. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from edge_agent.adapted import AdaptedModels
from edge_agent.cloud import FAMILY_MODEL, CloudTier, new_http_client
from edge_agent.config import SETTINGS, AgentConfig
from edge_agent.host import DeviceHost, Link
from edge_agent.ladder import LadderWatch
from edge_agent.local_api import LocalApi
from edge_agent.policy_store import PolicyStore
from edge_agent.policy_trust import TrustedKeys
from edge_agent.private_files import kept_secret
from edge_agent.serving import GatewayDoor, Models, ServedModel
from edge_agent.serving.configured import ladder_watch, served_model, with_facts_file
from edge_agent.serving.placing import clamped
from edge_agent.telemetry.buffer import TelemetryRing
from edge_agent.telemetry.sampler import Sampler
from edge_agent.telemetry.sources import PsutilSource
from edge_agent.telemetry.vitals import VitalsSource, VitalValue
from edgewise import __version__
from edgewise.api.host import Family
from edgewise.api.owners import SECRET_BYTES, Owners
from edgewise.api.service import AnswerService
from edgewise.api.takeover import Takeover
from edgewise.ending import end
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.observability.config import observing
from edgewise.observability.observer import Observer
from edgewise.routing.runner import Runner
from edgewise.settings import make_data_dir
from edgewise.streams.sqlite_log import SqliteStreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import ConfigError
from policies.library import seed_text

GOODBYE_S = 2.0
OWNERS_FILE = "owners.secret"
"""What salts of contexts are made with: contexts on disk outlive the process, so it does too."""
Work = Callable[[], Awaitable[None]]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EdgeAgent:
    """The parts of a running agent that others look at. `link` is None for a device that has no control plane."""

    config: AgentConfig
    app: LocalApi
    tier: ServedModel
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
    telemetry = TelemetryRing(config.data_dir / "telemetry.sqlite3", now=time.time)
    stack.callback(telemetry.close)
    tier = served_model(config, telemetry.append)
    watch = ladder_watch(config, tier, telemetry.append)
    changes = await _start_tier(tier, watch, stack)
    policies = _open_policies(config, telemetry)
    sampler = _start_sampler(config, telemetry, watch, stack)
    observer.gauge("edgewise.queue.depth").watch(lambda: {("edge",): float(tier.load().queued)})
    adapted = AdaptedModels(tier, lambda: tier.models.manifest.name, tier.models.adapters, config.default_adapter)
    link = _new_link(config, tier, telemetry, policies, sampler, observer)
    host = DeviceHost(
        name=config.name,
        edge=tier,
        cloud=_new_cloud(config, stack),
        families=lambda: _families(tier.models, adapted),
        decide=policies.decide,
        link=lambda: _seen(link),
        device_facts=sampler.facts,
        adapted=adapted,
        record=telemetry.append,
        local_key=config.local_key,
        clamp=lambda decision, facts: clamped(decision, facts, tier.limits, every_row=tier.every_row),
        owners=Owners(kept_secret(config.data_dir / OWNERS_FILE, SECRET_BYTES)),
    )
    service, runner = _start_answers(config, host, stack, observer)
    observer.gauge("edgewise.streams.open").watch(lambda: {(): float(runner.running)})
    if link is not None:
        stack.push_async_callback(_leave, link, _keep(stack, link.run, "node-link"))

    def health() -> dict[str, Any]:
        online, policy = _seen(link).online, policies.policy_digest[:12]
        parts = {"name": config.name, "model": tier.models.manifest.name, "online": online, "policy": policy}
        parts |= {"loaded": tier.models.current is not None, "version": tier.models.manifest.id[:12]}
        parts |= {"ladder": _rungs(watch), "accepts": str(tier.limits.accept), "reason": tier.limits.reason}
        trouble, healthy = tier.models.trouble, tier.healthy and not changes.done()
        parts |= {"trouble": "" if trouble is None else trouble.message, "changes": not changes.done()}
        return {**parts, "policy_is": policies.standing, "running": runner.running, "healthy": healthy}

    return EdgeAgent(config, LocalApi(service, health), tier, policies, telemetry, runner, link)


def _open_policies(config: AgentConfig, telemetry: TelemetryRing) -> PolicyStore:
    directory = config.data_dir / "policy"
    trusted = TrustedKeys(directory, config.policy_keys)
    return PolicyStore(directory, seed_text(), trusted, record=telemetry.append)


async def _start_tier(tier: ServedModel, watch: LadderWatch | None, stack: AsyncExitStack) -> asyncio.Task[None]:
    """The first model is opened within the limits of this moment; the task is what changes it from then on."""
    if watch is not None:
        watch.step()
    await tier.models.start()
    stack.push_async_callback(tier.models.stop)
    changes = _keep(stack, tier.models.run, "models")
    if watch is not None:
        _keep(stack, watch.run, "ladder")
    return changes


def _rungs(watch: LadderWatch | None) -> dict[str, str]:
    return {} if watch is None or watch.standing is None else dict(watch.standing.rungs)


def _start_sampler(
    config: AgentConfig, telemetry: TelemetryRing, watch: LadderWatch | None, stack: AsyncExitStack
) -> Sampler:
    """A sampler that has its first sample, so that the first request is decided by facts."""
    interval_s = config.sample_interval_s
    sampler = Sampler(
        with_facts_file(config, PsutilSource()),
        telemetry.append,
        interval_s=interval_s,
        now=time.time,
        clock=time.monotonic,
        vitals=_vitals(watch),
    )
    sampler.sample()
    _keep(stack, sampler.run, "telemetry-sampler")
    return sampler


def _vitals(watch: LadderWatch | None) -> Callable[[], dict[str, VitalValue]]:
    source = VitalsSource()
    return lambda: source.read().values() | {f"ladder.{name}": rung for name, rung in _rungs(watch).items()}


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


def _families(models: Models, adapted: AdaptedModels) -> dict[str, Family]:
    """The family's name first, as on the control plane, then this very model, then it under its adapters."""
    context = models.manifest.context_tokens
    names = (FAMILY_MODEL, models.manifest.name, *adapted.names())
    return {name: Family(name, models.tokenizer, context) for name in names}


def _new_link(
    config: AgentConfig,
    tier: ServedModel,
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
    about = LinkConfig(
        url=config.url,
        key=config.node_key,
        node_id=config.name,
        kind="edge",
        labels=config.labels,
        agent_version=__version__,
        policy_digest=policies.digest,
    )
    link = NodeLink(
        about,
        GatewayDoor(tier),
        [tier.models.manifest],
        telemetry,
        on_policy=policies.take,
        device=sampler.facts,
        observer=observer,
    )
    tier.models.watch(lambda: link.offer([tier.models.manifest]))
    return link


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
