"""ControlPlane: every part of a running control plane, opened in order and closed in reverse. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp

from control_plane.accounts.first_keys import ensure_first_keys
from control_plane.accounts.keyring import KeyRing
from control_plane.accounts.service import Accounts
from control_plane.answers.families import load_families
from control_plane.answers.host import ControlHost
from control_plane.audit.service import AuditTrail
from control_plane.config import ControlConfig, UpstreamConfig
from control_plane.database import Database
from control_plane.decisions.recorder import DecisionRecorder
from control_plane.decisions.sealed import SealedStreams
from control_plane.decisions.service import Decisions
from control_plane.decisions.spill import SpillFile
from control_plane.model_versions.service import ModelCatalog
from control_plane.nodes.admission import NodeGate
from control_plane.nodes.registry import NodeRegistry
from control_plane.nodes.socket import NodeSocket
from control_plane.policy_admin.service import PolicyStore
from control_plane.streams.archive import ArchivedLog, Sealer
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from control_plane.telemetry.service import TelemetryIntake
from control_plane.upstreams.openai_tier import OpenAITier, Upstream
from edgewise.api.service import AnswerService
from edgewise.api.takeover import Takeover
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
    decisions: Decisions
    catalog: ModelCatalog
    registry: NodeRegistry
    telemetry: TelemetryIntake
    node_socket: NodeSocket
    runner: Runner
    answers: AnswerService
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
        return {name: _verdict(result) for name, result in zip(checks, results, strict=True)}

    async def drain(self, timeout_s: float) -> None:
        """Take up and take in nothing more, let running answers end, then send the nodes away with reconnect slots."""
        await _cancel(self.takeover)
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
    families = load_families(config.models, [upstream.model for upstream in config.upstreams])
    database = Database(config.sql_url)
    stack.push_async_callback(database.close)
    await database.migrate()
    audit = AuditTrail(database)
    keyring = KeyRing()
    accounts = Accounts(database, keyring, audit)
    await accounts.load()
    await ensure_first_keys(accounts, config.data_dir, config.base_url)
    policies = PolicyStore(database, audit)
    await policies.load()
    catalog = ModelCatalog(database, audit, allow_unregistered=config.allow_unregistered_models)
    await catalog.load()
    for directory in config.models:
        await catalog.register_directory(directory)

    recorder = DecisionRecorder(database, SpillFile(config.data_dir), queue_max=config.decision_queue_max)
    await recorder.start()
    stack.push_async_callback(recorder.stop)

    log = ValkeyStreamLog(connect(config.log_url), ttl_s=config.stream_ttl_s)
    stack.push_async_callback(log.aclose)
    await log.expired(1)  # a log that cannot be reached is found out now, not by the first request
    sealed = SealedStreams(database)
    sealer = Sealer(log, sealed)
    stack.push_async_callback(sealer.settle, SEAL_GRACE_S)

    telemetry = TelemetryIntake(database)
    stack.push_async_callback(telemetry.settle)
    registry = NodeRegistry(
        NodeGate(keyring, catalog),
        policy=lambda: policies.current,
        on_telemetry=telemetry.store,
        last_stored=telemetry.last_stored,
    )
    keyring.on_revoked(registry.disconnect_key)
    policies.on_activated(lambda active: registry.offer_policy(active.digest, active.text))

    http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=True))
    archive = ArchivedLog(log, sealed)
    runner = Runner(log, holder=f"{socket.gethostname()}:{os.getpid()}", lease_s=config.lease_s)
    host = ControlHost(
        keyring=keyring,
        registry=registry,
        policies=policies,
        recorder=recorder,
        families=families,
        upstreams=_upstream_tiers(config.upstreams, http),
        on_ended=sealer.seal_soon,
    )
    answers = AnswerService(host, archive, TailerHub(archive), runner)
    takeover = asyncio.create_task(Takeover(answers).run(), name="takeover")
    stack.push_async_callback(_cancel, takeover)
    return ControlPlane(
        config=config,
        database=database,
        log=log,
        keyring=keyring,
        accounts=accounts,
        audit=audit,
        policies=policies,
        decisions=Decisions(database, recorder),
        catalog=catalog,
        registry=registry,
        telemetry=telemetry,
        node_socket=NodeSocket(registry),
        runner=runner,
        answers=answers,
        takeover=takeover,
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _upstream_tiers(upstreams: Sequence[UpstreamConfig], http: aiohttp.ClientSession) -> list[OpenAITier]:
    return [
        OpenAITier(Upstream(each.name, each.base_url, each.model, _secret(each.api_key_env), each.continues), http)
        for each in upstreams
    ]


def _secret(variable: str) -> str:
    """The upstream's key; it stays in the environment until it is needed."""
    return os.environ.get(variable, "") if variable else ""
