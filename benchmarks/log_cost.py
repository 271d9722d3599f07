"""What the token log costs a writer: appends a second through our client, and the wait for first and later tokens."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.ids import new_id
from edgewise.streams.entries import TokensEntry, encode_entry
from edgewise.streams.log import StreamLog
from edgewise.streams.tailer import TailerHub
from edgewise.streams.writer import StreamWriter

TOKENS_PER_APPEND = 5
REQUEST = b"r" * 300
PAYLOAD = encode_entry(TokensEntry(100, (1201, 88, 3040, 77, 912), "five words of an answer"))
_LEASE_S = 60.0


@dataclass(frozen=True)
class Rate:
    """Appends that were acknowledged, in how many seconds, and the client's processor seconds for them."""

    appends: int
    elapsed_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.appends / self.elapsed_s

    @property
    def cpu_us(self) -> float:
        """Microseconds of client CPU for one append."""
        return self.cpu_s / self.appends * 1e6


async def append_rate(url: str, streams: int, appends: int) -> Rate:
    """Fenced appends of five tokens each to `streams` streams at once, each stream waiting for its own answers."""
    log = ValkeyStreamLog(connect(url))

    async def write() -> None:
        sid = new_id()
        await log.create(sid, owner="bench", request=REQUEST)
        claim = await log.claim(sid, holder="bench", lease_s=_LEASE_S, seen_epoch=0)
        for seq in range(appends):
            await log.append(sid, epoch=claim.epoch, seq=seq, payloads=[PAYLOAD])

    try:
        return await _timed(write, streams, appends)
    finally:
        await log.aclose()


async def plain_rate(url: str, streams: int, appends: int) -> Rate:
    """The same bytes by redis-py's own client, one XADD each: no fence, no duplicate check, no lease, no wake-up."""
    client = Redis.from_url(url, protocol=2)

    async def write() -> None:
        name = f"plain:{new_id()}"
        for _ in range(appends):
            await client.xadd(name, {"p": PAYLOAD})

    try:
        return await _timed(write, streams, appends)
    finally:
        await client.aclose()


async def _timed(write: Callable[[], Awaitable[None]], streams: int, appends: int) -> Rate:
    began_at, cpu_at = time.perf_counter(), time.process_time()
    await asyncio.gather(*(write() for _ in range(streams)))
    return Rate(streams * appends, time.perf_counter() - began_at, time.process_time() - cpu_at)


@dataclass(frozen=True)
class Waits:
    """Seconds from a token in the writer's hand to the same token at a reader in the same process."""

    first: list[float]
    later: list[float]


async def token_waits(log: StreamLog, answers: int, tokens: int, *, pause_s: float) -> Waits:
    """One answer at a time. The first token's wait includes opening and claiming the stream; later tokens come one by
    one, `pause_s` apart, so that each is an append of its own."""
    waits = Waits([], [])
    hub = TailerHub(log)
    for _ in range(answers):
        await _answer(log, hub, tokens, pause_s, waits)
    return waits


async def _answer(log: StreamLog, hub: TailerHub, tokens: int, pause_s: float, waits: Waits) -> None:
    sid, said_at = new_id(), time.perf_counter()
    await log.create(sid, owner="bench", request=REQUEST)
    claim = await log.claim(sid, holder="bench", lease_s=_LEASE_S, seen_epoch=0)
    feed = hub.feed(sid, claim.next_seq)
    reader = hub.follow(sid, -1)
    async with StreamWriter(log, sid, claim, lease_s=_LEASE_S, on_stored=feed.take) as writer:
        for n0 in range(tokens):
            if n0:
                await asyncio.sleep(pause_s)
                said_at = time.perf_counter()
            await writer.tokens(n0, (n0,), "word ")
            await anext(reader)
            (waits.later if n0 else waits.first).append(time.perf_counter() - said_at)
    feed.close()
    await reader.aclose()


def flush_s(folder: Path, times: int = 200) -> list[float]:
    """Seconds that the disk itself takes for what every append must wait for: 200 bytes and fdatasync."""
    taken = []
    with (folder / "flush-probe").open("wb", buffering=0) as file:
        for _ in range(times):
            began_at = time.perf_counter()
            file.write(b"x" * 200)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began_at)
    return taken
