"""Commands to the log server in order, over one connection: what is asked in one tick goes out as one pipeline.

Nothing is sent twice: a command whose answer was lost fails, and its sender decides. Scripts that must be repeated
until they are applied are the business of control_plane/streams/batcher.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError

from control_plane.streams.connection import broken, open_connection, refused, unreachable
from edgewise.wire.errors import LogUnavailableError

ANSWER_WITHIN_S = 2.0
WAITING_MAX_BYTES = 32 * 1024 * 1024

Argument = str | bytes | int


class _Call(NamedTuple):
    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]


class CommandPipe:
    """Runs commands on `connection`, which it owns. `where` names the server in errors."""

    def __init__(
        self,
        connection: AbstractConnection,
        *,
        where: str,
        answer_within_s: float = ANSWER_WITHIN_S,
        waiting_max_bytes: int = WAITING_MAX_BYTES,
    ) -> None:
        self._connection = connection
        self._where = where
        self._answer_within_s = answer_within_s
        self._waiting_max_bytes = waiting_max_bytes
        self._waiting: list[_Call] = []
        self._waiting_bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self._closed = False

    def ask(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command in its turn; the future holds the reply or LogUnavailableError. Does not wait."""
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        size = sum(len(part) for part in command if isinstance(part, bytes))
        if self._closed or self._waiting_bytes + size > self._waiting_max_bytes:
            _settle(_Call(command, reply), self._refusal())
            return reply
        self._waiting_bytes += size
        self._waiting.append(_Call(command, reply))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_waiting(), name="gateway-commands")
        return reply

    async def run(self, *command: Argument) -> Any:
        """The reply of one command. Raises LogUnavailableError."""
        return await self.ask(*command)

    async def aclose(self) -> None:
        """Send what waits, then close the connection."""
        self._closed = True
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._connection.disconnect(nowait=True)

    async def _send_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
            try:
                await self._carry_out(batch)
            except LogUnavailableError as error:
                await self._fail(batch, error)
            except asyncio.CancelledError:
                await self._fail(batch, self._refusal())
                raise
            except Exception as error:  # noqa: BLE001 (its words may hold what was said)
                await self._fail(batch, broken(error, self._where))

    async def _carry_out(self, batch: Sequence[_Call]) -> None:
        try:
            async with asyncio.timeout(self._answer_within_s):
                if not self._connection.is_connected:
                    await open_connection(self._connection)
                await self._exchange(batch)
        except ResponseError as error:
            raise refused(error, self._where) from error
        except (RedisError, OSError) as error:  # a TimeoutError is an OSError
            raise unreachable(error, self._where, self._answer_within_s) from error

    async def _exchange(self, batch: Sequence[_Call]) -> None:
        connection = self._connection
        packed = connection.pack_commands([call.command for call in batch])
        await connection.send_packed_command(packed, check_health=False)
        for call in batch:
            try:
                reply = await connection.read_response()
            except ResponseError as error:
                _settle(call, refused(error, self._where))
            else:
                if not call.reply.done():
                    call.reply.set_result(reply)

    async def _fail(self, batch: Sequence[_Call], error: LogUnavailableError) -> None:
        for call in batch:
            _settle(call, error)
        with suppress(Exception):
            await self._connection.disconnect(nowait=True)

    def _refusal(self) -> LogUnavailableError:
        why = "is closed" if self._closed else f"has {self._waiting_max_bytes} bytes waiting"
        return LogUnavailableError(f"The line to the other gateways {why}", where=self._where, remedy="try again")


def _settle(call: _Call, error: LogUnavailableError) -> None:
    if not call.reply.done():
        call.reply.set_exception(error)
        call.reply.exception()  # a command that nobody waits for fails in silence
