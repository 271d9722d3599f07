"""What gateways keep beside the token log: who is alive, whose node is whose, how often a topic changed. One Lua script
for each change (lua/ has the rules); `MemoryStore` in memory.py is the same for tests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final, Protocol, TypeVar

from control_plane.gateways.errors import GatewayMessageError
from control_plane.gateways.messages import (
    GatewayPresence,
    NodePresence,
    decode_gateway,
    decode_node,
    encode_presence,
)
from control_plane.gateways.pipe import Argument, CommandPipe

log = logging.getLogger(__name__)
Stored = TypeVar("Stored", GatewayPresence, NodePresence)

TTL_S: Final = 2.0
EPOCH_TTL_S: Final = 30 * 24 * 3600
_TAG = "ew:{gw}:"
_LIVE, _OWNERS, _NODES, _VERSIONS, _GATEWAY = (
    f"{_TAG}{name}" for name in ("live", "owners", "nodes", "versions", "g:")
)


@dataclass(frozen=True)
class BeatReply:
    """What a beat brings back: ids of the live gateways, nodes of ours that are now elsewhere with their newer epochs,
    versions of topics."""

    live: frozenset[str] = frozenset()
    superseded: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Everything:
    """All live gateways and their nodes, as registered."""

    gateways: tuple[GatewayPresence, ...]
    nodes: tuple[NodePresence, ...]


class PresenceStore(Protocol):
    """Every method raises LogUnavailableError."""

    async def beat(
        self, gateway: GatewayPresence, came: Sequence[NodePresence], gone: Sequence[tuple[str, int]]
    ) -> BeatReply:
        """Renew a gateway, register and remove nodes of it (node id and connection epoch)."""
        ...

    async def view(self) -> Everything: ...

    async def leave(self, gateway_id: str) -> None:
        """The gateway stops."""
        ...

    async def next_epoch(self, node_id: str, at_least: int) -> int:
        """A connection epoch greater than `at_least` and than every one before."""
        ...

    async def bump(self, topic: str) -> int:
        """Count a change; returns the topic's version."""
        ...


class ValkeyStore:
    """The store on a Valkey or Redis server."""

    def __init__(self, pipe: CommandPipe, *, ttl_s: float = TTL_S) -> None:
        self._pipe = pipe
        self._ttl_ms = int(ttl_s * 1000)
        folder = resources.files(__package__) / "lua"
        self._scripts = {name: (folder / f"{name}.lua").read_bytes() for name in ("beat", "view", "leave", "epoch")}

    async def beat(
        self, gateway: GatewayPresence, came: Sequence[NodePresence], gone: Sequence[tuple[str, int]]
    ) -> BeatReply:
        keys = (_LIVE, _OWNERS, _NODES, _VERSIONS, _GATEWAY + gateway.gateway_id)
        arguments: list[Argument] = [gateway.gateway_id, self._ttl_ms, encode_presence(gateway), len(came)]
        for node in came:
            arguments += [node.hello.node_id, node.connection_epoch, encode_presence(node)]
        for node_id, epoch in gone:
            arguments += [node_id, epoch]
        live, superseded, versions = await self._run("beat", keys, arguments)
        return BeatReply(
            frozenset(gateway_id.decode() for gateway_id in live),
            {node.decode(): epoch for node, epoch in zip(superseded[::2], superseded[1::2], strict=True)},
            {topic.decode(): int(version) for topic, version in zip(versions[::2], versions[1::2], strict=True)},
        )

    async def view(self) -> Everything:
        gateways, nodes = await self._run("view", (_LIVE, _OWNERS, _NODES), [_GATEWAY])
        return Everything(
            tuple(gateway for data in gateways if (gateway := _sound(decode_gateway, data)) is not None),
            tuple(node for data in nodes if data and (node := _sound(decode_node, data)) is not None),
        )

    async def leave(self, gateway_id: str) -> None:
        await self._run("leave", (_LIVE, _GATEWAY + gateway_id), [gateway_id])

    async def next_epoch(self, node_id: str, at_least: int) -> int:
        epoch: int = await self._run("epoch", (f"{_TAG}e:{node_id}",), [at_least, EPOCH_TTL_S])
        return epoch

    async def bump(self, topic: str) -> int:
        version: int = await self._pipe.run("HINCRBY", _VERSIONS, topic, 1)
        return version

    async def _run(self, name: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        return await self._pipe.run("EVAL", self._scripts[name], len(keys), *keys, *arguments)


def _sound(decode: Callable[[bytes], Stored], data: bytes) -> Stored | None:
    """What was stored by a gateway of another release is not seen."""
    try:
        return decode(data)
    except GatewayMessageError as error:
        log.warning("a presence beside the token log is left out: %s", error)
        return None
