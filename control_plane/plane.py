"""ControlPlane: every part of a running control plane, opened in order and closed in reverse. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from control_plane.accounts.expiry import ExpiryWatch
from control_plane.accounts.first_keys import ensure_first_keys
from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.service import Accounts
from control_plane.answers.families import load_families, shared_tokens
from control_plane.answers.host import ControlHost
from control_plane.answers.wishes import FleetWishes
from control_plane.answers.world import LiveWorld
from control_plane.audit.service import AuditTrail
from control_plane.caches.popular import PopularPrompts
from control_plane.caches.warmer import Warmer
from control_plane.config import ControlConfig
from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.sealed import SealedStreams
from control_plane.decisions.service import Decisions
from control_plane.decisions.spill import SpillFile
from control_plane.gateways.changes import SharedChanges
from control_plane.gateways.connecting import gateway_connections
from control_plane.gateways.epochs import SharedEpochs
from control_plane.gateways.service import Gateways, Identity
from control_plane.gateways.work import Work
from control_plane.jobs.gateway import GatewayJobs
from control_plane.model_versions.active import ActiveModels
from control_plane.model_versions.service import ModelCatalog
from control_plane.nodes.administration import NodeAdministration
from control_plane.nodes.admission import NodeGate
from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.socket import NodeSocket
from control_plane.nodes.views import NodeView
from control_plane.nodes.wishes import NodeWishes
from control_plane.observing.census import Census
from control_plane.observing.gauges import watch_gateway
from control_plane.observing.service import Latency
from control_plane.policy_admin.service import PolicyStore
from control_plane.policy_bundles.service import PolicyBundles
from control_plane.policy_bundles.signing_key import open_signing_key
from control_plane.policy_rollouts.director import Director
from control_plane.policy_rollouts.service import PolicyRollouts, refuse_while_open
from control_plane.seat import first_start, seated
from control_plane.stream_admin.service import StreamDesk
from control_plane.streams.archive import ArchivedLog, Sealer
from control_plane.streams.repeats import ValkeyRepeats
from control_plane.streams.sealing import SealShare
from control_plane.streams.server_check import check_server
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from control_plane.telemetry.service import TelemetryIntake
from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.ready import Upstreams, upstream_models
from control_plane.usage.metering import metering
from control_plane.usage.reports import UsageReports
from edgewise import __version__
from edgewise.api.drain import Drain
from edgewise.api.owners import Owners
from edgewise.api.service import AnswerService
from edgewise.api.stream_socket import StreamSocket
from edgewise.api.takeover import Takeover
from edgewise.api.visits import Visits
from edgewise.ending import end
from edgewise.ids import new_id
from edgewise.observability.config import observing
from edgewise.routing.runner import Runner
from edgewise.streams.tailer import TailerHub
from edgewise.wire.errors import ConfigError, EdgewiseError

logger = logging.getLogger(__name__)
SEAL_GRACE_S = 5.0
SLOTS_S = 5.0
PROBE_S = 1.0


@dataclass(frozen=True)
class ControlPlane:
    """The parts that the HTTP app shows."""

    config: ControlConfig
    database: Database
    log: ValkeyStreamLog
    keyring: KeyRing
    accounts: Accounts
    audit: AuditTrail
    policies: PolicyStore
    bundles: PolicyBundles
    rollouts: PolicyRollouts
    decisions: Decisions
    latency: Latency
    catalog: ModelCatalog
    jobs: GatewayJobs
    registry: NodeRegistry
    gateways: Gateways
    telemetry: TelemetryIntake
    node_socket: NodeSocket
    runner: Runner
    answers: AnswerService
    visits: Visits
    stream_socket: StreamSocket
    leaving: Drain
    active_models: ActiveModels
    node_administration: NodeAdministration
    stream_desk: StreamDesk
    world: LiveWorld
    usage: UsageReports
    takeover: asyncio.Task[None]

    @staticmethod
    @asynccontextmanager
    async def running(config: ControlConfig) -> AsyncIterator[ControlPlane]:
        """Open everything, and close it again. Raises what any part raises when it cannot start."""
        async with AsyncExitStack() as stack:
            yield await _open(config, stack)

    async def readiness(self) -> dict[str, str]:
        """`ok`, or what is wrong, for each part that answering needs."""
        checks = {"token_log": self.log.expired(1), "database": self.database.ping()}
        limited = (asyncio.wait_for(check, PROBE_S) for check in checks.values())
        results = await asyncio.gather(*limited, return_exceptions=True)
        found = {name: _verdict(result) for name, result in zip(checks, results, strict=True)}
        return found | ({"gateway": "draining"} if self.leaving.begun else {})

    def others_wanted(self, node: NodeView) -> dict[str, str]:
        """Name → version of the models of a connected node of which another version is wanted."""
        return self.active_models.others_wanted(node.models, node.kind, node.tenant)

    async def drain(self, timeout_s: float) -> None:
        """Take up and take in nothing more and send readers that can resume away; let running answers end, give up the
        leases of the others, then send the nodes away with reconnect slots."""
        self.leaving.begin()
        self.gateways.drain()
        await end(self.takeover)
        await self.runner.drain(timeout_s)
        await self.registry.drain(SLOTS_S)


def _verdict(result: object) -> str:
    if isinstance(result, EdgewiseError):
        return result.message
    return type(result).__name__ if isinstance(result, BaseException) else "ok"


async def _open(config: ControlConfig, stack: AsyncExitStack) -> ControlPlane:
    if not config.log_url:
        raise ConfigError(
            "No token log is configured",
            where="EDGEWISE_LOG_URL or --log-url",
            expected="a Valkey or Redis URL such as redis://host:6379/0 or unix:///path/valkey.sock",
            remedy="use `edgewise up`, which starts one, or give the URL of yours",
        )
    observer = stack.enter_context(observing("control", f"{socket.gethostname()}:{os.getpid()}", config.data_dir))
    families = load_families(config.models, upstream_models(config.upstreams))
    database = Database(config.sql_url, pool_size=config.database_pool_size)
    stack.push_async_callback(database.close)
    await database.migrate()
    audit = AuditTrail(database)
    keyring = KeyRing()
    changes = SharedChanges(clock=time.monotonic)
    seat = stack.enter_context(seated(config.data_dir))
    accounts = Accounts(database, keyring, audit, tell=lambda: changes.tell("keys"))
    await accounts.load()
    async with first_start(config.data_dir):
        await ensure_first_keys(accounts, config.data_dir, config.base_url, keeps_address=seat == 0)
        signer = await open_signing_key(config.policy_key_file, database, audit)
    identity, director = _identity(config), Director()
    bundles = PolicyBundles(
        database,
        signer,
        in_use=lambda: [policies.current.version, *director.versions],
        lifetime=timedelta(days=config.policy_bundle_days),
        tell=lambda: changes.tell("policies"),
    )
    policies = PolicyStore(
        database, audit, tell=lambda: changes.tell("policies"), may_change=refuse_while_open, issue=bundles.add
    )
    await policies.load()
    rollouts = PolicyRollouts(
        database,
        audit,
        policies,
        gateway=identity.gateway_id,
        director=director,
        tell=lambda: changes.tell("policies"),
        issue=bundles.add,
        refresh=bundles.refresh,
    )
    await rollouts.load()
    await bundles.refresh()
    catalog = ModelCatalog(
        database,
        audit,
        allow_unregistered=config.allow_unregistered_models,
        tell=lambda: changes.tell("models"),
    )
    await catalog.load()
    for directory in config.models:
        await catalog.register_directory(directory)

    active_models = ActiveModels(database, audit, tell=lambda: changes.tell("models"))
    await active_models.load()
    wishes = NodeWishes(database, audit, tell=lambda: changes.tell("nodes"))
    await wishes.load()
    expiry = asyncio.create_task(ExpiryWatch(keyring).run(), name="key-expiry")
    stack.push_async_callback(end, expiry)

    recorder = DecisionRecorder(database, SpillFile(config.data_dir, seat=seat), queue_max=config.decision_queue_max)
    await recorder.start()
    stack.push_async_callback(recorder.stop)

    log_client = connect(config.log_url)
    stack.push_async_callback(log_client.aclose)
    log = ValkeyStreamLog(log_client, ttl_s=config.stream_ttl_s, unsealed_ttl_s=config.unsealed_ttl_s)
    stack.push_async_callback(log.aclose)
    await log.expired(1)  # a log that cannot be reached is found out now, not by the first request
    await check_server(log_client)
    sealed = SealedStreams(database)
    sealer = Sealer(log, sealed, on_sealed=log.mark_sealed)
    stack.push_async_callback(sealer.settle, SEAL_GRACE_S)

    bus, presence_store = await stack.enter_async_context(gateway_connections(config.log_url))

    telemetry = TelemetryIntake(database, on_events=director.heard)
    stack.push_async_callback(telemetry.settle)
    registry = NodeRegistry(
        NodeGate(keyring, catalog),
        offer_for=lambda node_id: bundles.offer(rollouts.version_for(node_id)),
        policy_key=bundles.public_key,
        on_policy_refused=bundles.refused,
        on_telemetry=telemetry.store,
        last_stored=telemetry.last_stored,
        wish=wishes.of,
        wanted_models=lambda hello, admission: active_models.others_wanted(hello.models, hello.kind, admission.tenant),
        epochs=SharedEpochs(presence_store),
    )
    keyring.on_revoked(registry.disconnect_key)
    keyring.on_secret_ended(registry.disconnect_secret)
    administration = NodeAdministration(registry, wishes, telemetry)
    stack.push_async_callback(administration.settle)
    policies.on_activated(lambda active: registry.offer_policies())
    bundles.on_changed(registry.offer_policies)
    rollouts.on_moved(registry.offer_policies)

    http = await stack.enter_async_context(HttpClient())
    upstreams = Upstreams.of(config.upstreams, http, shared_tokens(families))
    await stack.enter_async_context(upstreams.watched())
    archive = ArchivedLog(log, sealed)
    holder = f"{socket.gethostname()}:{os.getpid()}:{identity.gateway_id}"  # containers may share the first two
    runner = Runner(log, holder=holder, lease_s=config.lease_s)
    metered = await stack.enter_async_context(
        metering(
            database,
            audit,
            changes,
            archive,
            log_url=config.log_url,
            spill_file=config.data_dir / f"usage-{seat}.spill",
            prices=config.prices,
        )
    )
    popular = PopularPrompts()
    host = ControlHost(
        keyring=keyring,
        registry=registry,
        policies=policies,
        director=director,
        recorder=recorder,
        families=families,
        upstreams=upstreams,
        on_ended=SealShare(sealer.seal_soon).ended,
        wishes=FleetWishes(active_models, wishes),
        meter=metered.meter,
        popular=popular,
        prices=config.prices,
        owners=Owners(signer.derived("context-salts")),
    )
    hub = TailerHub(archive)
    answers = AnswerService(host, archive, hub, runner, observer=observer)
    watch_gateway(observer, runner=runner, hub=hub, registry=registry, recorder=recorder)
    census = asyncio.create_task(Census(observer, database, recorder).run(), name="census")
    stack.push_async_callback(end, census)
    leaving, visits = Drain(), Visits(answers, ValkeyRepeats(log.scripts))
    stack.push_async_callback(visits.aclose)
    stream_socket = StreamSocket(answers, visits, leaving)
    observer.gauge("edgewise.websocket.sessions").watch(lambda: {(): float(stream_socket.sessions)})
    keyring.on_revoked(lambda key_id: stream_socket.recheck())
    gateways = Gateways(
        identity,
        bus=bus,
        store=presence_store,
        registry=registry,
        changes=changes,
        work=Work(
            take_up=answers.resume,
            running=lambda: runner.running,
            on_warm=Warmer(popular, registry, host.family).warm,
        ),
    )
    registry.link(gateways)
    changes.on("keys", accounts.reload)
    changes.on("policies", policies.reload)
    changes.on("policies", bundles.refresh)
    changes.on("policies", rollouts.reload)
    changes.on("policies", bundles.refresh)  # once more: it may need other bundles now
    changes.on("models", catalog.reload)
    changes.on("models", active_models.load)
    changes.on("nodes", wishes.load)
    await stack.enter_async_context(gateways.running())
    await stack.enter_async_context(rollouts.running())
    jobs = GatewayJobs.over(database, audit, broker_url=config.broker_url, modules=config.job_modules)
    stack.callback(jobs.close)
    takeover = asyncio.create_task(Takeover(answers, ask=jobs.take_up).run(), name="takeover")
    stack.push_async_callback(end, takeover)
    decisions = Decisions(database, recorder)
    return ControlPlane(
        config=config,
        database=database,
        log=log,
        keyring=keyring,
        accounts=accounts,
        audit=audit,
        policies=policies,
        bundles=bundles,
        rollouts=rollouts,
        decisions=decisions,
        latency=Latency(database, recorder),
        catalog=catalog,
        jobs=jobs,
        registry=registry,
        gateways=gateways,
        telemetry=telemetry,
        node_socket=NodeSocket(registry),
        runner=runner,
        answers=answers,
        visits=visits,
        stream_socket=stream_socket,
        leaving=leaving,
        active_models=active_models,
        node_administration=administration,
        stream_desk=StreamDesk(log, archive, decisions, audit, cancel=answers.cancel_any),
        world=LiveWorld(registry, families, upstreams=upstreams),
        usage=metered.reports,
        takeover=takeover,
    )


def _identity(config: ControlConfig) -> Identity:
    return Identity(
        gateway_id=new_id(),
        name=config.gateway_name or f"{socket.gethostname()}:{config.port}",
        version=__version__,
        started_at_s=time.time(),
    )
