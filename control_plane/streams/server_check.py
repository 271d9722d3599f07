"""Is the log server one that keeps answers? Its version is required; settings that would lose them are told loudly."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from control_plane.errors import LogServerTooOldError
from control_plane.streams.connection import describe, refused, unreachable
from edgewise.wire.errors import LogUnavailableError

CONNECT_WITHIN_S = 2.0
logger = logging.getLogger(__name__)

NEEDED = {"valkey": (7, 2), "redis": (6, 2)}
"""The oldest versions whose scripts and stream commands the log's are; both are run in our tests' matrix or newer."""
_ASKED = ("appendonly", "appendfsync", "maxmemory-policy")
_SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
_LOSS = {
    "appendonly": "every answer is lost when it stops",
    "appendfsync": "the last answers, already acknowledged, are lost when it or its machine dies",
    "maxmemory-policy": "answers are thrown away while they are written when its memory is full",
}


@dataclass(frozen=True)
class LogServerInfo:
    """What a log server says of itself; `settings` lacks what it does not tell."""

    product: str
    version: tuple[int, ...]
    settings: Mapping[str, str]

    @property
    def dangers(self) -> list[str]:
        """Settings under which acknowledged entries may be lost."""
        return [name for name, value in self.settings.items() if name in _SAFE and value != _SAFE[name]]


async def check_server(client: Redis) -> LogServerInfo:
    """Look at the server once, at start. Settings that lose answers are warned of, each with its remedy.

    Raises LogServerTooOldError; LogUnavailableError when it does not answer or lets nobody in.
    """
    where = describe(client)
    try:
        info = _found(await client.info(), await _settings(client))
    except (RedisError, OSError) as error:
        raise _untold(error, where) from error
    _require_version(info, where)
    _warn(info, where)
    return info


def _untold(error: Exception, where: str) -> LogUnavailableError:
    cause = error.__cause__ if isinstance(error.__cause__, AuthenticationError) else error  # the library hides it
    if isinstance(cause, ResponseError | AuthenticationError):
        return refused(cause, where)
    return unreachable(error, where, CONNECT_WITHIN_S)


async def _settings(client: Redis) -> dict[str, str]:
    """CONFIG is closed on many managed servers; what INFO tells too is taken from there."""
    try:
        found: dict[str, str] = {}
        for name in _ASKED:
            found |= {str(key): str(value) for key, value in (await client.config_get(name)).items()}
        return found
    except ResponseError:
        return {}


def _found(info: Mapping[str, Any], settings: Mapping[str, str]) -> LogServerInfo:
    """Valkey tells a Redis version too, that of the Redis that it can stand in for."""
    product = "valkey" if "valkey_version" in info else "redis"
    words = str(info.get(f"{product}_version", "0")).split(".")
    told = {"maxmemory-policy": str(info["maxmemory_policy"])} if "maxmemory_policy" in info else {}
    if "aof_enabled" in info:
        told["appendonly"] = "yes" if info["aof_enabled"] else "no"
    return LogServerInfo(product, tuple(int(word) for word in words if word.isdigit()), told | dict(settings))


def _require_version(info: LogServerInfo, where: str) -> None:
    needed = NEEDED[info.product]
    if info.version < needed:
        raise LogServerTooOldError(
            f"The token log's server is {info.product.title()} {_dotted(info.version)}",
            where=where,
            expected=" or ".join(f"{name.title()} {_dotted(version)} or newer" for name, version in NEEDED.items()),
            remedy="upgrade it, or leave EDGEWISE_LOG_URL out of `edgewise up`, which brings its own",
        )


def _warn(info: LogServerInfo, where: str) -> None:
    for name in info.dangers:
        logger.warning(
            "the token log at %s has %s %s: %s. To do: CONFIG SET %s %s, and write it into the server's configuration",
            where, name, info.settings[name], _LOSS[name], name, _SAFE[name],
        )  # fmt: skip
    unknown = [name for name in _ASKED if name not in info.settings]
    if unknown:
        logger.warning(
            "the token log at %s does not tell its %s. To do: see to it that they are %s",
            where, ", ".join(unknown), ", ".join(_SAFE[name] for name in unknown),
        )  # fmt: skip


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
