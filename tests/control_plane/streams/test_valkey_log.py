"""What only the log on a server does, Valkey or Redis: batches, script reloads, time to live, full memory, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from control_plane.streams.connection import refused
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.ids import new_id
from edgewise.local.valkey import ValkeyProcess
from edgewise.wire.errors import ConflictError, LogUnavailableError, StreamNotFoundError
from tests.factories.valkey import MortalValkey


@pytest.fixture
async def client(log_server: ValkeyProcess) -> AsyncIterator[Redis]:
    client = connect(log_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def log(client: Redis) -> AsyncIterator[ValkeyStreamLog]:
    log = ValkeyStreamLog(client)
    yield log
    await log.aclose()


async def opened(log: ValkeyStreamLog, lease_s: float = 60.0) -> str:
    sid = new_id()
    await log.create(sid, owner="k", request=b"")
    await log.claim(sid, holder="a", lease_s=lease_s, seen_epoch=0)
    return sid


async def keys_of(client: Redis, sid: str) -> list[bytes]:
    return sorted(cast(list[bytes], await client.keys(f"ew:*:*:{sid}")))


async def test_appends_of_one_tick_travel_together(client: Redis, log: ValkeyStreamLog) -> None:
    sids = [await opened(log) for _ in range(20)]
    connection = log._batcher._connection
    sent: list[int] = []
    send = connection.send_packed_command

    async def spy(command: Any, check_health: bool = True) -> None:
        sent.append(1)
        await send(command, check_health=check_health)

    connection.send_packed_command = spy  # type: ignore[method-assign]
    await asyncio.gather(*(log.append(sid, epoch=1, seq=0, payloads=[b"x"]) for sid in sids))
    assert len(sent) == 1


async def test_a_server_that_forgot_the_scripts_gets_them_again(client: Redis, log: ValkeyStreamLog) -> None:
    sid = await opened(log)
    await client.script_flush()
    appended = await asyncio.gather(*(log.append(sid, epoch=1, seq=seq, payloads=[b"x"]) for seq in range(5)))
    assert [each.next_seq for each in appended] == [1, 2, 3, 4, 5]


async def test_open_streams_never_expire_and_ended_ones_do(client: Redis) -> None:
    log = ValkeyStreamLog(client, ttl_s=60, tombstone_s=600)
    for end in ("end", "cancel", "trim"):
        sid = await opened(log)
        await log.append(sid, epoch=1, seq=0, payloads=[b"x"])
        keys = await keys_of(client, sid)
        assert len(keys) == 3
        assert [await client.pttl(key) for key in keys] == [-1, -1, -1]
        if end == "end":
            await log.append(sid, epoch=1, seq=1, payloads=[b"end"], end=True)
        else:
            await log.cancel(sid, payload=b"cancel")
        if end == "trim":
            await log.trim(sid)
        left = {key.split(b":")[2]: await client.pttl(key) for key in await keys_of(client, sid)}
        assert 540_000 < left.pop(b"m") <= 600_000
        assert left.keys() == (set() if end == "trim" else {b"l", b"r"})
        assert all(50_000 < each <= 60_000 for each in left.values())
    await log.aclose()


async def test_a_stream_whose_entries_expired_reads_as_trimmed(client: Redis, log: ValkeyStreamLog) -> None:
    sid = await opened(log)
    await log.append(sid, epoch=1, seq=0, payloads=[b"end"], end=True)
    _, meta, _ = await keys_of(client, sid)
    for key in await keys_of(client, sid):
        if key != meta:
            await client.delete(key)
    head = await log.head(sid)
    assert (head.next_seq, head.first_seq) == (1, 1)
    with pytest.raises(StreamNotFoundError):
        await log.request(sid)


async def test_all_keys_of_a_stream_share_a_hash_slot(client: Redis, log: ValkeyStreamLog) -> None:
    sid = await opened(log)
    await log.append(sid, epoch=1, seq=0, payloads=[b"x"])
    tags = {key.split(b"}")[0] for key in await keys_of(client, sid)}
    assert len(tags) == 1


async def test_a_call_that_is_repeated_after_a_lost_answer_succeeds_again(client: Redis) -> None:
    ids = iter(["create-1", "create-1", "claim-1", "claim-1", "create-2"])
    log = ValkeyStreamLog(client, call_id=lambda: next(ids))
    sid = new_id()
    for _ in range(2):
        await log.create(sid, owner="k", request=b"r")
    first, again = [await log.claim(sid, holder="a", lease_s=60, seen_epoch=0) for _ in range(2)]
    assert first == again
    with pytest.raises(ConflictError):
        await log.create(sid, owner="k", request=b"r")
    await log.aclose()


async def test_a_lease_that_was_renewed_is_not_reported_as_expired(client: Redis, log: ValkeyStreamLog) -> None:
    sid = await opened(log, lease_s=60)
    (shard,) = {key.split(b"}")[0] + b"}" for key in await keys_of(client, sid)}
    leases = shard + b":leases"
    await client.zadd(leases, {sid: 1})
    assert sid not in await log.expired(10_000)
    score = await client.zscore(leases, sid)
    assert score is not None and score > 1


async def test_full_memory_is_told_and_trimming_still_works(mortal_valkey: MortalValkey) -> None:
    client = connect(mortal_valkey.url)
    log = ValkeyStreamLog(client)
    ended, sid = await opened(log), await opened(log)
    await log.append(ended, epoch=1, seq=0, payloads=[b"end"], end=True)
    await client.config_set("maxmemory", "1mb")
    with pytest.raises(LogUnavailableError, match="raise maxmemory") as told:
        await log.append(sid, epoch=1, seq=0, payloads=[b"x"])
    assert told.value.retryable
    await log.trim(ended)
    await client.config_set("maxmemory", "100mb")
    assert (await log.append(sid, epoch=1, seq=0, payloads=[b"x"])).next_seq == 1
    await log.aclose()
    await client.aclose()


async def test_a_server_that_stays_away_is_told_and_one_that_returns_is_used(mortal_valkey: MortalValkey) -> None:
    log = ValkeyStreamLog(connect(mortal_valkey.url), retry_for_s=0.0)
    sid = await opened(log)
    await asyncio.to_thread(mortal_valkey.kill)
    results = await asyncio.gather(
        *(log.append(sid, epoch=1, seq=0, payloads=[b"x"]) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [LogUnavailableError] * 3
    await asyncio.to_thread(mortal_valkey.start)
    assert (await log.append(sid, epoch=1, seq=0, payloads=[b"x"])).next_seq == 1
    await log.aclose()


async def test_a_watch_outlives_a_restart_of_the_server(mortal_valkey: MortalValkey) -> None:
    log = ValkeyStreamLog(connect(mortal_valkey.url))
    sid = await opened(log)
    watch = log.watch(sid)
    await anext(watch)
    await asyncio.wait_for(anext(watch), 5)
    await asyncio.to_thread(mortal_valkey.kill)
    await asyncio.to_thread(mortal_valkey.start)
    await asyncio.wait_for(anext(watch), 5)
    await log.append(sid, epoch=1, seq=0, payloads=[b"x"])
    await asyncio.wait_for(anext(watch), 5)
    await log.aclose()


async def test_a_subscription_ends_with_its_last_watcher(client: Redis, log: ValkeyStreamLog) -> None:
    sid = await opened(log)
    watches = [log.watch(sid) for _ in range(2)]
    for watch in watches:
        await anext(watch)
    await anext(watches[0])
    channels = cast(list[bytes], await client.pubsub_channels("ew:*"))
    (channel,) = [name for name in channels if name.endswith(sid.encode())]
    for watch, subscribers in zip(watches, (1, 0), strict=True):
        await watch.aclose()  # type: ignore[attr-defined]
        await log.head(sid)
        while (await client.pubsub_numsub(channel))[0][1] != subscribers:
            await asyncio.sleep(0)


def test_a_full_disk_is_told() -> None:
    error = ResponseError("MISCONF Errors writing to the AOF file: No space left on device")
    assert "free disk space" in str(refused(error, "/socket"))


async def test_a_wrong_password_is_told_at_once(mortal_valkey: MortalValkey) -> None:
    client = connect(mortal_valkey.url)
    await client.config_set("requirepass", "sesame")
    log = ValkeyStreamLog(connect(mortal_valkey.url))
    with pytest.raises(LogUnavailableError, match="password"):
        await log.head("x")
    await log.aclose()
    await client.aclose()


async def test_closing_fails_the_calls_that_wait(client: Redis) -> None:
    log = ValkeyStreamLog(client)
    waiting = asyncio.create_task(log.head("x"))
    await asyncio.sleep(0)
    await log.aclose()
    with pytest.raises(LogUnavailableError, match="closed"):
        await waiting
    with pytest.raises(LogUnavailableError, match="closed"):
        await log.head("x")
