"""A StreamLog in memory, for tests and as the plainest statement of its rules: what the real logs are compared with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from edgewise.streams.log import Appended, Claim, Head, Record, StreamStatus
from edgewise.streams.refusals import ahead, diverged, ended, exists, leased, not_found, stale, still_open, trimmed
from edgewise.wire.errors import LogGapError


@dataclass
class _Stream:
    owner: str
    request: bytes | None
    status: StreamStatus = "open"
    epoch: int = 0
    holder: str = ""
    lease_s: float = 0.0
    lease_until: float = 0.0
    records: list[Record] = field(default_factory=list)
    first_seq: int = 0
    watchers: set[asyncio.Event] = field(default_factory=set)


class MemoryStreamLog:
    """Keeps everything until trimmed; gone with the process. `clock` counts seconds for leases."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._streams: dict[str, _Stream] = {}

    async def create(self, sid: str, *, owner: str, request: bytes) -> None:
        if sid in self._streams:
            raise exists(sid)
        self._streams[sid] = _Stream(owner, request)

    async def open(self, sid: str, *, owner: str, request: bytes, holder: str, lease_s: float) -> Claim:
        await self.create(sid, owner=owner, request=request)
        return await self.claim(sid, holder=holder, lease_s=lease_s, seen_epoch=0)

    async def claim(self, sid: str, *, holder: str, lease_s: float, seen_epoch: int) -> Claim:
        stream = self._open(sid)
        if stream.epoch != seen_epoch:
            raise stale(sid, stream.epoch)
        if stream.lease_until > self._clock() and stream.holder != holder:
            raise leased(sid, stream.holder)
        stream.epoch += 1
        stream.holder, stream.lease_s, stream.lease_until = holder, lease_s, self._clock() + lease_s
        return Claim(stream.epoch, len(stream.records))

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        stream = self._stream(sid)
        next_seq = len(stream.records)
        if stream.epoch != epoch:
            raise stale(sid, stream.epoch)
        known = min(next_seq - seq, len(payloads)) if seq < next_seq else 0
        for place in range(seq, seq + known):
            if place < stream.first_seq or stream.records[place].payload != payloads[place - seq]:
                raise diverged(sid, place)
        if known == len(payloads):
            return Appended(next_seq, duplicate=True)
        if stream.status != "open":
            raise ended(sid, stream.status)
        if seq > next_seq:
            raise LogGapError(next_seq)
        for payload in payloads[known:-1]:
            self._add(stream, payload, "open")
        self._add(stream, payloads[-1], "done" if end else "open")
        return Appended(len(stream.records))

    async def renew(self, sid: str, *, epoch: int) -> None:
        stream = self._stream(sid)
        if stream.epoch != epoch:
            raise stale(sid, stream.epoch)
        self._open(sid).lease_until = self._clock() + stream.lease_s

    async def release(self, sid: str, *, epoch: int) -> None:
        stream = self._stream(sid)
        if stream.status == "open" and stream.epoch == epoch:
            stream.lease_until = 0.0

    async def cancel(self, sid: str, *, payload: bytes) -> int:
        stream = self._stream(sid)
        if stream.status == "open":
            stream.epoch += 1
            stream.holder = ""
            self._add(stream, payload, "cancelled")
        return len(stream.records) - 1

    async def head(self, sid: str) -> Head:
        stream = self._stream(sid)
        left_s = stream.lease_until - self._clock() if stream.lease_until else 0.0
        return Head(
            stream.status,
            stream.epoch,
            len(stream.records),
            stream.first_seq,
            stream.owner,
            stream.holder,
            left_s,
        )

    async def request(self, sid: str) -> bytes:
        request = self._stream(sid).request
        if request is None:
            raise not_found(sid)
        return request

    async def read(self, sid: str, *, after: int, limit: int = 1000) -> list[Record]:
        stream = self._stream(sid)
        if after >= len(stream.records):
            raise ahead(sid, after, len(stream.records))
        if after + 1 < stream.first_seq:
            raise trimmed(sid, stream.first_seq)
        return stream.records[after + 1 : after + 1 + limit]

    async def watch(self, sid: str) -> AsyncIterator[None]:
        watchers = self._stream(sid).watchers
        event = asyncio.Event()
        watchers.add(event)
        try:
            yield
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            watchers.discard(event)

    async def expired(self, limit: int = 100) -> list[str]:
        now = self._clock()
        open_streams = ((sid, stream) for sid, stream in self._streams.items() if stream.status == "open")
        return [sid for sid, stream in open_streams if stream.epoch and stream.lease_until <= now][:limit]

    async def trim(self, sid: str) -> None:
        stream = self._stream(sid)
        if stream.status == "open":
            raise still_open(sid)
        stream.first_seq, stream.request = len(stream.records), None

    def _stream(self, sid: str) -> _Stream:
        if sid not in self._streams:
            raise not_found(sid)
        return self._streams[sid]

    def _open(self, sid: str) -> _Stream:
        stream = self._stream(sid)
        if stream.status != "open":
            raise ended(sid, stream.status)
        return stream

    def _add(self, stream: _Stream, payload: bytes, status: StreamStatus) -> None:
        stream.records.append(Record(len(stream.records), stream.epoch, payload))
        stream.status = status
        stream.lease_until = self._clock() + stream.lease_s if status == "open" else 0.0
        for event in stream.watchers:
            event.set()
