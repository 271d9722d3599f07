"""The bus and the store twice: on a real server, and in memory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from control_plane.gateways.bus import Bus
from control_plane.gateways.connecting import gateway_connections
from control_plane.gateways.memory import MemoryBus, MemoryServer, MemoryStore
from control_plane.gateways.store import PresenceStore
from control_plane.streams.valkey_log import connect
from edgewise.local.valkey import ValkeyProcess

Connect = Callable[[], "AsyncIterator[tuple[Bus, PresenceStore]]"]


class Server:
    """Gives each gateway of a test its bus and its store."""

    def __init__(self, stack: AsyncExitStack, url: str) -> None:
        self._stack = stack
        self._url = url
        self._memory = MemoryServer(time.monotonic)

    async def gateway(self) -> tuple[Bus, PresenceStore]:
        if not self._url:
            return MemoryBus(self._memory), MemoryStore(self._memory)
        return await self._stack.enter_async_context(gateway_connections(self._url))


@pytest.fixture(params=["memory", "valkey"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """An empty server of either kind."""
    url = ""
    if request.param == "valkey":
        process: ValkeyProcess = request.getfixturevalue("valkey_server")
        url = process.url
        await forget(url)
    async with AsyncExitStack() as stack:
        yield Server(stack, url)


async def forget(url: str) -> None:
    """Remove what gateways keep there, and nothing else: other tests share the server."""
    client = connect(url)
    async for key in client.scan_iter("ew:{gw}:*"):
        await client.delete(key)
    await client.aclose()
