"""A gateway on a real loopback port with a registry, and links that dial it; a relay whose links can be cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from control_plane.nodes.admission import Admission
from control_plane.nodes.registry import NodeRegistry, NodesConfig
from control_plane.nodes.session import GatewayConfig
from control_plane.nodes.socket import NodeSocket
from edgewise.node.backoff import BackoffConfig
from edgewise.node.link import LinkConfig, NodeLink
from edgewise.node.telemetry import MemoryTelemetry
from edgewise.wire.errors import NodeKeyError
from edgewise.wire.frames import Hello
from edgewise.wire.limits import FRAME_MAX_BYTES
from tests.factories.tiers import GatedTier, manifest_of

KEY = "ek_test"
QUICK = BackoffConfig(first_s=0.02, base_s=0.05, cap_s=0.2, slow_s=30.0)


async def admit(hello: Hello) -> Admission:
    if hello.key != KEY:
        raise NodeKeyError("This key is not known", remedy="ask for another")
    return Admission(key_id="key-1", tenant="acme")


class Relay:
    """A TCP relay in front of the gateway; `cut` drops every link as a broken network does, without a word."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
            self._writers += [writer, far_writer]
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


class Gateway:
    """A running gateway and the links that tests start towards it."""

    def __init__(self, registry: NodeRegistry, port: int) -> None:
        self.registry = registry
        self.port = port
        self._running: list[tuple[NodeLink, asyncio.Task[None]]] = []

    def dial(self, tier: GatedTier, *, node_id: str = "phone", port: int | None = None, **changes: Any) -> NodeLink:
        """Start a link; it is stopped at the end of the test."""
        key = changes.pop("key", KEY)
        telemetry = changes.pop("telemetry", None) or MemoryTelemetry(f"stream-of-{node_id}")
        config = LinkConfig(
            url=f"ws://127.0.0.1:{port or self.port}",
            key=key,
            node_id=node_id,
            kind=tier.kind,
            policy_digest=changes.pop("policy_digest", ""),
            backoff=QUICK,
        )
        link = NodeLink(config, tier, [manifest_of(tier.kind)], telemetry, rng=random.Random(1), **changes)
        self._running.append((link, asyncio.create_task(link.run())))
        return link

    async def until(self, condition: Any) -> None:
        """Wait until `condition()` holds; the test's time-out is the limit."""
        while not condition():
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        for link, _ in self._running:
            await link.stop()
        for _, task in self._running:
            await task


@asynccontextmanager
async def running_gateway(registry: NodeRegistry) -> AsyncIterator[Gateway]:
    config = uvicorn.Config(
        NodeSocket(registry),
        host="127.0.0.1",
        port=0,
        ws="websockets-sansio",
        ws_max_size=FRAME_MAX_BYTES,
        ws_per_message_deflate=False,
        log_level="warning",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    server.config.load()
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    gateway = Gateway(registry, server.servers[0].sockets[0].getsockname()[1])
    try:
        yield gateway
    finally:
        await gateway.close()
        server.should_exit = True
        await serving


def quick_registry(**changes: Any) -> NodeRegistry:
    """A registry with short time limits and a fixed random source."""
    session = changes.pop("session", None) or GatewayConfig(heartbeat_s=0.1, lost_after_s=5.0, hello_timeout_s=5.0)
    return NodeRegistry(changes.pop("admit", admit), config=NodesConfig(session), rng=random.Random(7), **changes)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running_gateway(quick_registry()) as running:
        yield running
