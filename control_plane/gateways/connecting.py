"""The connections that gateways need to a log server: one for commands, one for messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from control_plane.gateways.bus import ValkeyBus
from control_plane.gateways.pipe import CommandPipe
from control_plane.gateways.store import ValkeyStore
from control_plane.streams.connection import dedicated_connection, describe
from control_plane.streams.valkey_log import connect


@asynccontextmanager
async def gateway_connections(url: str) -> AsyncIterator[tuple[ValkeyBus, ValkeyStore]]:
    """A bus and a store on the token log's server, closed with the block. Nothing is opened before the first call."""
    client = connect(url)
    pipe = CommandPipe(dedicated_connection(client), where=describe(client))
    bus = ValkeyBus(pipe, dedicated_connection(client))
    try:
        yield bus, ValkeyStore(pipe)
    finally:
        await bus.aclose()
        await pipe.aclose()
