"""The bus between gateways: at most once, in the order of each sender, over the log server's pub/sub.

One channel for everybody and one for each gateway. What is in the messages is messages.py; a lost one is noticed by
whoever counts (beats, relayed attempts), never here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from control_plane.gateways.errors import GatewayMessageError
from control_plane.gateways.messages import AnyMessage, Message, decode_message, encode_message
from control_plane.gateways.pipe import CommandPipe
from control_plane.streams.connection import open_connection
from edgewise.wire.errors import EdgewiseError, LogUnavailableError

log = logging.getLogger(__name__)

EVERYBODY: Final = "*"
HEAR_WITHIN_S = 5.0
"""A gateway hears at least its own beats; a subscription that is silent for longer is made anew."""
LISTEN_WITHIN_S = 5.0
_PAUSE_S = 0.1
_PREFIX = "ew:{gw}:to:"

OnMessage = Callable[[AnyMessage], None]


class Bus(Protocol):
    """How gateways talk."""

    async def listen(self, own_id: str, on_message: OnMessage, *, everybody: bool = True) -> None:
        """Hear what is sent to `own_id`, and to everybody; returns when the subscription stands for the first time.

        Raises LogUnavailableError when that takes too long; it goes on trying until `aclose`."""
        ...

    async def send(self, to: str, message: Message) -> int:
        """Send to a gateway or EVERYBODY; returns how many listeners got it, 0 when the gateway is gone.

        Raises LogUnavailableError, and GatewayMessageError when the message is too large."""
        ...

    def post(self, to: str, message: Message) -> None:
        """Send and do not wait; a message that cannot be sent is lost. Raises GatewayMessageError."""
        ...

    async def aclose(self) -> None: ...


class ValkeyBus:
    """The bus over a log server: sends through `pipe`, listens on `connection`, which it owns."""

    def __init__(
        self,
        pipe: CommandPipe,
        connection: AbstractConnection,
        *,
        hear_within_s: float = HEAR_WITHIN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.malformed = 0
        self._pipe = pipe
        self._connection = connection
        self._hear_within_s = hear_within_s
        self._sleep = sleep
        self._listening: asyncio.Task[None] | None = None
        self._subscribed = asyncio.Event()

    async def listen(self, own_id: str, on_message: OnMessage, *, everybody: bool = True) -> None:
        channels = [_PREFIX + own_id, *([_PREFIX + EVERYBODY] if everybody else [])]
        within_s = self._hear_within_s if everybody else float("inf")
        self._listening = asyncio.create_task(self._listen(channels, on_message, within_s), name="gateway-messages")
        try:
            await asyncio.wait_for(self._subscribed.wait(), LISTEN_WITHIN_S)
        except TimeoutError as error:
            raise LogUnavailableError(
                f"The messages of other gateways cannot be subscribed to within {LISTEN_WITHIN_S:g} s",
                expected="a running Valkey or Redis server that allows SUBSCRIBE",
                remedy="see the log server's own log file",
            ) from error

    async def send(self, to: str, message: Message) -> int:
        reached: int = await self._pipe.run("PUBLISH", _PREFIX + to, encode_message(message))
        return reached

    def post(self, to: str, message: Message) -> None:
        self._pipe.ask("PUBLISH", _PREFIX + to, encode_message(message))

    async def aclose(self) -> None:
        """Stop listening. The pipe belongs to whoever made it."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def _listen(self, channels: list[str], on_message: OnMessage, within_s: float) -> None:
        while True:
            try:
                await self._hear(channels, on_message, within_s)
            except (RedisError, OSError) as error:
                log.info("messages of other gateways are interrupted: %s", error)
            except Exception:
                log.exception("hearing other gateways broke; listening again")
            with suppress(Exception):
                await self._connection.disconnect(nowait=True)
            await self._sleep(_PAUSE_S)

    async def _hear(self, channels: list[str], on_message: OnMessage, within_s: float) -> None:
        """Subscribe and pass on messages until the connection ends, or nothing was heard for too long."""
        await open_connection(self._connection)
        await self._connection.send_command("SUBSCRIBE", *channels, check_health=False)
        while (item := await self._connection.read_response(timeout=within_s)) is not None:
            if item[0] == b"message":
                self._take(item[2], on_message)
            elif item[0] == b"subscribe" and item[2] == len(channels):
                self._subscribed.set()

    def _take(self, data: Any, on_message: OnMessage) -> None:
        """One message to its reader; a bad one, or one that breaks its reader, stops nothing."""
        try:
            on_message(decode_message(data))
        except GatewayMessageError as error:
            self.malformed += 1
            log.warning("a message on a gateway's channel was dropped (%d so far): %s", self.malformed, error)
        except EdgewiseError as error:
            log.warning("a message of another gateway was refused: %s", error)
        except Exception:
            log.exception("a message of another gateway broke its reader")
