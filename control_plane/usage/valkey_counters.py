"""Counters in the token log's server: one Lua script a step (lua/ has the rules), under the server's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Literal, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as ServerLostError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as ServerSilentError

from control_plane.streams.connection import describe
from control_plane.usage.counters import (
    Ask,
    Due,
    Granted,
    NotReady,
    Owner,
    Rate,
    Refused,
    ReservationState,
    Standing,
    Survey,
)
from control_plane.usage.limits import BUDGETS, FIELDS, WINDOWS
from edgewise.wire.errors import LimitsUnavailableError

Name = Literal["reserve", "settle", "forget", "release", "restore", "survey", "load", "due", "epoch", "state"]
NAMES: tuple[Name, ...] = (
    "reserve", "settle", "forget", "release", "restore", "survey", "load", "due", "epoch", "state",
)  # fmt: skip
RETRIES = 6
ANSWER_WITHIN_S = 2.0
CONNECTIONS_MAX = 64


def connect_counters(url: str) -> Redis:
    """A client whose calls are tried again for about a second: every script is safe to repeat."""
    return Redis.from_url(
        url,
        protocol=2,
        socket_timeout=ANSWER_WITHIN_S,
        socket_connect_timeout=ANSWER_WITHIN_S,
        max_connections=CONNECTIONS_MAX,
        retry=Retry(ExponentialBackoff(cap=0.3, base=0.02), RETRIES),
        retry_on_error=[ServerLostError, ServerSilentError],
    )


class ValkeyCounters:
    """Implements Counters; `shift_ms` is added to the server's clock, for tests that turn it."""

    def __init__(self, client: Redis, *, shift_ms: Callable[[], int] = lambda: 0, space: str = "u") -> None:
        self._client = client
        self._shift_ms = shift_ms
        self._space = space
        folder = resources.files(__package__) / "lua"
        booking = (folder / "booking.lua").read_text(encoding="utf-8")
        self._scripts: dict[Name, AsyncScript] = {
            name: client.register_script(booking + (folder / f"{name}.lua").read_text(encoding="utf-8"))
            for name in NAMES
        }

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def reserve(self, ask: Ask) -> Granted | Refused | NotReady:
        args: list[str | int] = [ask.sid, ask.epoch, ask.tokens, ask.cost]
        for scope in ask.scopes:
            numbers = (getattr(scope.limits, name) for name in FIELDS)
            args += [scope.name, *(-1 if number is None else number for number in numbers), scope.revision]
        return _verdict(await self._run("reserve", ask.shard, *args))

    async def settle(self, sid: str, owner: Owner, tokens: int, cost: int, charge: bytes) -> None:
        await self._run("settle", owner.shard, sid, owner.key, owner.tenant, tokens, cost, charge)

    async def forget(self, shard: int, sids: Sequence[str]) -> None:
        await self._run("forget", shard, *sids)

    async def release(self, sid: str, shard: int) -> None:
        await self._run("release", shard, sid)

    async def restore(self, sid: str, owner: Owner, granted: Granted) -> None:
        taken = (granted.tokens, granted.cost, granted.slot, granted.day, granted.month)
        await self._run("restore", owner.shard, sid, owner.key, owner.tenant, *taken)

    async def survey(self, shard: int, scope: str) -> Survey:
        _, version, day, month, sids, *known = await self._run("survey", shard, scope)
        return Survey(version, day, month, tuple(sid.decode() for sid in sids), *known)

    async def load(
        self, shard: int, scope: str, revision: int, survey: Survey, sums: Sequence[int], *, again_ms: int
    ) -> bool:
        seen = (survey.version, survey.day, survey.month)
        reply = await self._run("load", shard, scope, revision, *seen, again_ms, *sums, *survey.sids)
        return bool(reply[0] == b"OK")

    async def due(self, shard: int, limit: int) -> list[Due]:
        _, rows = await self._run("due", shard, limit)
        return [_due(shard, row) for row in rows]

    async def epoch(self, shard: int, name: str = "", delay_ms: int = 0) -> str:
        _, found = await self._run("epoch", shard, name, delay_ms)
        return cast(str, found.decode())

    async def standing(self, shard: int, scope: str) -> Standing:
        _, requests, tokens, reset_ms, running, sums = await self._run("state", shard, scope)
        spent, reserved = sums[: len(WINDOWS)], sums[len(WINDOWS) :]
        pairs = (dict(zip(WINDOWS, some, strict=False)) for some in (spent, reserved))
        return Standing(requests, tokens, reset_ms, running, *pairs)

    async def _run(self, name: Name, shard: int, *args: str | bytes | int) -> Any:
        prefix = f"ew:{{{shard}}}:{self._space}:"
        try:
            return await self._scripts[name](
                keys=[f"{prefix}epoch", f"{prefix}due"], args=[prefix, self._shift_ms(), *args]
            )
        except (RedisError, OSError) as error:
            raise LimitsUnavailableError(
                f"Limits cannot be checked: the counters' server says {str(error) or type(error).__name__}",
                where=describe(self._client),
                remedy="try again in a moment; an operator looks at the token log's server",
                retry_after_s=1.0,
            ) from error


def _verdict(reply: list[Any]) -> Granted | Refused | NotReady:
    """What the script's reply [code, …] says; see reserve.lua."""
    code, rest = reply[0], reply[1:]
    match code:
        case b"OK":
            tokens, cost, slot, day, month, rates = rest
            return Granted(tokens, cost, slot, day, month, _rates(rates))
        case b"BUDGET":
            scope, window, limit, spent, reserved, day, rates = rest
            what = BUDGETS[WINDOWS.index(window.decode())]
            return Refused("budget", scope - 1, what, limit, spent, reserved, day, rates=_rates(rates))
        case b"RATE":
            scope, what, limit, wait_ms, rates = rest
            return Refused(
                "rate", scope - 1, f"{what.decode()}_per_minute", limit, wait_ms=wait_ms, rates=_rates(rates)
            )
        case b"LARGE":
            scope, what, limit, rates = rest
            return Refused("large", scope - 1, f"{what.decode()}_per_minute", limit, rates=_rates(rates))
        case b"BUSY":
            return Refused("busy", rest[0] - 1, "concurrent", rest[1], rates=_rates(rest[2]))
        case b"EPOCH":
            return NotReady("epoch", epoch=rest[0].decode())
        case b"LOAD":
            return NotReady("load", scopes=tuple(index - 1 for index in rest[0]))
    return NotReady("wait", wait_ms=rest[0])


def _rates(rows: list[list[int]]) -> tuple[Rate, ...]:
    return tuple(
        Rate(None if requests < 0 else requests, used, None if tokens < 0 else tokens, counted, reset_ms)
        for requests, used, tokens, counted, reset_ms in rows
    )


def _due(shard: int, row: list[Any]) -> Due:
    sid, state, key, tenant = (part.decode() for part in row[:4])
    return Due(sid, cast(ReservationState, state), Owner(shard, key, tenant), *row[4:])
