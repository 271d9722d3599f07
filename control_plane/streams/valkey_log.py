"""The StreamLog on Valkey or Redis: every change is one Lua script under the server's clock (lua/ has the rules)."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple, cast

from redis.asyncio import Redis

from control_plane.streams.batcher import ANSWER_WITHIN_S, RETRY_FOR_S, Argument, ScriptBatcher
from control_plane.streams.connection import dedicated_connection, describe
from control_plane.streams.scripts import Name, load_scripts
from control_plane.streams.wakeups import Wakeups
from edgewise.ids import new_id, numbered_ids
from edgewise.streams.log import Appended, Claim, Head, Record, StreamStatus
from edgewise.streams.refusals import ahead, diverged, ended, exists, leased, not_found, stale, still_open, trimmed
from edgewise.wire.errors import EdgewiseError, LogGapError

SHARDS = 8
TTL_S = 600.0
TOMBSTONE_S = 24 * 3600.0
UNSEALED_TTL_S = 24 * 3600.0
UNCLAIMED_GRACE_S = 5.0


def connect(url: str) -> Redis:
    """A client for `unix:///path`, `redis://host:port` or `rediss://…`; nothing is opened before the first call."""
    return Redis.from_url(url, protocol=2, socket_timeout=ANSWER_WITHIN_S, socket_connect_timeout=2.0)


class _Keys(NamedTuple):
    """The keys of one stream; the {shard} tag puts them into one hash slot."""

    meta: str
    log: str
    request: str
    leases: str
    ended: str
    channel: str


class ValkeyStreamLog:
    """StreamLog over one command and one pub/sub connection made from `client`'s options.

    `shards` is the number of hash tags and must never change for a running server. Ended streams keep their entries for
    `ttl_s` after they are sealed, or `unsealed_ttl_s` if nobody seals them (never less than `ttl_s`), and their id for
    `tombstone_s`; open streams never expire. `retry_for_s` bounds how long a call waits for a server that is away.
    `call_id` makes ids by which a repeated call is recognised.
    """

    def __init__(
        self,
        client: Redis,
        *,
        shards: int = SHARDS,
        ttl_s: float = TTL_S,
        tombstone_s: float = TOMBSTONE_S,
        unsealed_ttl_s: float = 0.0,
        retry_for_s: float = RETRY_FOR_S,
        call_id: Callable[[], str] | None = None,
    ) -> None:
        self._shards = shards
        self._ttl_ms = int(ttl_s * 1000)
        self._tombstone_ms = int(max(tombstone_s, ttl_s) * 1000)
        self._unsealed_ms = int(max(unsealed_ttl_s, ttl_s) * 1000)
        self._call_id = call_id or numbered_ids(new_id())
        self._batcher = ScriptBatcher(
            dedicated_connection(client), load_scripts(), where=describe(client), retry_for_s=retry_for_s
        )
        self._wakeups = Wakeups(dedicated_connection(client))

    @property
    def scripts(self) -> ScriptBatcher:
        """What runs this log's scripts, for others that keep something beside the streams on the same server."""
        return self._batcher

    async def aclose(self) -> None:
        """Close both connections; calls that wait fail with LogUnavailableError."""
        await self._wakeups.aclose()
        await self._batcher.aclose()

    async def create(self, sid: str, *, owner: str, request: bytes) -> None:
        keys = self._keys(sid)
        args = (sid, owner, request, self._call_id(), int(UNCLAIMED_GRACE_S * 1000))
        await self._call("create", sid, (keys.meta, keys.request, keys.leases), args)

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        keys = self._keys(sid)
        args = (sid, owner, request, self._call_id(), holder, int(lease_s * 1000))
        epoch, next_seq = await self._call("begin", sid, (keys.meta, keys.request, keys.leases), args)
        return Claim(epoch, next_seq)

    async def claim(self, sid: str, *, holder: str, lease_s: float, seen_epoch: int) -> Claim:
        keys = self._keys(sid)
        args = (sid, holder, int(lease_s * 1000), seen_epoch, self._call_id())
        epoch, next_seq = await self._call("claim", sid, (keys.meta, keys.leases), args)
        return Claim(epoch, next_seq)

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        keys = self._keys(sid)
        told: tuple[Argument, ...] = (sid, epoch, seq, int(end), keys.channel, self._unsealed_ms, self._tombstone_ms)
        reply = await self._batcher.run("append", keys[:5], (*told, *payloads))
        if reply[0] == b"OK":
            return Appended(reply[1])
        if reply[0] == b"DUP":
            return Appended(reply[1], duplicate=True)
        raise _refusal(sid, reply)

    async def renew(self, sid: str, *, epoch: int) -> None:
        await self._call("renew", sid, (self._keys(sid).meta,), (epoch,))

    async def release(self, sid: str, *, epoch: int) -> None:
        keys = self._keys(sid)
        await self._call("release", sid, (keys.meta, keys.leases), (sid, epoch))

    async def cancel(self, sid: str, *, payload: bytes) -> int:
        keys = self._keys(sid)
        args = (sid, payload, keys.channel, self._unsealed_ms, self._tombstone_ms)
        (seq,) = await self._call("cancel", sid, keys[:5], args)
        return cast(int, seq)

    async def head(self, sid: str) -> Head:
        keys = self._keys(sid)
        status, epoch, next_seq, first_seq, owner, holder, left_ms = await self._call(
            "head", sid, (keys.meta, keys.log), ()
        )
        return Head(
            status=cast(StreamStatus, status.decode()),
            epoch=epoch,
            next_seq=next_seq,
            first_seq=first_seq,
            owner=owner.decode(),
            holder=holder.decode(),
            lease_left_s=left_ms / 1000,
        )

    async def request(self, sid: str) -> bytes:
        (snapshot,) = await self._call("request", sid, (self._keys(sid).request,), ())
        return cast(bytes, snapshot)

    async def read(self, sid: str, *, after: int, limit: int = 1000) -> list[Record]:
        keys = self._keys(sid)
        (rows,) = await self._call("read", sid, (keys.meta, keys.log), (after, limit), after)
        return [_record(row) for row in rows]

    def watch(self, sid: str) -> AsyncIterator[None]:
        return self._wakeups.watch(self._keys(sid).channel)

    async def expired(self, limit: int = 100) -> list[str]:
        found = await asyncio.gather(*(self._expired_in(shard, limit) for shard in range(self._shards)))
        return [sid for shard in found for sid in shard][:limit]

    async def trim(self, sid: str) -> None:
        keys = self._keys(sid)
        await self._call("trim", sid, (keys.meta, keys.log, keys.request), (self._tombstone_ms,))

    async def open_streams(self, limit: int) -> list[str]:
        """Ids of open streams, up to `limit` of each shard, the newest first: for operators, not for the token path."""
        found = await asyncio.gather(*(self._open_in(shard, limit) for shard in range(self._shards)))
        return sorted((sid for shard in found for sid in shard), reverse=True)

    async def _open_in(self, shard: int, limit: int) -> list[str]:
        (sids,) = await self._call("open", "", (f"ew:{{{shard}}}:leases",), (limit, f"ew:{{{shard}}}:m:"))
        return [sid.decode() for sid in sids]

    async def unsealed(self, *, older_s: float, limit: int) -> list[str]:
        """Streams that ended at least `older_s` seconds ago and are not sealed, the oldest of each shard first."""
        found = await asyncio.gather(*(self._unsealed_in(shard, older_s, limit) for shard in range(self._shards)))
        return [sid for shard in found for sid in shard][:limit]

    async def mark_sealed(self, sid: str) -> None:
        """An ended stream is in SQL: from now on its entries have `ttl_s` left. Again, it changes nothing."""
        keys = self._keys(sid)
        await self._call("sealed", sid, (keys.log, keys.request, keys.ended), (sid, self._ttl_ms))

    async def _unsealed_in(self, shard: int, older_s: float, limit: int) -> list[str]:
        (sids,) = await self._call("unsealed", "", (f"ew:{{{shard}}}:ended",), (limit, int(older_s * 1000)))
        return [sid.decode() for sid in sids]

    async def _expired_in(self, shard: int, limit: int) -> list[str]:
        (sids,) = await self._call("expired", "", (f"ew:{{{shard}}}:leases",), (limit, f"ew:{{{shard}}}:m:"))
        return [sid.decode() for sid in sids]

    async def _call(
        self, name: Name, sid: str, keys: tuple[str, ...], args: tuple[Argument, ...], after: int = -1
    ) -> list[Any]:
        reply = await self._batcher.run(name, keys, args)
        if reply[0] != b"OK":
            raise _refusal(sid, reply, after)
        rest: list[Any] = reply[1:]
        return rest

    def _keys(self, sid: str) -> _Keys:
        tag = f"ew:{{{zlib.crc32(sid.encode()) % self._shards}}}:"
        return _Keys(f"{tag}m:{sid}", f"{tag}l:{sid}", f"{tag}r:{sid}", f"{tag}leases", f"{tag}ended", f"{tag}c:{sid}")


def _record(row: list[Any]) -> Record:
    """`row` is [stream id, [field, payload]]; the stream id is `<seq+1>-<epoch>`."""
    position, epoch = row[0].split(b"-")
    return Record(int(position) - 1, int(epoch), row[1][1])


def _refusal(sid: str, reply: list[Any], after: int = -1) -> EdgewiseError:
    """The error that a script's refusal [code, detail] stands for."""
    code = reply[0].decode()
    detail: Any = reply[1] if len(reply) > 1 else None
    if isinstance(detail, bytes):
        detail = detail.decode()
    refusals: dict[str, Callable[[], EdgewiseError]] = {
        "NONE": lambda: not_found(sid),
        "EXISTS": lambda: exists(sid),
        "STALE": lambda: stale(sid, detail),
        "ENDED": lambda: ended(sid, detail),
        "LEASED": lambda: leased(sid, detail),
        "DIVERGED": lambda: diverged(sid, detail),
        "GAP": lambda: LogGapError(detail),
        "AHEAD": lambda: ahead(sid, after, detail),
        "TRIMMED": lambda: trimmed(sid, detail),
        "OPEN": lambda: still_open(sid),
    }
    return refusals[code]()
