"""The ASGI WebSocket endpoint of the node session: bytes in, bytes out. It knows no frame and decides nothing.

Serve it at `/node/v1/session` with per-message deflate off and a message limit of FRAME_MAX_BYTES.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from control_plane.nodes.connection import NodeConnection
from control_plane.nodes.registry import NodeRegistry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
SendMessage = Callable[[MutableMapping[str, Any]], Awaitable[None]]


_GOODBYE_S = 2.0


class NodeSocket:
    """An ASGI app for WebSocket scopes; one call is one connection."""

    def __init__(self, registry: NodeRegistry) -> None:
        self._registry = registry
        self._clock = registry.clock

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        await receive()
        slot_s = self._registry.slot_s()
        if slot_s is not None:
            await _turn_away(scope, send, slot_s)
            return
        await send({"type": "websocket.accept"})
        connection = self._registry.connect()
        try:
            await self._talk(connection, receive, send)
        finally:
            connection.closed()

    async def _talk(self, connection: NodeConnection, receive: Receive, send: SendMessage) -> None:
        talkers = [
            asyncio.create_task(talker)
            for talker in (
                _read(connection, receive),
                _write(connection, send),
                self._tick(connection),
                _overflow(connection),
            )
        ]
        try:
            done, _ = await asyncio.wait(talkers, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                with suppress(OSError):
                    task.result()
        finally:
            for talker in talkers:
                talker.cancel()
            await asyncio.gather(*talkers, return_exceptions=True)

    async def _tick(self, connection: NodeConnection) -> None:
        """Wakes for each deadline (they only move into the future); a closed session has a moment to say goodbye."""
        while (due := connection.deadline()) is not None:
            await asyncio.sleep(max(0.0, due - self._clock()))
            connection.ticked()
        await asyncio.sleep(_GOODBYE_S)


async def _read(connection: NodeConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        data = message.get("bytes")
        connection.received(data if data is not None else message.get("text") or "")


async def _write(connection: NodeConnection, send: SendMessage) -> None:
    outbox = connection.outbox
    while (message := await outbox.next()) is not None:
        await send({"type": "websocket.send", "bytes": message})
    await send({"type": "websocket.close", "code": outbox.close_code, "reason": outbox.close_reason})


async def _overflow(connection: NodeConnection) -> None:
    await connection.outbox.broken.wait()


async def _turn_away(scope: Scope, send: SendMessage, slot_s: float) -> None:
    """Refuse the upgrade with 503 and the node's slot."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013, "reason": "draining"})
        return
    headers = [(b"retry-after", str(math.ceil(slot_s)).encode()), (b"content-length", b"0")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b""})
