"""The bus and the store in memory, for tests: gateways of one process, and a server that can be switched off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from control_plane.gateways.bus import EVERYBODY, OnMessage
from control_plane.gateways.messages import (
    GatewayPresence,
    Message,
    NodePresence,
    decode_message,
    encode_message,
)
from control_plane.gateways.store import TTL_S, BeatReply, Everything
from edgewise.wire.errors import LogUnavailableError

Channel = Callable[[str, str, bytes], list[bytes]]
"""Gives (sender, receiver, message) what arrives: nothing when it is lost, more than one when it is doubled."""


class MemoryServer:
    """What a log server is to gateways. `up` switches it; `channel` may lose and double messages."""

    def __init__(self, clock: Callable[[], float], *, ttl_s: float = TTL_S, channel: Channel | None = None) -> None:
        self.up = True
        self.clock = clock
        self.ttl_s = ttl_s
        self.channel = channel or (lambda sender, receiver, data: [data])
        self.listeners: dict[str, tuple[OnMessage, bool]] = {}
        self.gateways: dict[str, tuple[GatewayPresence, float]] = {}
        self.nodes: dict[str, NodePresence] = {}
        self.versions: dict[str, int] = {}
        self.epochs: dict[str, int] = {}

    def require(self) -> None:
        """Raises LogUnavailableError while the server is off."""
        if not self.up:
            raise LogUnavailableError("The server is switched off")

    def live(self) -> dict[str, GatewayPresence]:
        """Gateways whose time is not up."""
        now = self.clock()
        return {each: presence for each, (presence, until) in self.gateways.items() if until > now}


class MemoryBus:
    """One gateway's end of the bus."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._own_id = ""

    async def listen(self, own_id: str, on_message: OnMessage, *, everybody: bool = True) -> None:
        self._own_id = own_id
        self._server.listeners[own_id] = (on_message, everybody)

    async def send(self, to: str, message: Message) -> int:
        self._server.require()
        await asyncio.sleep(0)
        return self._deliver(to, encode_message(message))

    def post(self, to: str, message: Message) -> None:
        data = encode_message(message)
        if self._server.up:
            asyncio.get_running_loop().call_soon(self._deliver, to, data)

    async def aclose(self) -> None:
        self._server.listeners.pop(self._own_id, None)

    def _deliver(self, to: str, data: bytes) -> int:
        found = [(name, take) for name, (take, everybody) in tuple(self._server.listeners.items()) if name == to]
        if to == EVERYBODY:
            found = [(name, take) for name, (take, everybody) in tuple(self._server.listeners.items()) if everybody]
        for name, take in found:
            for arrived in self._server.channel(self._own_id, name, data):
                take(decode_message(arrived))
        return len(found)


class MemoryStore:
    """One gateway's view of the store."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server

    async def beat(
        self, gateway: GatewayPresence, came: Sequence[NodePresence], gone: Sequence[tuple[str, int]]
    ) -> BeatReply:
        server = self._server
        server.require()
        server.gateways[gateway.gateway_id] = (gateway, server.clock() + server.ttl_s)
        live = server.live()
        superseded: dict[str, int] = {}
        for node in came:
            held = server.nodes.get(node.hello.node_id)
            theirs = held and held.gateway_id != node.gateway_id and held.connection_epoch >= node.connection_epoch
            if held and theirs and held.gateway_id in live:
                superseded[node.hello.node_id] = held.connection_epoch
            elif not (held and held.connection_epoch > node.connection_epoch):
                server.nodes[node.hello.node_id] = node
        for node_id, epoch in gone:
            held = server.nodes.get(node_id)
            if held and (held.gateway_id, held.connection_epoch) == (gateway.gateway_id, epoch):
                del server.nodes[node_id]
        return BeatReply(frozenset(live), superseded, dict(server.versions))

    async def view(self) -> Everything:
        self._server.require()
        live = self._server.live()
        nodes = {name: node for name, node in self._server.nodes.items() if node.gateway_id in live}
        self._server.nodes = nodes
        return Everything(tuple(live.values()), tuple(nodes.values()))

    async def leave(self, gateway_id: str) -> None:
        self._server.require()
        self._server.gateways.pop(gateway_id, None)

    async def next_epoch(self, node_id: str, at_least: int) -> int:
        self._server.require()
        epoch = self._server.epochs[node_id] = max(self._server.epochs.get(node_id, 0), at_least) + 1
        return epoch

    async def bump(self, topic: str) -> int:
        self._server.require()
        version = self._server.versions[topic] = self._server.versions.get(topic, 0) + 1
        return version
