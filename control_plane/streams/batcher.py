"""Script calls in batches: what is asked in one tick of the event loop, or while a batch is under way, goes out as one
pipeline over one connection. A batch whose answer was lost is sent again: every script is safe to repeat.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from math import inf
from typing import Any, NamedTuple

from hiredis import pack_command
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, NoScriptError, RedisError, ResponseError

from control_plane.streams.connection import broken, open_connection, refused, unreachable
from control_plane.streams.scripts import Name, Script
from edgewise.wire.errors import LogUnavailableError

BATCH_CALLS = 512
RETRY_FOR_S = 5.0
ANSWER_WITHIN_S = 5.0
_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2)

Argument = str | bytes | int

log = logging.getLogger(__name__)


class _Call(NamedTuple):
    command: tuple[Argument, ...]
    reply: asyncio.Future[Any]


class ScriptBatcher:
    """Runs scripts on `connection`, which it owns. `where` names the server in errors.

    A batch without an answer within `answer_within_s` is sent again over a new connection, for at most `retry_for_s`.
    """

    def __init__(
        self,
        connection: AbstractConnection,
        scripts: Mapping[Name, Script],
        *,
        where: str,
        retry_for_s: float = RETRY_FOR_S,
        answer_within_s: float = ANSWER_WITHIN_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._scripts = scripts
        self._where = where
        self._retry_for_s = retry_for_s
        self._answer_within_s = answer_within_s
        self._clock = clock
        self._sleep = sleep
        self._waiting: list[_Call] = []
        self._sending: asyncio.Task[None] | None = None
        self._scripts_loaded = False
        self._closed = False

    async def run(self, name: Name, keys: tuple[str, ...], args: tuple[Argument, ...]) -> Any:
        """The reply of one script. Raises LogUnavailableError."""
        if self._closed:
            raise self._closed_error()
        command = ("EVALSHA", self._scripts[name].sha1, len(keys), *keys, *args)
        call = _Call(command, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_waiting(), name="token-log-batches")
        return await call.reply

    async def aclose(self) -> None:
        """Fail what is waiting and close the connection."""
        self._closed = True
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        self._fail(self._waiting, self._closed_error())
        await self._connection.disconnect(nowait=True)

    async def _send_waiting(self) -> None:
        """Every batch is answered or failed, whatever goes wrong, and the next one has its turn."""
        while self._waiting:
            batch = self._waiting[:BATCH_CALLS]
            del self._waiting[:BATCH_CALLS]
            try:
                await self._carry_out(batch)
            except LogUnavailableError as error:
                self._fail(batch, error)
            except asyncio.CancelledError:
                self._waiting[:0] = batch
                raise
            except Exception as error:  # noqa: BLE001 (its words may hold what was said)
                log.error("a batch for the token log broke: %s", type(error).__name__)
                self._fail(batch, broken(error, self._where))
                with suppress(Exception):
                    await self._hang_up()

    async def _carry_out(self, batch: list[_Call]) -> None:
        """Send until every call has its answer, for at most `retry_for_s` without a server."""
        give_up_at = self._clock() + self._retry_for_s
        pauses = iter(_PAUSES_S)
        while batch:
            try:
                batch = self._settle(batch, await self._exchange(batch))
            except (RedisError, OSError) as error:
                await self._hang_up()
                if isinstance(error, ResponseError | AuthenticationError):
                    raise refused(error, self._where) from error
                if self._clock() >= give_up_at:
                    raise unreachable(error, self._where, self._retry_for_s) from error
                await self._sleep(next(pauses, _PAUSES_S[-1]))

    async def _exchange(self, batch: list[_Call]) -> list[Any]:
        if not self._connection.is_connected:
            await open_connection(self._connection)
            self._scripts_loaded = False
        if not self._scripts_loaded:
            await self._load_scripts()
        return await self._pipeline([call.command for call in batch])

    async def _load_scripts(self) -> None:
        commands = [("SCRIPT", "LOAD", script.source) for script in self._scripts.values()]
        for reply in await self._pipeline(commands):
            if isinstance(reply, ResponseError):
                raise reply
        self._scripts_loaded = True

    async def _pipeline(self, commands: Iterable[tuple[Argument, ...]]) -> list[Any]:
        """One write, then one answer for each command; an error answer is returned in its place."""
        packed = [pack_command(command) for command in commands]  # type: ignore[arg-type] # its stub names tuples of one
        async with asyncio.timeout(self._answer_within_s):  # one for all: a timer for each answer costs as much as it
            await self._connection.send_packed_command([b"".join(packed)], check_health=False)
            return [await self._answer() for _ in packed]

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response(timeout=inf)
        except ResponseError as error:
            return error

    def _settle(self, batch: list[_Call], replies: list[Any]) -> list[_Call]:
        """Hand out the answers; returns the calls that must be sent again because the server forgot the scripts."""
        again = []
        for call, reply in zip(batch, replies, strict=True):
            if isinstance(reply, NoScriptError):
                again.append(call)
            elif call.reply.done():
                continue
            elif isinstance(reply, ResponseError):
                call.reply.set_exception(refused(reply, self._where))
            else:
                call.reply.set_result(reply)
        if again:
            self._scripts_loaded = False
        return again

    def _fail(self, batch: list[_Call], error: LogUnavailableError) -> None:
        for call in batch:
            if not call.reply.done():
                call.reply.set_exception(error)

    def _closed_error(self) -> LogUnavailableError:
        return LogUnavailableError("The token log was closed", where=self._where, remedy="start this process again")

    async def _hang_up(self) -> None:
        self._scripts_loaded = False
        await self._connection.disconnect(nowait=True)
