"""Gateways of one process over a server in memory, with nodes that answer as a test tells them. Nobody sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from control_plane.gateways.changes import SharedChanges
from control_plane.gateways.epochs import SharedEpochs
from control_plane.gateways.memory import Channel, MemoryBus, MemoryServer, MemoryStore
from control_plane.gateways.service import Gateways, Identity
from control_plane.gateways.work import Work
from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.registry import NodeRegistry
from edgewise.wire import frames
from edgewise.wire.codec import decode_gateway_frame, encode_frame
from tests.control_plane.nodes.conftest import KEY, quick_registry
from tests.factories.clock import ManualClock, settle

SMALL = frames.ModelOffer(name="small", version="v1")


async def no_wait(seconds: float) -> None:
    """Sleeps that last no time."""
    await asyncio.sleep(0)


async def never(sid: str) -> bool:
    raise AssertionError("no test asked for this")


@dataclass
class Node:
    """A node's end of a connection."""

    connection: NodeConnection
    heard: list[Any] = field(default_factory=list)

    async def listen(self) -> list[Any]:
        """Everything that the gateway has sent so far."""
        await settle()
        while len(self.connection.outbox):
            data = await self.connection.outbox.next()
            assert data is not None
            self.heard.append(decode_gateway_frame(data))
        return self.heard

    async def of(self, kind: type[Any]) -> list[Any]:
        return [frame for frame in await self.listen() if isinstance(frame, kind)]

    def say(self, frame: frames.Frame) -> None:
        self.connection.received(encode_frame(frame))

    def beat(self, *, running: int = 0, slots: int = 4, **device: Any) -> None:
        facts = {f"device.{name}": value for name, value in device.items()}
        load = frames.LoadReport(running=running, slots=slots)
        self.say(frames.Heartbeat(seq=1, sent_at=0.0, load=load, device=facts))

    def close(self) -> None:
        self.connection.closed()


@dataclass
class Gateway:
    """One gateway of the fleet."""

    id: str
    gateways: Gateways
    registry: NodeRegistry
    changes: SharedChanges

    async def join(self, node_id: str = "phone", kind: Any = "edge", **fields: Any) -> Node:
        given: dict[str, Any] = {"key": KEY, "models": (SMALL,), "run_id": "run"} | fields
        node = Node(self.registry.connect())
        node.say(frames.Hello(protocol_min=1, protocol_max=1, node_id=node_id, kind=kind, **given))
        await settle()
        return node

    async def beat(self) -> None:
        await self.gateways.presence.beat()
        await settle()

    def names(self, kind: Any = "edge") -> list[str]:
        return [tier.name for tier in self.registry.tiers(kind)]


class Fleet:
    """Gateways by id, made when they are first asked for."""

    def __init__(self, channel: Channel | None = None) -> None:
        self.clock = ManualClock()
        self.server = MemoryServer(self.clock, channel=channel)
        self._gateways: dict[str, Gateway] = {}

    async def gateway(self, own_id: str, *, take_up: Callable[[str], Awaitable[bool]] = never) -> Gateway:
        bus, store = MemoryBus(self.server), MemoryStore(self.server)
        registry = quick_registry(clock=self.clock, epochs=SharedEpochs(store))
        changes = SharedChanges(clock=self.clock, sleep=no_wait)
        identity = Identity(gateway_id=own_id, name=own_id, version="1", started_at_s=0.0)
        work = Work(take_up=take_up, running=lambda: 3)
        gateways = Gateways(
            identity, bus=bus, store=store, registry=registry, changes=changes, work=work, clock=self.clock
        )
        registry.link(gateways)
        await bus.listen(own_id, gateways.on_message)
        self._gateways[own_id] = made = Gateway(own_id, gateways, registry, changes)
        return made

    async def pair(self) -> tuple[Gateway, Gateway]:
        """Two gateways that know each other."""
        one, two = await self.gateway("one"), await self.gateway("two")
        await self.beats()
        return one, two

    async def beats(self, rounds: int = 2) -> None:
        """Everybody beats, several times."""
        for _ in range(rounds):
            for gateway in tuple(self._gateways.values()):
                await gateway.beat()

    def kill(self, gateway: Gateway) -> None:
        """The process is gone, without a word."""
        del self._gateways[gateway.id]
        del self.server.listeners[gateway.id]


async def collected(chunks: Any) -> list[Any]:
    """What an iterator of chunks gives, the error that ended it as its last item."""
    found: list[Any] = []
    try:
        async for chunk in chunks:
            found.append(chunk)
    except Exception as error:  # noqa: BLE001
        found.append(error)
    return found


def started(work: Any) -> asyncio.Task[Any]:
    """Run a coroutine beside the test."""
    return asyncio.ensure_future(work)
