"""Which streams a log server holds, ended ones too: for a backup, never for answering."""

from __future__ import annotations

from collections.abc import AsyncIterator

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from control_plane.streams.connection import describe, refused, unreachable

_META = "ew:{*}:m:*"
_SCAN_COUNT = 1000


async def stream_ids(client: Redis) -> AsyncIterator[str]:
    """Every stream's id, in no order; each once. A stream that is created meanwhile may be left out.

    Raises LogUnavailableError.
    """
    seen: set[str] = set()
    try:
        async for key in client.scan_iter(match=_META, count=_SCAN_COUNT):
            sid = key.decode().rpartition(":")[2]
            if sid not in seen:
                seen.add(sid)
                yield sid
    except (RedisError, OSError) as error:
        where = describe(client)
        raise (refused(error, where) if isinstance(error, ResponseError) else unreachable(error, where, 2.0)) from error
