"""Dedicated connections to the log server, and what their failures mean to a user of the log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError, RedisError

from edgewise.wire.errors import LogUnavailableError

_REMEDIES: tuple[tuple[type[RedisError], str], ...] = (
    (OutOfMemoryError, "raise maxmemory of the log server, or trim ended streams sooner (a shorter time to live)"),
    (ReadOnlyError, "point the token log's URL at the primary; this server is a replica"),
    (AuthenticationError, "correct the user and password in the token log's URL"),
    (NoPermissionError, "allow the log's user to run EVALSHA, SCRIPT LOAD and SUBSCRIBE"),
)
_DISK_REMEDY = "free disk space for the log server; it refuses writes that it cannot store"
_DEFAULT_REMEDY = "see the log server's own log file; check that it is a Valkey ≥ 7.2 or Redis ≥ 6.2 server"


def dedicated_connection(client: Redis) -> AbstractConnection:
    """A connection outside of the client's pool, RESP2, that leaves retries to its user."""
    pool = client.connection_pool
    options = dict(pool.connection_kwargs)
    options.update(protocol=2, decode_responses=False, retry=Retry(NoBackoff(), 0), retry_on_error=[])
    connection: AbstractConnection = pool.connection_class(**options)
    return connection


async def open_connection(connection: AbstractConnection) -> None:
    """Connect, log in, and name the client. Raises RedisError or OSError."""
    opening: Callable[[], Awaitable[None]] = connection.connect
    try:
        await opening()
    except RedisError as error:
        if isinstance(error.__cause__, AuthenticationError):  # the library hides it in a ConnectionError
            raise error.__cause__ from error
        raise


def describe(client: Redis) -> str:
    """Where the server is, without credentials."""
    options = client.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


def refused(error: Exception, where: str) -> LogUnavailableError:
    """The server answered, and said no."""
    fallback = _DISK_REMEDY if "MISCONF" in str(error) else _DEFAULT_REMEDY
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), fallback)
    return LogUnavailableError(f"The token log refused a command: {error}", where=where, remedy=remedy)


def broken(error: Exception, where: str) -> LogUnavailableError:
    """The client itself failed; `error` becomes the cause, its words stay out of the message (they may be content)."""
    told = LogUnavailableError(
        f"A call of the token log broke: {type(error).__name__}",
        where=where,
        remedy="try again; if it stays, report it with the control plane's log",
        retry_after_s=1.0,
    )
    told.__cause__ = error
    return told


def unreachable(error: Exception, where: str, tried_s: float) -> LogUnavailableError:
    """The server did not answer, for as long as we tried."""
    return LogUnavailableError(
        f"The token log did not answer for {tried_s:g} s: {error or type(error).__name__}",
        where=where,
        expected="a running Valkey or Redis server",
        remedy="start the log server; if it stops at once, its disk may be full (see its log file)",
        retry_after_s=1.0,
    )
