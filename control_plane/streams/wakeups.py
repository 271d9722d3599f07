"""Wake-ups: one pub/sub connection per process tells every local watcher of a change. A hint, never data."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from math import inf
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from control_plane.streams.connection import open_connection

logger = logging.getLogger(__name__)

_IDLE_CHANNEL = "ew:idle"
_PAUSE_S = 0.1
_BROKEN_PAUSE_S = 1.0


class Wakeups:
    """Shares `connection`, which it owns, between all watchers, and reconnects it for as long as there are any."""

    def __init__(
        self, connection: AbstractConnection, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._connection = connection
        self._sleep = sleep
        self._events: dict[bytes, set[asyncio.Event]] = {}
        self._subscribed = False
        self._listening: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()

    async def watch(self, channel: str) -> AsyncIterator[None]:
        """Yields at once, again when the subscription stands, and after every message and every reconnection."""
        name = channel.encode()
        event = asyncio.Event()
        try:
            await self._add(name, event)
            yield
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            await self._remove(name, event)

    async def aclose(self) -> None:
        """Stop listening; watchers get no more wake-ups."""
        ending = [*self._telling, *([self._listening] if self._listening is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def _add(self, name: bytes, event: asyncio.Event) -> None:
        first = name not in self._events
        self._events.setdefault(name, set()).add(event)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="token-log-wakeups")
        elif first:
            await self._tell("SUBSCRIBE", name)

    async def _remove(self, name: bytes, event: asyncio.Event) -> None:
        events = self._events.get(name, set())
        events.discard(event)
        if not events and self._events.pop(name, None) is not None:
            await self._tell("UNSUBSCRIBE", name)

    async def _tell(self, verb: str, name: bytes) -> None:
        """Change the subscriptions now, or leave it to the next connection, which subscribes to everything."""
        if self._subscribed:
            telling = asyncio.create_task(self._send(verb, name), name="token-log-subscriptions")
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
            await asyncio.shield(telling)

    async def _send(self, verb: str, name: bytes) -> None:
        """In a task of its own: a watcher that leaves in mid-command must not cut everybody's connection, and the
        client library may swallow its cancellation, so that it would never leave."""
        try:
            await self._connection.send_command(verb, name, check_health=False)
        except (RedisError, OSError) as error:
            logger.info("token log wake-ups interrupted: %s", error)

    async def _listen(self) -> None:
        """Whatever goes wrong, listening begins again after a pause: a watcher without wake-ups would wait for ever."""
        while True:
            pause_s = _PAUSE_S
            try:
                await self._hear()
            except (RedisError, OSError) as error:
                logger.info("token log wake-ups interrupted: %s", error)
            except Exception:
                logger.exception("token log wake-ups broke; listening again in %g s", _BROKEN_PAUSE_S)
                pause_s = _BROKEN_PAUSE_S
            finally:
                self._subscribed = False
            with suppress(Exception):
                await self._connection.disconnect(nowait=True)
            await self._sleep(pause_s)

    async def _hear(self) -> None:
        """Connect, subscribe and pass on messages. Raises RedisError or OSError when the connection ends."""
        await open_connection(self._connection)
        await self._subscribe_all()
        while True:
            self._on_message(await self._connection.read_response(timeout=inf))

    async def _subscribe_all(self) -> None:
        names = (_IDLE_CHANNEL.encode(), *self._events)
        self._subscribed = True
        await self._connection.send_command("SUBSCRIBE", *names, check_health=False)

    def _on_message(self, message: Any) -> None:
        """`message` is [kind, channel, …]; the acknowledgement of a subscription wakes like a message."""
        if message[0] in (b"message", b"subscribe"):
            for event in self._events.get(message[1], ()):
                event.set()
